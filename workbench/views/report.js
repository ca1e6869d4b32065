// The page of a self-contained report: token strips and the inspector over data that lies in the file itself.
// Data: {title, facts: [[name, value]], runs: [{run, title, tone, text, open, layers: {layer: payload}, rows: {"token/layer": payload},
//        lens: {span, windows: [payload]}, sides: {index: side}, provenance}],
//        difference: {open, layers: {layer: payload}, next: {"a" | "b": {index: payload}}} (difference.py) or null}. A map with one token a cell stands in for a row not kept.

import { make, choice } from "./dom.js";
import { whole } from "./data.js";
import { inflated, unpack } from "./data.js";
import { draw as drawTokens } from "./tokens.js";
import { draw as drawAttention } from "./attention.js";
import { draw as drawLens } from "./lens.js";
import { draw as drawCache } from "./cache.js";
import { draw as drawNext } from "./next.js";
import { counterpart, opposite } from "./alignment.js";
import { draw as drawInspector } from "./inspector.js";

const PANELS = { tokens: [drawTokens, "Tokens"], attention: [drawAttention, "Attention"], lens: [drawLens, "Logit lens"], cache: [drawCache, "KV cache"], next: [drawNext, "Next token"] };
const PARTS = { layers: "attention", rows: "attention", lens: "lens", sides: "next" }; // parts of the data that one panel alone reads

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

/** The lens window with `token` nearest to its middle. */
function windowOf(run, token) {
  const { windows } = run.lens;
  const holding = windows.filter((found) => found.positions.includes(token));
  const middle = (found) => Math.abs(found.positions[Math.floor(found.positions.length / 2)] - token);
  return (holding.length ? holding : windows).slice().sort((a, b) => middle(a) - middle(b))[0];
}

/** The Python of a panel, put together from the pieces that the file holds (views/snippets.py). */
function codeOf(run, { panel, token, layer, head }, lens) {
  const { begin, ends, rows, zoom } = run.code;
  const { attention } = run.open;
  let name = panel;
  if (panel === "attention") {
    const kept = token < attention.length && (rows === null || rows.includes(token));
    name = `attention/${kept ? "kept" : token < zoom ? "zoom" : "none"}/${head < 0 ? "mean" : "one"}`;
  }
  const values = { token, layer, head: attention.head_names[head], low: lens ? lens.positions[0] : token, high: lens ? lens.positions.at(-1) : token };
  return { code: `${begin}\n${ends[name].replace(/@(token|layer|head|low|high)@/g, (_, mark) => values[mark])}` };
}

/** A file with one panel of one run, made of this one. */
async function pageOf(id, at) {
  const data = await inflated(document.getElementById("data"));
  const run = data.runs.find((one) => one.run === id);
  for (const [part, panel] of Object.entries(PARTS)) if (panel !== at.panel) run[part] = part === "lens" ? { windows: [] } : {};
  const title = `${PANELS[at.panel][1]}: ${run.title}`;
  const text = JSON.stringify({ title, runs: [run], panel: { name: at.panel, ...at } }).replaceAll("<", "\\u003c");
  const [theme] = document.head.querySelectorAll("script");
  const style = document.head.querySelector("style");
  const policy = document.head.querySelector("meta[http-equiv]");
  const last = [...document.body.querySelectorAll("script")].pop();
  const head = make("title", { text: title }).outerHTML;
  const html = `<!doctype html>\n<html lang="en" data-theme="light"><head><meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n${policy.outerHTML}\n${head}\n${theme.outerHTML}\n${style.outerHTML}</head>\n<body><script type="application/json" id="data">${text}</${"script"}>\n${last.outerHTML}</body></html>\n`;
  return { name: `${title.replace(/[^\w.-]+/g, "-")}_token${at.token}.html`, html };
}

function sourceOf(runs, difference = null) {
  const of = (id) => runs.find((run) => run.run === id);
  const between = async (a, b, { part, layer, side, token, panel, head }) => {
    if (part === "open") return difference.open;
    if (part === "code") {
      const { head_names } = difference.open.attention;
      const name = panel === "attention" ? `attention/${head < 0 ? "mean" : "one"}` : panel;
      return { code: difference.code[name].replaceAll("@layer@", layer).replaceAll("@head@", head_names ? head_names[head] : 0) };
    }
    if (part === "layer") return difference.layers[layer] || { error: `Layer ${layer} is not in this file.` };
    return { measured: difference.next[side][token] || null };
  };
  return {
    ...(difference ? { difference: between } : {}),
    open: async (id) => of(id).open,
    layer: async (id, layer) => of(id).layers[layer] || { error: `Layer ${layer} is not in this file.` },
    row: async (id, token, layer) => of(id).rows[`${token}/${layer}`] || fromMap(of(id), token, layer),
    lens: async (id, token) => windowOf(of(id), token) || { error: "The lens is not in this file." },
    code: async (id, at) => codeOf(of(id), at, at.panel === "lens" && of(id).lens.windows.length ? windowOf(of(id), at.token) : null),
    page: async (id, at) => pageOf(id, at),
    next: async (id, token) => ({ before: of(id).sides[token] || null, after: of(id).sides[token + 1] || null, note: "Probabilities are the model’s own, before temperature and other sampling settings." }),
  };
}

/** What a view of one run asks of the source of all. */
function bound(source, run) {
  const answer = async (promise) => {
    const found = await promise;
    if (found.error) throw new Error(found.error);
    return found;
  };
  return Object.fromEntries(Object.keys(source).map((name) => [name, (...rest) => answer(source[name](run, ...rest))]));
}

function themeChoice() {
  return choice("Theme", [["light", "light"], ["dark", "dark"]], document.documentElement.dataset.theme, (name) => { document.documentElement.dataset.theme = name; }).element;
}

/** A page with one panel and nothing else. */
function startPanel(data, root) {
  const [run] = data.runs;
  const { name, token, layer, head } = data.panel;
  const box = make("div");
  const payload = run.open[name];
  payload.tokens = payload.tokens || run.open.tokens.tokens;
  root.append(make("div", { class: "wb wb-report" },
    make("header", {}, make("h1", { text: data.title }), themeChoice()),
    make("main", { class: "wb-report-one" }, make("div", { class: "wb-card" }, box)),
    make("footer", { class: "wb-card" }, make("p", { class: "wb-caption", text: `${run.summary}; token ${whole(token)} was selected.` }), make("details", {}, make("summary", { text: `Where ${run.title} comes from` }), make("pre", { text: run.provenance })))));
  const view = PANELS[name][0](box, payload, { source: bound(sourceOf(data.runs), run.run), selection: { token, layer, head }, select: (part) => view.select({ run: run.run, ...part }) });
}

/** Reads the data that the page holds and draws them. */
export async function open(page) {
  start(await inflated(page.getElementById("data")), page.body);
}

export function start(data, root) {
  if (data.panel) return startPanel(data, root);
  const runs = data.runs;
  const first = runs[0];
  const chosen = first.open.attention.prompt_length < first.open.tokens.tokens.length ? first.open.attention.prompt_length : first.open.tokens.tokens.length - 1;
  const strips = new Map();
  const source = sourceOf(runs, data.difference);
  const pair = data.difference && data.difference.open;
  const left = make("div", { class: "wb-report-left" });
  const right = make("div", { class: "wb-card" });
  let inspector = null;
  const tell = (selection) => {
    for (const [run, strip] of strips) {
      strip.select(selection);
      if (pair) strip.peer(run === selection.run || !selection.run ? null : opposite(pair, selection.run, selection.token));
    }
  };
  for (const run of runs) {
    const strip = make("div");
    left.append(make("section", { class: "wb-card" },
      make("h2", {}, make("span", { class: `wb-badge wb-tone-${run.tone}`, text: run.title }), make("span", { class: "wb-caption", text: run.summary })),
      make("div", { class: "wb-report-text", tabindex: "0", role: "group", "aria-label": `What was said, ${run.title}`, text: run.text }), strip));
    strips.set(run.run, drawTokens(strip, run.open.tokens, { source: bound(source, run.run), selection: run === first ? { token: chosen } : null, select: (part) => { tell(part); inspector.select(part); } }));
  }
  root.append(make("div", { class: "wb wb-report" },
    make("header", {}, make("h1", { text: data.title }), themeChoice()),
    make("main", {}, left, right),
    make("footer", { class: "wb-card" }, ...runs.map((run) => make("details", {}, make("summary", { text: `Where ${run.title} comes from` }), make("pre", { text: run.provenance }))))));
  inspector = drawInspector(right, runs.map(({ run, title, tone }) => ({ run, title, tone })), { source, selection: { run: first.run, token: chosen, layer: null }, select: tell, preferred: (run, selection) => (pair ? counterpart(pair, run, selection) : selection.token) });
  tell({ run: first.run, token: chosen });
}
