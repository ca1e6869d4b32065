// The coarse lens of a whole run: how high the token that really came stands, by layer and block of positions.
// payload.blocks: {size, layers (top first), read: [positions read in each block], rank (median), entropy, logprob: packed float32
//   (layer, block), NaN where none was read}.

import { make, sized, tip } from "./dom.js";
import { unpack, percent, nats, whole } from "./data.js";
import { sequential, color } from "./theme.js";

/** A figure, `paint(payload, token, width, layerName)`; `choose(token)` is called on a click. Hidden without blocks. */
export function coarse(choose) {
  const canvas = make("canvas", { class: "wb-coarse", role: "img", "aria-label": "Rank of the actual next token by layer and block of the text; click to select" });
  const axis = make("div", { class: "wb-norm-axis" });
  const caption = make("figcaption");
  const element = make("figure", { class: "wb-figure wb-coarse-figure" }, make("div", { class: "wb-norm-row" }, axis, canvas), caption);
  let shown = null; // {blocks, length, layerName}

  function paint(payload, token, room, layerName) {
    const { blocks, length } = payload;
    element.hidden = !blocks;
    if (!blocks) return;
    shown = { blocks, length, layerName };
    const [rows, columns] = blocks.rank.shape;
    const ranks = unpack(blocks.rank);
    const width = Math.max(160, room - 54);
    const line = Math.max(8, Math.min(18, 132 / rows));
    const context = sized(canvas, width, rows * line);
    const table = sequential();
    const last = Math.log(ranks.reduce((most, rank) => (rank > most ? rank : most), 1000)); // NaN is above nothing
    context.fillStyle = color("well");
    context.fillRect(0, 0, width, rows * line);
    for (let l = 0; l < rows; l++) {
      for (let b = 0; b < columns; b++) {
        const rank = ranks[l * columns + b];
        if (Number.isNaN(rank)) continue;
        const c = 3 * Math.round(255 * (1 - Math.log(Math.max(1, rank)) / last));
        const x = ((b * blocks.size) / length) * width;
        const end = (Math.min(length, (b + 1) * blocks.size) / length) * width;
        context.fillStyle = `rgb(${table[c]} ${table[c + 1]} ${table[c + 2]})`;
        context.fillRect(x, l * line, end - x + 0.5, line);
      }
    }
    if (token !== null && token !== undefined) {
      context.strokeStyle = color("accent");
      context.lineWidth = 1.5;
      context.strokeRect((token / length) * width - 0.75, 0.75, Math.max(2, width / length), rows * line - 1.5);
    }
    axis.replaceChildren(make("span", { text: layerName(blocks.layers[0]) }), make("span", { text: layerName(blocks.layers.at(-1)) }));
    const read = Math.max(...blocks.read);
    caption.textContent = `the whole text, in blocks of ${whole(blocks.size)} tokens: the stronger the colour, the higher the token that came stands (log scale from #1 to #${whole(Math.round(Math.exp(last)))}; median of up to ${read} positions read in a block) · click to go there`;
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const across = Math.min(0.999999, Math.max(0, (event.clientX - box.left) / box.width));
    const row = Math.floor(((event.clientY - box.top) / box.height) * shown.blocks.layers.length);
    return [Math.floor(across * shown.length), Math.max(0, Math.min(shown.blocks.layers.length - 1, row))];
  }

  canvas.addEventListener("pointermove", (event) => {
    if (!shown) return;
    const { blocks, length, layerName } = shown;
    const [position, l] = at(event);
    const b = Math.floor(position / blocks.size);
    const i = l * blocks.rank.shape[1] + b;
    const title = `layer ${layerName(blocks.layers[l])}, tokens ${whole(b * blocks.size)}–${whole(Math.min(length, (b + 1) * blocks.size) - 1)}`;
    const rank = unpack(blocks.rank)[i];
    if (Number.isNaN(rank)) return tip.show(event.clientX, event.clientY, title, ["no position was read here"]);
    tip.show(event.clientX, event.clientY, title, [
      ["median rank of what came", `#${whole(Math.round(rank))}`],
      ["its probability (geometric mean)", percent(Math.exp(unpack(blocks.logprob)[i]))],
      ["mean entropy", nats(unpack(blocks.entropy)[i])],
      `from ${blocks.read[b]} positions`,
    ]);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  canvas.addEventListener("click", (event) => shown && choose(at(event)[0]));
  return { element, paint };
}
