// Who reads the cache: the attention that the keys of each key head received, and which query heads share that key head.
// read_by: {heads: [[query heads] of each key head], block: tokens a column, most, levels: packed uint8 (layer * key head, column)},
// value = expm1(u / 254 * log1p(most)), 255 where nothing was captured; means over the keys of a column, summed over all queries.

import { make, sized, tip } from "./dom.js";
import { unpack, whole } from "./data.js";
import { sequential, color } from "./theme.js";

/** 0, 1, 2, 3, 7 as "0–3, 7". */
function ranges(heads) {
  const parts = [];
  for (const head of heads) {
    const last = parts.at(-1);
    if (last && head === last[1] + 1) last[1] = head;
    else parts.push([head, head]);
  }
  return parts.map(([low, high]) => (low === high ? `${low}` : `${low}–${high}`)).join(", ");
}

/** A figure of `room` pixels for the cache view's payload; `choose(token)` is called on a click. */
export function keyHeads(payload, token, room, choose) {
  const { heads, block, most, levels } = payload.read_by;
  const [rows, columns] = levels.shape;
  const values = unpack(levels);
  const layers = rows / heads.length;
  const width = Math.max(160, room - 52);
  const line = Math.max(1.5, Math.min(12, 200 / rows));
  const gap = line > 4 && heads.length > 1 ? 2 : 0; // between layers
  const height = rows * line + (layers - 1) * gap;
  const canvas = make("canvas", { class: "wb-norms", role: "img", "aria-label": "Attention received by the keys of each key head, by layer and position" });
  const context = sized(canvas, width, height);
  const table = sequential();
  const x = (position) => (Math.min(payload.length, position) / payload.length) * width;
  for (let r = 0; r < rows; r++) {
    const layer = Math.floor(r / heads.length);
    const top = r * line + layer * gap;
    for (let c = 0; c < columns; c++) {
      const u = values[r * columns + c];
      const shade = 3 * u;
      context.fillStyle = u === 255 ? color("well") : `rgb(${table[shade]} ${table[shade + 1]} ${table[shade + 2]})`;
      context.fillRect(x(c * block), top, x((c + 1) * block) - x(c * block) + 0.5, line);
    }
    if (payload.evicted[layer] > 0) {
      context.globalAlpha = 0.55;
      context.fillStyle = color("surface");
      context.fillRect(0, top, x(payload.evicted[layer]), line);
      context.globalAlpha = 1;
    }
  }
  if (token !== null && token !== undefined) {
    context.strokeStyle = color("accent");
    context.lineWidth = 1.5;
    context.strokeRect(x(token) - 0.75, 0.75, Math.max(2, x(token + 1) - x(token)), height - 1.5);
  }
  const at = (event) => {
    const area = canvas.getBoundingClientRect();
    const position = Math.floor(((event.clientX - area.left) / area.width) * payload.length);
    const layer = Math.min(layers - 1, Math.floor((event.clientY - area.top) / (heads.length * line + gap)));
    const within = Math.floor((event.clientY - area.top - layer * (heads.length * line + gap)) / line);
    return [Math.max(0, Math.min(payload.length - 1, position)), Math.max(0, layer), Math.max(0, Math.min(heads.length - 1, within))];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [position, layer, head] = at(event);
    const column = Math.min(columns - 1, Math.floor(position / block));
    const u = values[(layer * heads.length + head) * columns + column];
    const low = column * block;
    const high = Math.min(payload.length, low + block) - 1;
    const lines = [["read by query heads", ranges(heads[head])], ["attention received by a key", u === 255 ? "not captured" : Math.expm1((u / 254) * Math.log1p(most)).toPrecision(2)]];
    if (high < payload.evicted[layer]) lines.push("dropped from the cache since");
    tip.show(event.clientX, event.clientY, `layer ${layer}, key head ${head}, ${low === high ? `token ${low}` : `tokens ${whole(low)}–${whole(high)}`}`, lines);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  canvas.addEventListener("click", (event) => choose(at(event)[0]));
  const sharing = heads.length > 8 ? `each key head by ${heads[0].length}` : heads.map((list, i) => `key head ${i} by ${ranges(list)}`).join(", ");
  const dropped = payload.evicted.some((count) => count > 0) ? " · pale: dropped since" : "";
  const text = `Attention received, log scale, from all tokens that could read the key; query heads share key heads: ${sharing}${dropped}`;
  return make("figure", { class: "wb-figure" }, make("div", { class: "wb-norm-row" }, make("div", { class: "wb-norm-axis" }, make("span", { text: "layer 0" }), make("span", { text: String(layers - 1) })), canvas), make("figcaption", { text }));
}
