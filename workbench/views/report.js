// The page of a self-contained report: token strips and the inspector over data that lies in the file itself.
// Data: {title, facts: [[name, value]], runs: [{run, title, tone, text, open, layers: {layer: payload}, rows: {"token/layer": payload},
//        lens: {span, windows: [payload]}, sides: {index: side}, provenance}]}. A map with one token a cell stands in for a row not kept.

import { make, choice } from "./dom.js";
import { unpack } from "./data.js";
import { draw as drawTokens } from "./tokens.js";
import { draw as drawInspector } from "./inspector.js";

/** Row and column of `token` read off the 8-bit map of a layer. */
function fromMap(run, token, layer) {
  const note = run.open.attention.block === 1 && token < run.open.attention.length
    ? "Read from the 8-bit map: exact rows of this token are not in this file."
    : "Exact rows of this token are not in this file.";
  const found = { layer, token, reads: null, readers: null, exact: false, note };
  const piece = run.layers[layer];
  if (!piece || run.open.attention.block !== 1 || token >= run.open.attention.length) return found;
  const [heads, length] = piece.map.shape;
  const values = unpack(piece.map);
  const share = (h, q, k) => (values[(h * length + q) * length + k] / 255) ** 2 * piece.scale;
  const reads = new Float32Array(heads * (token + 1));
  const readers = new Float32Array(heads * (length - token));
  for (let h = 0; h < heads; h++) {
    for (let k = 0; k <= token; k++) reads[h * (token + 1) + k] = share(h, token, k);
    for (let q = token; q < length; q++) readers[h * (length - token) + q - token] = share(h, q, token);
  }
  found.reads = { dtype: "float32", shape: [heads, token + 1], values: reads };
  found.readers = { dtype: "float32", shape: [heads, length - token], values: readers };
  return found;
}

function sourceOf(runs) {
  const of = (id) => runs.find((run) => run.run === id);
  return {
    open: async (id) => of(id).open,
    layer: async (id, layer) => of(id).layers[layer] || { error: `Layer ${layer} is not in this file.` },
    row: async (id, token, layer) => of(id).rows[`${token}/${layer}`] || fromMap(of(id), token, layer),
    lens: async (id, token) => {
      const windows = of(id).lens.windows;
      const holding = windows.filter((found) => found.positions.includes(token));
      const middle = (found) => Math.abs(found.positions[Math.floor(found.positions.length / 2)] - token);
      const best = (holding.length ? holding : windows).slice().sort((a, b) => middle(a) - middle(b))[0];
      return best || { error: "The lens is not in this file." };
    },
    next: async (id, token) => ({ before: of(id).sides[token] || null, after: of(id).sides[token + 1] || null, note: "Probabilities are the model’s own, before temperature and other sampling settings." }),
  };
}

export function start(data, root) {
  const runs = data.runs;
  const first = runs[0];
  const chosen = first.open.attention.prompt_length < first.open.tokens.tokens.length ? first.open.attention.prompt_length : first.open.tokens.tokens.length - 1;
  const strips = new Map();
  const theme = choice("Theme", [["light", "light"], ["dark", "dark"]], document.documentElement.dataset.theme, (name) => { document.documentElement.dataset.theme = name; });
  const left = make("div", { class: "wb-report-left" });
  const right = make("div", { class: "wb-card" });
  let inspector = null;
  const tell = (selection) => { for (const strip of strips.values()) strip.select(selection); };
  for (const run of runs) {
    const strip = make("div");
    left.append(make("section", { class: "wb-card" },
      make("h2", {}, make("span", { class: `wb-badge wb-tone-${run.tone}`, text: run.title }), make("span", { class: "wb-caption", text: run.summary })),
      make("div", { class: "wb-report-text", text: run.text }), strip));
    strips.set(run.run, drawTokens(strip, run.open.tokens, { selection: run === first ? { token: chosen } : null, select: (part) => { tell(part); inspector.select(part); } }));
  }
  root.append(make("div", { class: "wb wb-report" },
    make("header", {}, make("h1", { text: data.title }), theme.element),
    make("main", {}, left, right),
    make("footer", { class: "wb-card" }, ...runs.map((run) => make("details", {}, make("summary", { text: `Where ${run.title} comes from` }), make("pre", { text: run.provenance }))))));
  inspector = drawInspector(right, runs.map(({ run, title, tone }) => ({ run, title, tone })), { source: sourceOf(runs), selection: { run: first.run, token: chosen, layer: null }, select: tell });
}
