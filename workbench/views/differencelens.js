// The logit lens of two runs as a difference: how each layer stack came to the selected token, and where one is ahead of the other.
// options.source.lens(run, position) -> what the lens view gets; position p shows guesses for token p + 1. Here a column is the token that
// was guessed, so that it is the selected one. Log-probabilities in nats; differences are the second model's less the first's.

import { make, svg, tip, onWidth } from "./dom.js";
import { unpack, percent, rank, short, visible } from "./data.js";
import { onTheme, isDark, tint } from "./theme.js";
import { alike, places, relation, texts } from "./alignment.js";
import { legend } from "./sidebyside.js";
import { actions } from "./actions.js";
import { lensOf, wordsOf } from "./differencetables.js";

const FULL = 6; // nats of full colour: a factor of 400

export function draw(element, pair, options = {}) {
  const source = options.source || {};
  let selection = options.selection || {};
  let details = null; // [of a, of b]: the positions near the selected token
  let ticket = 0;
  const message = make("p", { class: "wb-message", role: "status" });
  const story = make("div", { class: "wb-lens-chart" });
  const scale = make("p", { class: "wb-legend-line" });
  const grid = make("div", { class: "wb-lens-grid", tabindex: "0", role: "region", "aria-label": "Differences by layer and token" });
  const note = make("p", { class: "wb-message", text: pair.lens.note });
  let shownColumns = []; // of the grid
  const own = actions({
    name: "lens", title: "the differences of the lens", body: element, repaint: () => paint(),
    tables: [["grid", "every layer and token of the grid"]],
    at: () => ({ token: selection.token ?? 0, layer: null, head: -1 }),
    words: () => wordsOf(pair, "lens", selection, "Log-probabilities in nats. "),
    local: () => lensOf(pair, shownColumns),
  }, { code: source.code });
  element.classList.add("wb-lens");
  element.replaceChildren(make("div", { class: "wb-head-line" }, message, own.element), own.note, story, scale, grid, note);

  const at = () => places(pair, selection.run, selection.token);

  async function load() {
    const mine = ++ticket;
    own.stale();
    const here = at();
    if (here[0] === null && here[1] === null) return;
    try {
      const near = here.map((token, i) => token ?? Math.min(here[1 - i], pair.lengths[i] - 1)); // where a text has no such token
      const found = await Promise.all(near.map((token, i) => source.lens(i ? pair.other : pair.run, Math.max(0, token - 1))));
      if (mine !== ticket) return;
      details = found;
      paint();
    } catch (error) {
      if (mine === ticket) message.textContent = error.message;
    }
  }

  /** What the lens of side `i` says of the token at `place`: {layers (embedding first), logprob, rank, settled}, null when not kept. */
  function of(i, place) {
    const detail = details[i];
    if (!detail || place === null) return null;
    const p = detail.positions.indexOf(place - 1);
    if (p < 0) return null;
    const n = detail.positions.length;
    const column = (packed) => detail.layers.map((_, l) => unpack(packed)[l * n + p]).reverse();
    const ranks = column(detail.rank);
    return ranks.some((r) => r > 0) ? { layers: [...detail.layers].reverse(), logprob: column(detail.logprob), rank: ranks, settled: detail.settled[p] } : null;
  }

  const layerName = (layer, last) => (layer === 0 ? "embed" : layer === last ? "output" : String(layer));

  function paint() {
    if (!details) return;
    const here = at();
    const pieces = texts(pair);
    const name = `“${short(here[0] === null ? pieces[1][here[1]] : pieces[0][here[0]], 14)}”`;
    message.textContent = here.some((token) => token === 0) ? "The first token is given: no layer predicts it. Choose another." : relation(pair, here, name);
    story.replaceChildren();
    // Where the answers part each model is followed to the token that it chose itself.
    const parted = pair.parting.positions;
    const parting = !parted.includes(null) && selection.token === parted[selection.run === pair.other ? 1 : 0];
    const followed = parting ? parted : here;
    const ours = followed.map((token, i) => of(i, token));
    if (ours.some(Boolean)) drawStory(ours, followed.map((token, i) => `“${short(pieces[i][token ?? here[i]] ?? "", 14)}”`));
    drawGrid(here);
    element.dataset.drawn = `${pair.run}/${pair.other}/${selection.run}/${selection.token}/${isDark()}`;
  }

  /** Log-probability of the token by layer in both, and a sentence for each: where it stands, and from where the model has settled. */
  function drawStory(own, called) {
    const lines = own.map((found, i) => {
      if (!found) return null;
      const last = found.layers.at(-1);
      const settled = found.settled === 0 ? "from the embedding on" : found.settled === last ? "only in the output" : `from layer ${found.settled} on`;
      const ends = found.rank.at(-1) === 1 ? `its answer there is ${called[i]}, settled ${settled}` : `${called[i]} ends at ${rank(found.rank.at(-1))}, with ${percent(Math.exp(found.logprob.at(-1)))}; the answer it gives is settled ${settled}`;
      return make("p", { class: "wb-facts" }, make("b", { class: `wb-tone-${"ab"[i]}`, text: pair.titles[i] }), `: ${ends}.`);
    });
    const width = Math.max(240, Math.min(element.clientWidth, 720));
    const height = 150;
    const box = { left: 74, right: width - 12, top: 12, bottom: height - 24 };
    const deepest = Math.max(...own.map((found) => (found ? found.layers.at(-1) : 0)));
    const least = Math.min(-1, ...own.flatMap((found) => (found ? found.logprob : [])));
    const x = (layer) => box.left + (layer / Math.max(1, deepest)) * (box.right - box.left);
    const y = (value) => box.top + (value / least) * (box.bottom - box.top);
    const text = `Log-probability of ${[0, 1].map((i) => `${called[i]} in ${pair.titles[i]}`).join(" and of ")}, by layer`;
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text });
    for (const value of [0, least / 2, least]) {
      picture.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "wb-axis" }), svg("text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end", class: "wb-tick", text: value === 0 ? "p = 1" : `${value.toFixed(1).replace("-", "−")} nats` }));
    }
    own.forEach((found, i) => {
      if (!found) return;
      picture.append(svg("polyline", { points: found.layers.map((layer, l) => `${x(layer)},${y(found.logprob[l])}`).join(" "), class: `wb-line wb-line-${"ab"[i]}` }));
      found.layers.forEach((layer, l) => {
        const dot = svg("circle", { cx: x(layer), cy: y(found.logprob[l]), r: found.rank[l] === 1 ? 4 : 3, class: `wb-dot wb-dot-${"ab"[i]}${found.rank[l] === 1 ? " wb-dot-first" : ""}` });
        dot.addEventListener("pointermove", (event) => tip.show(event.clientX, event.clientY, `${pair.titles[i]}, layer ${layerName(layer, found.layers.at(-1))}`, [[called[i], percent(Math.exp(found.logprob[l]))], ["rank", rank(found.rank[l])]]));
        dot.addEventListener("pointerleave", () => tip.hide());
        picture.append(dot);
      });
    });
    const longest = own.find((found) => found && found.layers.at(-1) === deepest).layers;
    const every = Math.ceil(longest.length / 12);
    longest.forEach((layer, i) => {
      if (i % every === 0 || i === longest.length - 1) picture.append(svg("text", { x: x(layer), y: height - 6, "text-anchor": i === longest.length - 1 ? "end" : "middle", class: "wb-tick", text: layerName(layer, deepest) }));
    });
    story.replaceChildren(...lines.filter(Boolean), picture, make("p", { class: "wb-keyline", text: "log-probability by layer; filled: the layer’s first guess" }));
  }

  /** Differences of log-probability by layer and token, for tokens that stand in both texts near the selected one. */
  function drawGrid(here) {
    grid.replaceChildren();
    scale.replaceChildren();
    shownColumns = [];
    if (pair.lens.note || !details[0] || !details[1]) return;
    const shown = details[0].positions.map((p) => p + 1).filter((token) => token < pair.lengths[0] && places(pair, pair.run, token)[1] !== null && of(0, token) && of(1, places(pair, pair.run, token)[1]));
    if (!shown.length) return;
    const room = Math.max(2, Math.floor((element.clientWidth - 58) / 66));
    const near = shown.findIndex((token) => token >= (here[0] ?? shown.at(-1)));
    const low = Math.max(0, Math.min(shown.length - room, (near < 0 ? shown.length - 1 : near) - Math.floor(room / 2)));
    const columns = shown.slice(low, low + room).map((token) => {
      const b = places(pair, pair.run, token)[1];
      return { token, b, own: of(0, token), other: of(1, b), same: alike(pair, [token, b]) };
    });
    shownColumns = columns;
    const pieces = texts(pair)[0];
    const kind = (column) => `${column.token === here[0] ? "wb-on" : ""}${column.same ? "" : " wb-apart"}`;
    const head = make("tr", {}, make("th", { class: "wb-lens-layer", text: "layer" }), ...columns.map((column) => make("th", { scope: "col", class: kind(column) },
      make("button", { type: "button", title: `token ${column.token}${column.b === column.token ? "" : ` and ${column.b}`}${column.same ? "" : ", after different words"}`, text: short(pieces[column.token], 8), on: { click: () => options.select && options.select({ run: pair.run, token: column.token }) } }))));
    const layers = columns[0].own.layers;
    const body = layers.map((layer, l) => make("tr", {}, make("th", { scope: "row", class: "wb-lens-layer", text: layerName(layer, layers.at(-1)) }), ...columns.map((column) => {
      const [p, q] = [column.own.logprob[l], column.other.logprob[l]];
      return make("td", { class: kind(column), style: tint((q - p) / FULL), text: Math.abs(q - p) < 0.05 ? "0.0" : `${q < p ? "−" : "+"}${Math.abs(q - p).toFixed(1)}`, on: {
        pointermove: (event) => tip.show(event.clientX, event.clientY, `“${visible(pieces[column.token])}” in layer ${layerName(layer, layers.at(-1))}`, pair.titles.map((title, i) => [title, `${percent(Math.exp(i ? q : p))}, ${rank((i ? column.other : column.own).rank[l])}`])),
        pointerleave: () => tip.hide(),
        click: () => options.select && options.select({ run: pair.run, token: column.token }),
      } });
    }))).reverse();
    const settled = make("tr", { class: "wb-lens-next" }, make("th", { class: "wb-lens-layer", text: "settled" }), ...columns.map((column) => make("td", { class: kind(column), text: `${column.own.settled} | ${column.other.settled}`, title: pair.titles.map((title, i) => `${title} has its answer from layer ${(i ? column.other : column.own).settled} on`).join("; ") })));
    grid.append(make("table", {}, make("caption", { class: "wb-hidden", text: "Difference of the log-probability of each token, by layer" }), make("thead", {}, head), make("tbody", {}, ...body), make("tfoot", {}, settled)));
    const apart = columns.some((column) => !column.same);
    scale.replaceChildren(...legend(pair.titles, FULL, (value) => `${value} nats`, "surer"), make("span", { class: "wb-caption", text: `difference in nats of the log-probability of the token on top, which really came; settled: the layer from which on each has its answer${apart ? "; dashed: after different words" : ""}` }));
  }

  const stops = [onWidth(element, paint), onTheme(paint)];
  load();

  return {
    select(next) {
      selection = next;
      return load();
    },
    destroy() {
      for (const stop of stops) stop();
      tip.hide();
      element.replaceChildren();
    },
  };
}
