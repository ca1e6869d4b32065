// The logit lens: what each layer would say next, layers x positions, the last layer always on top.
// Payload: {run, model, length, tokens, layers (0 = embeddings ... layers - 1 = output), blocks (coarse.js) or null, captured, note}.
// options.source.lens(token) -> {layers: [int, top first], positions: [int], targets: [piece|null],
//   top: per layer, per position [[piece, share], ...], hit: per layer, per position the index of the actual token in top or -1,
//   rank, entropy, kl: packed (layer, position), overview: packed uint8 (layer, column) or null, stride: tokens a column}
// The column of position p shows guesses for token p + 1. Ranks count from 1; 0 = there is no next token. Entropy and KL in nats.

import { make, svg, sized, tip, onWidth, choice } from "./dom.js";
import { unpack, visible, short, percent, nats, rank, whole, modelName } from "./data.js";
import { shade, inkOn, sequential, color, onTheme, isDark } from "./theme.js";
import { coarse } from "./coarse.js";
import { actions, fileName } from "./actions.js";
import { lensTables, lensArrays } from "./tables.js";

const MODES = [
  ["share", "probability", "more colour: the layer gives its best guess more probability"],
  ["rank", "rank of the actual token", "more colour: the token that really came stands higher"],
  ["entropy", "entropy", "more colour: the layer is less decided (up to 10 nats)"],
  ["kl", "distance to the output", "more colour: the layer's distribution is farther from the last one's (up to 10 nats)"],
];

export function draw(element, payload, options = {}) {
  const source = options.source || {};
  let mode = "share";
  let token = options.selection ? options.selection.token : null;
  let detail = null;
  let ticket = 0;
  const cache = new Map();

  const modes = choice("Colour cells by", MODES, mode, (next) => { mode = next; paint(); });
  const heading = make("p", { class: "wb-facts" });
  const grid = make("div", { class: "wb-lens-grid" });
  const chart = make("div", { class: "wb-lens-chart" });
  const overview = make("canvas", { class: "wb-overview", role: "img", "aria-label": "Rank of the actual next token, all layers and positions; click to select" });
  const overviewBox = make("figure", { class: "wb-figure" }, overview, make("figcaption", { text: "the whole run: the stronger the colour, the higher the token that came stands · click to go there" }));
  overviewBox.style.display = "none"; // until there is one
  const blocks = coarse(pick);
  const message = make("p", { class: "wb-message", role: "status" });
  const own = actions({
    name: "lens", title: "the logit lens panel", body: element, repaint: paint,
    tables: [["grid", "every layer's guesses near this token"], ...(payload.blocks ? [["blocks", "the whole text in blocks"]] : [])],
    at: () => ({ token: token ?? 0 }),
    words: () => ({
      title: `Logit lens: what each layer would say next, colour: ${MODES.find(([name]) => name === mode)[1]}`,
      caption: `${modelName(payload.model)}, ${payload.length} tokens${token === null || token === undefined ? "" : `; selected: token ${token}, “${visible(payload.tokens[token])}”`}. Underlined: what really came; ${MODES.find(([name]) => name === mode)[2]}.`,
      file: fileName(payload, "lens", `token${token ?? 0}`),
    }),
    local: () => ({ tables: lensTables(payload, detail), arrays: lensArrays(payload, detail, token ?? 0) }),
  }, source);
  element.classList.add("wb-lens");
  element.replaceChildren(make("div", { class: "wb-bar" }, make("span", { class: "wb-caption", text: "colour" }), modes.element, own.element), own.note, heading, grid, chart, overviewBox, blocks.element, message);

  const layerName = (layer) => (layer === 0 ? "embed" : layer === payload.layers - 1 ? "output" : String(layer));

  async function load() {
    const mine = ++ticket;
    own.stale();
    message.textContent = payload.note || "";
    element.classList.toggle("wb-empty", !payload.captured);
    if (!payload.captured) return;
    drawBlocks();
    if (!source.lens || token === null || token === undefined) return;
    try {
      const found = cache.get(token) || (await source.lens(token));
      if (cache.size > 64) cache.clear();
      cache.set(token, found);
      if (mine !== ticket) return;
      detail = found;
      paint();
    } catch (error) {
      if (mine === ticket) message.textContent = error.message;
    }
  }

  function cellShade(l, p) {
    const n = detail.positions.length;
    if (mode === "share") return detail.top[l][p].length ? detail.top[l][p][0][1] : 0;
    if (mode === "rank") {
      const r = unpack(detail.rank)[l * n + p];
      return r > 0 ? 1 / (1 + Math.log2(r)) ** 2 : 0;
    }
    const value = unpack(mode === "entropy" ? detail.entropy : detail.kl)[l * n + p];
    return Number.isNaN(value) ? 0 : Math.min(1, value / 10) ** 2;
  }

  function columns() {
    const room = Math.max(2, Math.floor((element.clientWidth - 58) / 76));
    const at = detail.positions.indexOf(token);
    const middle = at < 0 ? detail.positions.length - 1 : at;
    const low = Math.max(0, Math.min(detail.positions.length - room, middle - Math.floor(room / 2)));
    return [...Array(Math.min(room, detail.positions.length)).keys()].map((i) => low + i);
  }

  function drawBlocks() {
    blocks.paint(payload, token, element.clientWidth - 2, layerName);
  }

  function paint() {
    drawBlocks();
    if (!detail) return;
    const shown = columns();
    const n = detail.positions.length;
    const ranks = unpack(detail.rank);
    const at = detail.positions.indexOf(token);
    const head = make("tr", {}, make("th", { class: "wb-lens-layer", text: "layer" }), ...shown.map((p) => make("th", { scope: "col", class: detail.positions[p] === token ? "wb-on" : "" },
      make("button", { type: "button", title: `token ${detail.positions[p]}`, text: short(payload.tokens[detail.positions[p]], 9), on: { click: () => pick(detail.positions[p]) } }))));
    const body = detail.layers.map((layer, l) => make("tr", {}, make("th", { scope: "row", class: "wb-lens-layer", text: layerName(layer) }), ...shown.map((p) => {
      const share = cellShade(l, p);
      const best = detail.top[l][p];
      const hit = detail.hit[l][p];
      return make("td", {
        class: `${hit === 0 ? "wb-hit" : ""} ${detail.positions[p] === token ? "wb-on" : ""}`,
        style: { background: shade(share), color: inkOn(share) },
        text: best.length ? short(best[0][0], 9) : "",
        on: {
          pointermove: (event) => tip.show(event.clientX, event.clientY, `layer ${layerName(layer)} after “${visible(payload.tokens[detail.positions[p]])}”`, cellLines(l, p)),
          pointerleave: () => tip.hide(),
          click: () => pick(detail.positions[p]),
        },
      });
    })));
    const foot = make("tr", { class: "wb-lens-next" }, make("th", { class: "wb-lens-layer", text: "came" }), ...shown.map((p) => make("td", { class: detail.positions[p] === token ? "wb-on" : "", text: detail.targets[p] === null ? "—" : short(detail.targets[p], 9) })));
    grid.replaceChildren(make("table", {}, make("caption", { class: "wb-hidden", text: "Best guess for the next token, by layer and position" }), make("thead", {}, head), make("tbody", {}, ...body), make("tfoot", {}, foot)));
    heading.replaceChildren(make("span", { text: "Each column is one token; each row what that layer would say comes next. Underlined: it is what really came." }));
    chart.replaceChildren();
    if (at >= 0) drawChart(at, n, ranks);
    else message.textContent = `The lens at token ${token} was not kept; the nearest kept tokens are shown.`;
    if (at >= 0) message.textContent = payload.note || "";
    drawOverview();
    element.dataset.drawn = `${payload.run}/${token}/${mode}/${isDark()}`;
  }

  function cellLines(l, p) {
    const n = detail.positions.length;
    const lines = detail.top[l][p].map(([piece, share]) => [visible(piece), percent(share)]);
    const r = unpack(detail.rank)[l * n + p];
    if (r > 0) lines.push([`rank of “${visible(detail.targets[p])}”`, rank(r)]);
    lines.push(["entropy", nats(unpack(detail.entropy)[l * n + p])], ["KL to output", nats(unpack(detail.kl)[l * n + p])]);
    return lines;
  }

  /** Rank of the actual next token (log scale, 1 on top) and entropy at the selected position, by layer. */
  function drawChart(at, n, ranks) {
    const order = detail.layers.map((layer, l) => [layer, ranks[l * n + at]]).reverse();
    if (!order.some(([, r]) => r > 0)) {
      chart.append(make("p", { class: "wb-message", text: `Nothing came after “${visible(payload.tokens[token])}”, so there is no actual token to follow.` }));
      return;
    }
    const width = Math.max(220, Math.min(element.clientWidth, 720));
    const height = 128;
    const box = { left: 52, right: width - 12, top: 14, bottom: height - 24 };
    const most = Math.max(10, ...order.map(([, r]) => r));
    const x = (i) => box.left + (order.length < 2 ? 0 : (i / (order.length - 1)) * (box.right - box.left));
    const y = (r) => box.top + (Math.log10(Math.max(1, r)) / Math.log10(most)) * (box.bottom - box.top);
    const first = order[0][1];
    const reached = order.find(([, r]) => r === 1);
    const steady = reached && order.slice(order.indexOf(reached)).every(([, r]) => r === 1);
    const end = !reached
      ? `and at ${rank(order.at(-1)[1])} in the output.`
      : reached === order.at(-1) ? "and is first only in the output." : `and is first from layer ${layerName(reached[0])} on${steady ? "" : ", with lapses"}.`;
    const text = `“${visible(detail.targets[at])}”, which came next, stands at ${rank(first)} in the embeddings ${end}`;
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text });
    for (let tick = 1; tick <= most; tick *= 10) {
      picture.append(svg("line", { x1: box.left, x2: box.right, y1: y(tick), y2: y(tick), class: "wb-axis" }), svg("text", { x: box.left - 8, y: y(tick) + 4, "text-anchor": "end", class: "wb-tick", text: `#${whole(tick)}` }));
    }
    picture.append(svg("polyline", { points: order.map(([, r], i) => `${x(i)},${y(r)}`).join(" "), class: "wb-line" }));
    const every = Math.ceil(order.length / 12);
    order.forEach(([layer, r], i) => {
      picture.append(svg("circle", { cx: x(i), cy: y(r), r: 3.4, class: r === 1 ? "wb-dot wb-dot-full" : "wb-dot" }));
      if (i % every === 0 || i === order.length - 1) picture.append(svg("text", { x: x(i), y: height - 6, "text-anchor": i === order.length - 1 ? "end" : "middle", class: "wb-tick", text: layerName(layer) }));
    });
    chart.append(make("p", { class: "wb-facts", text }), picture);
  }

  function drawOverview() {
    overviewBox.style.display = detail.overview ? "" : "none";
    if (!detail.overview) return;
    const [rows, cells] = detail.overview.shape;
    const values = unpack(detail.overview);
    const width = Math.max(200, element.clientWidth - 2);
    const line = Math.max(5, Math.min(12, 110 / rows));
    const context = sized(overview, width, rows * line);
    const image = new ImageData(cells, rows);
    const table = sequential();
    for (let i = 0; i < rows * cells; i++) {
      image.data.set([table[3 * values[i]], table[3 * values[i] + 1], table[3 * values[i] + 2], values[i] ? 255 : 60], 4 * i);
    }
    const small = document.createElement("canvas");
    small.width = cells;
    small.height = rows;
    small.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(small, 0, 0, width, rows * line);
    context.strokeStyle = color("accent");
    context.lineWidth = 1.5;
    const w = (width * detail.stride) / payload.length;
    context.strokeRect((token / payload.length) * width, 0.75, Math.max(2, w), rows * line - 1.5);
  }

  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect();
    pick(Math.max(0, Math.min(payload.length - 1, Math.floor(((event.clientX - box.left) / box.width) * payload.length))));
  });

  function pick(position) {
    tip.hide();
    if (options.select) options.select({ run: payload.run, model: payload.model, token: position });
  }

  const stopWidth = onWidth(element, paint);
  const stopTheme = onTheme(paint);
  load();

  return {
    update(next) {
      payload = next;
      cache.clear();
      detail = null;
      return load();
    },
    select(selection) {
      if (selection.token !== undefined) token = selection.token;
      return load();
    },
    destroy() {
      stopWidth();
      stopTheme();
      tip.hide();
      element.replaceChildren();
    },
  };
}
