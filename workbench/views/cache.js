// The KV cache after a run: bytes and tokens held by layer, key and value norms by position, what a window has dropped.
// Payload: {run, model, length, tokens, window, kv_heads, captured, note, bytes, logical, physical, evicted: [per layer],
//           key_norm, value_norm: packed float32 (layer, column), means over KV heads, NaN where dropped; stride: tokens a column,
//           growth (growth.js) or null, read_by (keyheads.js) or null}.
//           kept (views/cache.py) or null, policy: how it is said, "" for the model's own cache.
// "held" counts tokens whose keys and values are stored; "seen" counts all tokens that passed through the layer.

import { make, svg, sized, tip, onWidth } from "./dom.js";
import { unpack, visible, short, bytes, whole, modelName } from "./data.js";
import { sequential, color, onTheme, isDark } from "./theme.js";
import { growth } from "./growth.js";
import { keyHeads } from "./keyheads.js";
import { bitsOf, keptText, layersThatHold } from "./keptmap.js";
import { actions, fileName } from "./actions.js";
import { cacheTables, cacheArrays } from "./tables.js";

function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return low <= high ? [low, high] : [0, 1];
}

export function draw(element, payload, options = {}) {
  let token = options.selection ? options.selection.token : null;
  const summary = make("p", { class: "wb-facts" });
  const bars = make("div", { class: "wb-cache-bars" });
  const maps = make("div", { class: "wb-cache-maps" });
  const own = make("div", { class: "wb-cache-own" });
  const message = make("p", { class: "wb-message", role: "status" });
  const stayed = keptText(true);
  const kept = make("div", {}, make("div", { class: "wb-kept-choices" }, make("b", { text: "Which tokens stayed" }), ...stayed.fields.map(([name, select]) => make("label", {}, `${name} `, select))), stayed.element);
  const taking = actions({
    name: "cache", title: "the KV cache panel", body: element, repaint: paint,
    tables: [["layers", "what each layer stores"], ["positions", "norms by position"]],
    at: () => ({ token: token ?? 0 }),
    words: () => ({
      title: "KV cache after the run",
      caption: `${modelName(payload.model)}, ${payload.length} tokens${token === null || token === undefined ? "" : `; selected: token ${token}, “${visible(payload.tokens[token])}”`}.`,
      file: fileName(payload, "cache"),
    }),
    local: () => ({ tables: cacheTables(payload), arrays: cacheArrays(payload, token ?? 0) }),
  }, options.source);
  element.classList.add("wb-cache");
  element.replaceChildren(make("div", { class: "wb-head-line" }, summary, taking.element), taking.note, bars, kept, maps, own, message);

  function pick(position) {
    tip.hide();
    if (options.select) options.select({ run: payload.run, model: payload.model, token: position });
  }

  function paint() {
    message.textContent = payload.note || "";
    element.classList.toggle("wb-empty", !payload.captured);
    kept.hidden = !(payload.kept && payload.kept.bits);
    for (const part of [summary, bars, maps, own]) part.replaceChildren();
    if (!payload.captured) return;
    drawSummary();
    drawBars();
    if (payload.growth) bars.append(growth(payload.growth, bars.clientWidth));
    if (!kept.hidden) stayed.set({ name: payload.policy, pieces: payload.tokens, ...payload.kept, counts: bitsOf(payload.kept) });
    // Under a policy no beginning of the text is what was dropped: nothing is shown pale.
    const read = payload.policy ? { ...payload, evicted: payload.evicted.map(() => 0) } : payload;
    if (payload.read_by) maps.append(keyHeads(read, token, maps.clientWidth, pick));
    drawNorms("Key norm", "key_norm");
    drawNorms("Value norm", "value_norm");
    drawOwn();
    element.dataset.drawn = `${payload.run}/${token}/${isDark()}`;
  }

  function drawSummary() {
    const total = payload.bytes.reduce((a, b) => a + b, 0);
    const dropped = Math.max(...payload.evicted);
    const each = payload.physical[0] ? payload.bytes[0] / payload.physical[0] : 0;
    const reach = payload.policy
      ? `The cache policy ${payload.policy} ${dropped > 0 ? `has dropped ${whole(dropped)} tokens in each key-value head` : "has dropped nothing"}.`
      : !payload.window
      ? "There is no sliding window: nothing is ever dropped."
      : dropped > 0
        ? `The window of ${whole(payload.window)} has dropped the first ${whole(dropped)} tokens.`
        : `The window of ${whole(payload.window)} is not yet full: nothing has been dropped.`;
    summary.append(
      make("span", { text: "The cache holds" }), make("b", { text: ` ${bytes(total)} ` }),
      make("span", { text: `for ${whole(Math.max(...payload.physical))} of ${whole(Math.max(...payload.logical))} tokens in ${payload.bytes.length} layers, ${bytes(each)} a token and layer. ${reach}` })
    );
  }

  function drawBars() {
    const each = payload.bytes.map((b, l) => (payload.physical[l] ? b / payload.physical[l] : 0));
    const most = Math.max(1, ...payload.bytes.map((b, l) => Math.max(b, each[l] * payload.logical[l])));
    payload.bytes.forEach((held, l) => {
      const all = each[l] * payload.logical[l];
      bars.append(make("div", { class: "wb-row wb-still", title: `layer ${l}: ${whole(payload.physical[l])} of ${whole(payload.logical[l])} tokens held` },
        make("span", { class: "wb-index", text: `layer ${l}` }),
        make("span", { class: "wb-meter wb-wide" }, make("i", { class: "wb-ghost", style: { width: `${(100 * all) / most}%` } }), make("i", { style: { width: `${(100 * held) / most}%` } })),
        make("span", { class: "wb-value", text: bytes(held) })));
    });
  }

  function drawNorms(title, name) {
    const packed = payload[name];
    if (!packed) return;
    const values = unpack(packed);
    const [rows, columns] = packed.shape;
    const [low, high] = range(values);
    const width = Math.max(200, maps.clientWidth - 52);
    const line = Math.max(6, Math.min(16, 150 / rows));
    const canvas = make("canvas", { class: "wb-norms", role: "img", "aria-label": `${title} by layer and position` });
    const context = sized(canvas, width, rows * line);
    const image = new ImageData(columns, rows);
    const table = sequential();
    for (let i = 0; i < rows * columns; i++) {
      if (Number.isNaN(values[i])) continue; // dropped: stays clear, hatched below
      const c = 3 * Math.round((255 * (values[i] - low)) / (high - low || 1));
      image.data.set([table[c], table[c + 1], table[c + 2], 255], 4 * i);
    }
    hatch(context, width, rows * line);
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    small.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(small, 0, 0, width, rows * line);
    if (token !== null && token !== undefined) {
      context.strokeStyle = color("accent");
      context.lineWidth = 1.5;
      context.strokeRect((token / payload.length) * width, 0.75, Math.max(2, width / payload.length), rows * line - 1.5);
    }
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const position = Math.floor(((event.clientX - box.left) / box.width) * payload.length);
      const layer = Math.floor(((event.clientY - box.top) / box.height) * rows);
      return [Math.max(0, Math.min(payload.length - 1, position)), Math.max(0, Math.min(rows - 1, layer))];
    };
    canvas.addEventListener("pointermove", (event) => {
      const [position, layer] = at(event);
      const value = values[layer * columns + Math.min(columns - 1, Math.floor(position / payload.stride))];
      tip.show(event.clientX, event.clientY, `“${visible(payload.tokens[position])}” at ${position}`, [[`layer ${layer}`, Number.isNaN(value) ? "dropped" : value.toFixed(2)], ...(payload.stride > 1 ? [`mean of ${payload.stride} tokens`] : [])]);
    });
    canvas.addEventListener("pointerleave", () => tip.hide());
    canvas.addEventListener("click", (event) => pick(at(event)[0]));
    maps.append(make("figure", { class: "wb-figure" }, make("div", { class: "wb-norm-row" }, make("div", { class: "wb-norm-axis" }, make("span", { text: "layer 0" }), make("span", { text: String(rows - 1) })), canvas),
      make("figcaption", { text: `${title}, ${low.toFixed(1)} to ${high.toFixed(1)}, mean over ${payload.kv_heads} KV heads${payload.evicted.some((e) => e > 0) ? " · hatched: dropped" : ""}` })));
  }

  function hatch(context, width, height) {
    context.strokeStyle = color("line");
    context.lineWidth = 1;
    for (let x = -height; x < width; x += 6) {
      context.beginPath();
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
      context.stroke();
    }
  }

  /** The selected token's own entry: held or dropped, and its norms by layer. */
  function drawOwn() {
    if (token === null || token === undefined || !payload.key_norm) return;
    const [rows, columns] = payload.key_norm.shape;
    const column = Math.min(columns - 1, Math.floor(token / payload.stride));
    const of = (name) => [...Array(rows).keys()].map((l) => unpack(payload[name])[l * columns + column]);
    const keys = of("key_norm");
    const values = of("value_norm");
    const count = layersThatHold(payload, token);
    if (count === null) return;
    const state = token >= Math.max(...payload.logical)
      ? "was produced last and never fed back, so it has no entry in the cache."
      : count === rows ? "is held in every layer." : count === 0 ? "has been dropped from every layer: no later token can read it." : `is still held in ${count} of ${rows} layers.`;
    own.append(make("p", { class: "wb-facts", text: `“${short(payload.tokens[token], 16)}” (token ${token}) ${state}` }));
    if (!count) return;
    const width = Math.max(220, Math.min(own.clientWidth, 460));
    const height = 96;
    const most = Math.max(...keys.filter((v) => !Number.isNaN(v)), ...values.filter((v) => !Number.isNaN(v)), 1e-6);
    const group = (width - 42) / rows;
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Key and value norm of the selected token by layer" });
    for (let l = 0; l < rows; l++) {
      const x = 40 + l * group;
      const thick = Math.max(1, group * 0.36);
      if (!Number.isNaN(keys[l])) picture.append(svg("rect", { x, y: 74 - (64 * keys[l]) / most, width: thick, height: (64 * keys[l]) / most, class: "wb-reads" }));
      if (!Number.isNaN(values[l])) picture.append(svg("rect", { x: x + thick + 1, y: 74 - (64 * values[l]) / most, width: thick, height: (64 * values[l]) / most, class: "wb-readers" }));
      if (rows <= 16 || l % 4 === 0) picture.append(svg("text", { x: x + thick, y: 88, "text-anchor": "middle", class: "wb-tick", text: String(l) }));
    }
    picture.append(svg("line", { x1: 36, x2: width, y1: 74, y2: 74, class: "wb-axis" }), svg("text", { x: 32, y: 14, "text-anchor": "end", class: "wb-tick", text: most.toFixed(1) }));
    own.append(picture, make("p", { class: "wb-keyline" }, make("i", { class: "wb-swatch wb-swatch-a" }), "key norm", make("i", { class: "wb-swatch wb-swatch-b" }), "value norm, by layer"));
  }

  const stopWidth = onWidth(element, paint);
  const stopTheme = onTheme(paint);
  paint();

  return {
    update(next) {
      payload = next;
      paint();
    },
    select(selection) {
      if (selection.token !== undefined) token = selection.token;
      taking.stale();
      paint();
    },
    destroy() {
      stopWidth();
      stopTheme();
      tip.hide();
      element.replaceChildren();
    },
  };
}
