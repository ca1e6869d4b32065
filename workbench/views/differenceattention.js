// Attention of two runs as a difference: what the second model reads more (blue) or less (orange) than the first, heads by number.
// Payload: the opening payload of views/difference.py; its `attention`: {captured, note, length, layers, heads, head_names, block, window, windows}.
// options.source.layer(layer) -> {map: packed signed (heads, q, k), largest, statistics: {name: [[a by head], [b by head]]}}
// options.source.row(run, token, layer) -> what the attention view gets.

import { make, tip, onWidth, toggle } from "./dom.js";
import { percent, short, signedPercent } from "./data.js";
import { onTheme, isDark } from "./theme.js";
import { signed, profile } from "./matrix.js";
import { mosaic } from "./mosaic.js";
import { heatmap } from "./heatmap.js";
import { places, relation, texts } from "./alignment.js";
import { both, legend } from "./sidebyside.js";
import { actions } from "./actions.js";
import { attentionOf, wordsOf } from "./differencetables.js";

const FACTS = [
  ["distance", "reaches back, tokens", (v) => v.toFixed(1)],
  ["sink", "on the first tokens", percent],
  ["previous", "on the token before", percent],
  ["induction", "induction", percent],
  ["entropy", "entropy, nats", (v) => v.toFixed(2)],
];

export function draw(element, pair, options = {}) {
  const source = options.source || {};
  const found = pair.attention;
  const payload = { ...found, tokens: texts(pair)[0], prompt_length: pair.prompt_lengths[0], names: [] };
  const layers = new Map();
  const rows = new Map();
  const chosen = options.selection || {};
  let selection = { run: chosen.run, token: chosen.token };
  let layer = Math.min(Number.isInteger(chosen.layer) ? chosen.layer : 1, (found.layers || 1) - 1);
  let head = Number.isInteger(chosen.head) ? Math.min(chosen.head, (found.heads || 1) - 1) : -1;
  let hideSink = false;
  let ticket = 0;

  const at = () => places(pair, selection.run, selection.token);
  /** Whose rows are shown: the selected token's, or where the texts part, those of the last token that both read alike, after which
   * they chose differently. */
  const reading = () => {
    const [a, b] = at();
    const own = a ?? b;
    return (a === null || b === null) && own === pair.common && own > 0 ? [own - 1, own - 1] : [a, b];
  };
  const view = () => ({ payload, layer, head, token: at()[0], hideSink, maximum: false });
  const go = (side, token) => options.select && options.select({ run: side ? pair.other : pair.run, token });
  const reach = (piece) => (hideSink ? piece.without ?? (piece.without = largestWithout(piece)) : piece.largest) || 1;
  const layerText = make("output", { class: "wb-number" });
  const slider = make("input", { type: "range", min: 0, max: Math.max(0, (found.layers || 1) - 1), step: 1, "aria-label": "Layer", on: { input: () => setLayer(Number(slider.value), true) } });
  const headText = make("output", { class: "wb-number" });
  const sink = toggle("leave out the sink", false, (on) => { hideSink = on; paint(); }, "Leave out the first key, which often collects unused attention, and colour the rest to its own largest difference");
  const bar = make("div", { class: "wb-bar" }, make("label", { class: "wb-slider" }, make("span", { text: "Layer" }), slider, layerText), headText, sink);
  const own = actions({
    name: "attention", title: "the attention differences", body: element, repaint: () => paint(),
    tables: [["row", "what this token reads in both"], ["map", "the map of differences"]],
    at: () => ({ token: selection.token ?? 0, layer, head }),
    words: () => wordsOf(pair, `attention-layer${layer}`, selection),
    local: () => attentionOf(pair, layers.get(layer), reading().map((token, i) => [token, rows.get(`${i ? pair.other : pair.run}/${token}/${layer}`)]), { layer, head }),
  }, { code: source.code });
  bar.append(own.element);
  const scale = make("p", { class: "wb-legend-line" });
  const heads = mosaic(view, setHead, { values: (piece, one) => signed(piece.map, one, hideSink), reach, lines });
  const facts = make("table", { class: "wb-two-facts" });
  const left = make("figure", { class: "wb-figure" }, heads.element, make("figcaption", { text: "all heads · click one" }), facts);
  const map = heatmap(view, (query, key) => options.select && options.select({ run: pair.run, token: query, query, key }), {
    label: "Map of attention differences of the chosen head",
    values: (piece) => signed(piece.map, head, hideSink),
    reach,
    caption,
    line: (value) => ["difference", signedPercent(value)],
  });
  const message = make("p", { class: "wb-message", role: "status" });
  const lists = make("div", { class: "wb-lists" });
  const note = make("p", { class: "wb-message", text: found.note || "" });
  const maps = make("div", { class: "wb-maps" }, left, map.element);
  element.classList.add("wb-attention");
  element.replaceChildren(...(found.captured ? [bar, own.note, scale, maps, message, lists] : [note]));

  const headName = () => (head < 0 ? "mean of all heads" : `head ${found.head_names[head]}`);

  /** Largest difference of a layer with the first key left out, over its heads. */
  function largestWithout(piece) {
    let most = 0;
    for (let h = 0; h < found.heads; h++) for (const value of signed(piece.map, h, true)) most = Math.max(most, Math.abs(value));
    return most;
  }

  function caption(piece, name) {
    const cells = found.block > 1 ? `, ${found.block} × ${found.block} tokens a cell` : "";
    const [a, b] = found.windows;
    const windows = a === b ? (a ? `both with a window of ${a}` : "no sliding window") : `window ${a ?? "none"} against ${b ?? "none"}${found.window && found.window < found.length ? `; hatched: outside the smaller one` : ""}`;
    const part = found.length < Math.max(...pair.lengths) - 1 ? ` · the ${found.length} tokens that both read alike` : "";
    return `${name}${cells}${part} · ${windows}${hideSink ? " · first key left out" : ""} · heads are compared by number`;
  }

  function lines(piece, one) {
    return FACTS.filter(([name]) => (piece.statistics[name] || [])[0]).map(([name, title, print]) => {
      const [a, b] = piece.statistics[name].map((values) => values[one]);
      return [title, a === null || b === null ? "–" : `${print(a)} → ${print(b)}`];
    });
  }

  async function setLayer(next, tell) {
    layer = Math.max(0, Math.min(found.layers - 1, next));
    slider.value = layer;
    layerText.textContent = `${layer} / ${found.layers - 1}`;
    if (tell && options.select) options.select({ layer });
    await load();
  }

  function setHead(next) {
    head = next;
    if (options.select) options.select({ head });
    paint();
  }

  async function load() {
    if (!found.captured) return;
    const mine = ++ticket;
    own.stale();
    const [a, b] = reading();
    const wanted = [[pair.run, a], [pair.other, b]];
    try {
      const [piece, ...answers] = await Promise.all([
        layers.get(layer) || source.layer(layer),
        ...wanted.map(([run, token]) => (token === null ? null : rows.get(`${run}/${token}/${layer}`) || source.row(run, token, layer))),
      ]);
      layers.set(layer, piece);
      if (rows.size > 96) rows.clear();
      wanted.forEach(([run, token], i) => answers[i] && rows.set(`${run}/${token}/${layer}`, answers[i]));
    } catch (error) {
      if (mine === ticket) message.textContent = error.message;
      return;
    }
    if (mine === ticket) paint();
  }

  function paint() {
    if (!found.captured) return;
    headText.textContent = headName();
    const piece = layers.get(layer);
    if (piece) {
      heads.paint(piece, left.clientWidth);
      map.paint(piece, headName());
      scale.replaceChildren(...legend(pair.titles, reach(piece)));
      drawFacts(piece);
    }
    drawRows();
    element.dataset.drawn = `${pair.run}/${pair.other}/${layer}/${head}/${selection.token}/${hideSink}/${isDark()}`;
  }

  function drawFacts(piece) {
    const mean = (values) => values.filter((v) => v !== null).reduce((sum, v, _, all) => sum + v / all.length, 0);
    const of = (values) => (head < 0 ? mean(values) : values[head]);
    const known = FACTS.filter(([name]) => (piece.statistics[name] || [[]])[0].some((v) => v !== null));
    facts.replaceChildren(...(known.length ? [make("thead", {}, make("tr", {}, make("td"), ...pair.titles.map((title, i) => make("th", { scope: "col", class: `wb-tone-${"ab"[i]}`, text: title }))))] : []),
      make("tbody", {}, ...known.map(([name, title, print]) => make("tr", {}, make("th", { scope: "row", text: title }), ...piece.statistics[name].map((values) => make("td", { text: of(values) === null ? "–" : print(of(values)) }))))));
  }

  function drawRows() {
    const [a, b] = reading();
    lists.replaceChildren();
    message.textContent = "";
    if (a === null && b === null) return;
    const before = a !== at()[0] || b !== at()[1];
    const [textA, textB] = texts(pair);
    const name = `“${short(a === null ? textB[b] : textA[a], 14)}”`;
    const got = [[pair.run, a], [pair.other, b]].map(([run, token]) => rows.get(`${run}/${token}/${layer}`) || null);
    const notes = new Set([relation(pair, at(), name), before ? `Shown is ${name} before it, where both made their choice.` : "", ...got.map((row) => (row && row.note) || "")]);
    message.textContent = [...notes].filter(Boolean).join(" ");
    const reads = got.map((row) => row && profile(row.reads, head));
    const readers = got.map((row) => row && profile(row.readers, head));
    lists.append(both(pair, `What ${name} reads`, reads, [0, 0], go), both(pair, `Who reads ${name}`, readers, [a ?? 0, b ?? 0], go));
  }

  const stops = [onWidth(element, paint), onTheme(paint)];
  if (found.captured) setLayer(layer, false);

  return {
    select(next) {
      selection = { run: next.run, token: next.token };
      if (Number.isInteger(next.head) && found.captured) head = Math.min(next.head, found.heads - 1);
      return found.captured ? setLayer(Number.isInteger(next.layer) ? next.layer : layer, false) : null;
    },
    destroy() {
      for (const stop of stops) stop();
      tip.hide();
      element.replaceChildren();
    },
  };
}
