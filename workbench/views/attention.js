// Attention of one run: all heads of a layer on one canvas, one large map, and what the selected token reads / who reads it.
// Payload: {run, model, length, tokens, prompt_length, layers, heads, head_names, kv_head_names, kv_heads, window, block, map_block,
//   maximum, sample, names: [[layer, head index, kind, score]], captured, note}; map_block: tokens a cell as captured, sample: query
//   rows taken of each such block, null for all of them.
// options.source.layer(layer) -> {map: packed uint8 (heads, q, k), max_map: the same or null, scale, statistics: {name: [per head]},
//   errors: {name: [per head]}, sink_tokens} ; value = scale * (u / 255)^2
// options.source.row(token, layer) -> {reads: packed (heads, token + 1)|null, readers: packed (heads, length - token)|null, exact, note}
// Packed rows are float32, or uint16 holding 65535 * sqrt(p). All positions are absolute token positions.

import { make, tip, onWidth, toggle } from "./dom.js";
import { quoted, percent, modelName } from "./data.js";
import { onTheme, isDark } from "./theme.js";
import { matrix, profile } from "./matrix.js";
import { mosaic, namedHeads, namesOf } from "./mosaic.js";
import { heatmap } from "./heatmap.js";
import { ribbon, list, tokens } from "./reading.js";
import { actions, fileName } from "./actions.js";
import { attentionTables, attentionArrays } from "./tables.js";

export function draw(element, payload, options = {}) {
  const source = options.source || {};
  const layers = new Map();
  const rows = new Map();
  let layer = options.selection && Number.isInteger(options.selection.layer) ? options.selection.layer : Math.min(1, payload.layers - 1);
  let head = options.selection && Number.isInteger(options.selection.head) ? options.selection.head : -1;
  let token = options.selection ? options.selection.token : null;
  let hideSink = false;
  let maximum = false;
  let ticket = 0;

  const view = () => ({ payload, layer, head, token, hideSink, maximum });
  const go = (position) => options.select && options.select({ run: payload.run, model: payload.model, token: position });
  const layerText = make("output", { class: "wb-number" });
  const slider = make("input", { type: "range", min: 0, max: payload.layers - 1, step: 1, "aria-label": "Layer", on: { input: () => setLayer(Number(slider.value), true) } });
  const headText = make("output", { class: "wb-number" });
  const sink = toggle("hide the sink", false, (on) => { hideSink = on; paint(); }, "Leave out the first token, which often collects unused attention, and rescale the rest");
  const largest = toggle("largest share", false, (on) => { maximum = on; paint(); }, "Colour each cell by the largest single share in it instead of the mean: one strong look at one token stays visible in a long text");
  const bar = make("div", { class: "wb-bar" }, make("label", { class: "wb-slider" }, make("span", { text: "Layer" }), slider, layerText), headText, sink, largest);
  const own = actions({
    name: "attention", title: "the attention panel", body: element, repaint: paint,
    tables: [["row", "what this token reads, and who reads it"], ["map", "the map of the chosen head"]],
    at: () => ({ token: token ?? 0, layer, head }),
    words: () => ({
      title: `Attention in layer ${layer}, ${headName()}`,
      caption: `${modelName(payload.model)}, ${payload.tokens.length} tokens${token === null || token === undefined ? "" : `; selected: token ${token}, ${quoted(payload, token)}`}. Positions and layers count from 0.`,
      file: fileName(payload, "attention", `layer${layer}`, head < 0 ? "mean" : `head${payload.head_names[head]}`, `token${token ?? 0}`),
    }),
    local: () => {
      const [piece, row] = [layers.get(layer), rows.get(`${token}/${layer}`)];
      return { tables: attentionTables(payload, piece, row, { layer, head, token }), arrays: attentionArrays(payload, piece, row, token ?? 0) };
    },
  }, source);
  bar.append(own.element);
  const named = make("div");
  const facts = make("dl", { class: "wb-head-facts" });
  const heads = mosaic(view, setHead);
  const left = make("figure", { class: "wb-figure" }, heads.element, make("figcaption", { text: "all heads · click one" }), facts);
  const map = heatmap(view, (query, key) => options.select && options.select({ run: payload.run, model: payload.model, token: query, query, key }));
  const along = make("div", { class: "wb-ribbon" });
  const lists = make("div", { class: "wb-lists" });
  const message = make("p", { class: "wb-message", role: "status" });
  element.classList.add("wb-attention");
  element.replaceChildren(bar, own.note, make("div", { class: "wb-maps" }, left, map.element), named, along, lists, message);

  const headName = () => (head < 0 ? "mean of all heads" : `head ${payload.head_names[head]}`);

  /** What depends on the run alone. */
  function opened() {
    largest.hidden = !payload.maximum;
    if (!payload.maximum) maximum = false;
    named.replaceChildren(...(payload.captured && (payload.names || []).length ? [namedHeads(payload, (l, h) => { head = h; if (options.select) options.select({ layer: l, head: h }); setLayer(l, false); })] : []));
  }

  async function setLayer(next, tell) {
    layer = Math.max(0, Math.min(payload.layers - 1, next));
    slider.value = layer;
    layerText.textContent = `${layer} / ${payload.layers - 1}`;
    if (tell && options.select) options.select({ layer });
    await load();
  }

  function setHead(next) {
    head = next;
    own.stale();
    if (options.select) options.select({ head });
    paint();
  }

  async function load() {
    const mine = ++ticket;
    own.stale();
    message.textContent = payload.note || "";
    element.classList.toggle("wb-empty", !payload.captured);
    if (!payload.captured || !source.layer) return;
    const key = `${token}/${layer}`;
    try {
      const [piece, row] = await Promise.all([
        layers.get(layer) || source.layer(layer),
        token === null || token === undefined ? null : rows.get(key) || source.row(token, layer),
      ]);
      layers.set(layer, piece);
      if (rows.size > 96) rows.clear();
      if (row) rows.set(key, row);
    } catch (error) {
      message.textContent = error.message;
    }
    if (mine === ticket) paint();
  }

  function paint() {
    headText.textContent = headName();
    const piece = layers.get(layer);
    if (piece && piece.map) {
      heads.paint(piece, left.clientWidth);
      map.paint(piece, headName());
      drawFacts(piece);
    }
    drawRow();
    element.dataset.drawn = `${payload.run}/${layer}/${head}/${token}/${hideSink}/${isDark()}`;
  }

  function drawFacts(piece) {
    const s = piece.statistics || {};
    const of = (name) => {
      const per = s[name];
      if (!per) return null;
      const known = (head < 0 ? per : [per[head]]).filter((v) => v !== null && v !== undefined);
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    };
    const known = namesOf(payload, layer).get(head);
    const parts = [
      ["known as", known || null, ([kind, score]) => `${kind} head, ${percent(score)}`],
      ["reaches back", of("distance"), (v) => `${v.toFixed(1)} tokens`],
      [piece.sink_tokens > 1 ? `on the first ${piece.sink_tokens} tokens` : "on the first token", of("sink"), percent],
      ["on the token before", of("previous"), percent],
      ["induction", of("induction"), percent],
      ["entropy", of("entropy"), (v) => `${v.toFixed(2)} nats`],
    ];
    facts.title = `Layer ${layer}, ${headName()}: means over all tokens of the run`;
    facts.replaceChildren(...parts.filter(([, value]) => value !== null).flatMap(([name, value, print]) => [make("dt", { text: name }), make("dd", { text: print(value) })]));
  }

  function drawRow() {
    const row = rows.get(`${token}/${layer}`);
    along.replaceChildren();
    lists.replaceChildren();
    if (token === null || token === undefined || !payload.captured) return;
    if (!row) return;
    message.textContent = row.note || payload.note || "";
    if (token >= payload.length) return; // produced last, never read: the note says so
    if (!row.reads && payload.block > 1) return drawBlockRow();
    const reads = profile(row.reads, head);
    const readers = profile(row.readers, head);
    if (hideSink && reads && token > 0) {
      const rest = 1 - reads[0];
      for (let k = 1; k < reads.length; k++) reads[k] = rest > 1e-6 ? reads[k] / rest : 0;
      reads[0] = 0;
    }
    const name = quoted(payload, token);
    const width = Math.max(200, element.clientWidth - 2);
    along.append(ribbon(payload, token, reads, readers, width, go), make("p", { class: "wb-keyline" }, make("i", { class: "wb-swatch wb-swatch-a" }), `what ${name} reads`, make("i", { class: "wb-swatch wb-swatch-b" }), `who reads it · ${headName()}, √ scale, along the whole text`));
    lists.append(
      list(payload, `What ${name} reads`, reads, 0, "Its attention adds up to 100 %.", go),
      list(payload, `Who reads ${name}`, readers, token, "Share of each later token’s attention that lands here.", go)
    );
  }

  /** No row of this token was kept: what the map tells of its block of tokens. */
  function drawBlockRow() {
    const piece = layers.get(layer);
    if (!piece || !piece.map) return;
    const [, rowCount, columns] = piece.map.shape;
    const own = Math.floor(token / payload.block);
    const all = matrix(piece.map, piece.scale, head, { hideSink });
    const reads = all.slice(own * columns, own * columns + own + 1);
    const readers = Float32Array.from({ length: rowCount - own }, (_, i) => all[(own + i) * columns + own]);
    const name = `tokens ${tokens(payload, own, payload.block)}`;
    const width = Math.max(200, element.clientWidth - 2);
    along.append(ribbon(payload, token, reads, readers, width, go, payload.block), make("p", { class: "wb-keyline" }, make("i", { class: "wb-swatch wb-swatch-a" }), `what ${name} read`, make("i", { class: "wb-swatch wb-swatch-b" }), `who reads them · ${headName()}, √ scale, means over blocks of the map`));
    lists.append(
      list(payload, `What ${name} read`, reads, 0, "Mean over these tokens of their attention on each block.", go, payload.block),
      list(payload, `Who reads ${name}`, readers, own, "Mean share of a later block’s attention that lands on these tokens.", go, payload.block)
    );
  }

  const stopWidth = onWidth(element, () => paint());
  const stopTheme = onTheme(() => paint());
  opened();
  setLayer(layer, false);

  return {
    /** Another run, or the same run grown. */
    update(next) {
      payload = next;
      layers.clear();
      rows.clear();
      slider.max = payload.layers - 1;
      if (head >= payload.heads) head = -1;
      if (token !== null && token !== undefined && token >= payload.length) token = payload.length - 1;
      opened();
      return setLayer(layer, false);
    },
    select(selection) {
      if (selection.token !== undefined) token = selection.token;
      if (Number.isInteger(selection.head)) head = Math.min(selection.head, payload.heads - 1);
      return setLayer(Number.isInteger(selection.layer) ? selection.layer : layer, false);
    },
    destroy() {
      stopWidth();
      stopTheme();
      tip.hide();
      element.replaceChildren();
    },
  };
}
