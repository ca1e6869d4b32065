// Differences: what changed between the two models, tensor by tensor, and how likely both find the same texts.

import { make, svg, onWidth } from "./dom.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";

const ROW = 24;
const known = (value) => value !== null && value !== undefined;
const number = (value) => (known(value) ? value.toFixed(3).replace("-", "−") : "–");
const signed = (value) => (known(value) && value > 0 ? `+${number(value)}` : number(value));
const short = (value) => (known(value) ? value.toPrecision(3) : "–");
const KINDS = { switch: "architecture", template: "chat template", generation: "generation config" };

export const differences = {
  id: "differences",
  title: "Differences",
  hint: "What changed between the two models: files, switches, tokenizer, chat template and every tensor; and what it does to texts that both read. For one question with attention, lens and cache as differences, use the Chat page with both models.",
  async draw(element, host) {
    const start = await host.ask("differences_known");
    if (start.models.length < 2) {
      element.replaceChildren(make("p", { class: "wb-message", text: "This needs two models. Start the page with two." }));
      return;
    }
    const titles = host.models.map((one) => one.title);
    const weights = make("input", { type: "checkbox", checked: start.small });
    const changed = make("div");
    const compare = runner("Compare the models", (told) => host.job("differences_changes", { weights: weights.checked }, told), (found) => showChanges(changed, found, titles));
    const texts = make("textarea", { class: "wb-tall", spellcheck: "false" });
    texts.value = start.texts;
    const read = make("div");
    const reading = runner("Read the texts", (told) => host.job("differences_texts", { texts: texts.value }, told), (found) => showTexts(read, found, titles));
    const form = field("Texts; a line of --- parts several", texts, "Filled in: held-out texts of the twins' language. Both models read each from its first token to its last.");
    form.classList.add("wb-wide");
    element.replaceChildren(
      heading("What changed"),
      make("div", { class: "wb-fields" }, make("div", { class: "wb-checks" }, make("label", {}, weights, make("span", { text: "every tensor of the weights, too" })))),
      compare.element, changed,
      heading("The same texts, read by both"), make("div", { class: "wb-fields" }, form), reading.element, read);
    compare.start(); // what differs is there at once; texts wait to be chosen
  },
};

const code = (text) => make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text }));

function showChanges(host, found, titles) {
  const sides = titles.map((title, i) => ({ name: "ab"[i], title, kind: "code" }));
  const parts = [make("ul", { class: "wb-found" }, ...found.sentences.map((text) => make("li", { text, dir: "auto" })))];
  if (found.stated.length) {
    parts.push(heading("Outside the weights", takeaway("changes", found.stated)), sheet("Differences outside the weights", [
      { name: "name", title: "what" }, { name: "kind", title: "where", show: (kind) => KINDS[kind] || kind }, ...sides,
    ], found.stated, true));
  }
  if (found.tensors.length) {
    parts.push(heading("Distance of the weights", takeaway("tensors", found.tensors)),
      make("p", { class: "wb-caption", text: `Relative Frobenius distance ‖b − a‖ / ‖a‖ of all numbers of a kind in a layer, a: ${titles[0]}, b: ${titles[1]}. 0 is identical; two unrelated matrices of equal norm are about 1.4 apart.` }),
      groups(found.grouped),
      make("details", { class: "wb-own" }, make("summary", { text: `All ${found.tensors.length} tensors` }), sheet("Every tensor", [
        { name: "name", title: "tensor", kind: "code" },
        { name: "shape_a", title: "shape", kind: "number", show: (shape, row) => shapes(shape, row.shape_b) },
        { name: "distance", title: "relative distance", kind: "number", show: (value, row) => (row.same ? "identical" : short(value)) },
        { name: "largest", title: "largest change", kind: "number", show: short },
        { name: "cosine", kind: "number", show: short },
      ], found.tensors)));
  }
  host.replaceChildren(...parts, code(found.code));
}

const shapes = (a, b) => [...new Set([a, b].map((one) => (one ? one.join(" × ") : "none")))].join(" | ");

/** Layer by kind: the table whose cells are tinted by their distance. */
function groups(grouped) {
  const most = Math.max(1e-9, ...grouped.data.flat().filter(known));
  const rows = grouped.index.map((layer, i) => ({ layer, ...Object.fromEntries(grouped.columns.map((kind, j) => [kind, grouped.data[i][j]])) }));
  const cell = (value) => {
    if (!known(value)) return "";
    return make("span", { class: "wb-tinted", style: { background: `rgb(var(--wb-tint) / ${(0.42 * value) / most})` }, text: value === 0 ? "0" : short(value) });
  };
  return sheet("Distance by layer and kind", [
    { name: "layer", show: (layer) => (layer < 0 ? "none" : String(layer)) },
    ...grouped.columns.map((name) => ({ name, kind: "number", show: cell })),
  ], rows);
}

function showTexts(host, found, titles) {
  const left = make("div", { class: "wb-figure" });
  const right = make("div", { class: "wb-figure" });
  const mean = found.together.find((one) => one.measure === "difference");
  const texts = found.texts.map((row) => ({ label: row.text, value: row.difference, low: null, high: null }));
  const places = found.positions.map((row) => ({ label: row["read before"], value: row.difference, low: row.low, high: row.high }));
  const losses = [{ name: "loss_a", title: `loss, ${titles[0]}`, kind: "number", show: number }, { name: "loss_b", title: `loss, ${titles[1]}`, kind: "number", show: number }, { name: "difference", title: "b less a", kind: "number", show: signed }];
  const spell = (piece) => piece.replaceAll("▁", "·").replace("<0x0A>", "⏎");
  const p = (value) => (known(value) ? (Math.exp(value) < 0.0005 ? "under 0.001" : Math.exp(value).toFixed(3)) : "–");
  host.replaceChildren(
    make("p", { class: "wb-finding", dir: "auto", text: found.sentence }),
    make("div", { class: "wb-which-two" },
      make("div", {}, heading("Loss difference of each text"), left), make("div", {}, heading("By tokens read before"), right)),
    make("p", { class: "wb-caption", text: "Nats a token, b less a: to the left of the line b finds a text more likely. Lines: 95 % t intervals over texts, each text counting once." }),
    heading("Texts", takeaway("texts", found.texts)),
    sheet("Texts", [
      { name: "text" }, { name: "tokens", kind: "number", show: String }, ...losses,
      { name: "kl_ab", title: "KL(a ‖ b)", kind: "number", show: number }, { name: "kl_ba", title: "KL(b ‖ a)", kind: "number", show: number },
    ], found.texts),
    heading("By position", takeaway("positions", found.positions)),
    sheet("By position", [
      { name: "read before" }, { name: "tokens", kind: "number", show: String }, ...losses,
      { name: "low", title: "95 % from", kind: "number", show: signed }, { name: "high", title: "to", kind: "number", show: signed },
      { name: "n", title: "texts", kind: "number", show: String },
    ], found.positions),
    heading("Tokens that differ most", takeaway("tokens", found.largest)),
    sheet("Tokens that differ most", [
      { name: "piece", title: "token", kind: "code", show: spell }, { name: "before", title: "after" }, { name: "text" },
      { name: "logprob_a", title: `p, ${titles[0]}`, kind: "number", show: p }, { name: "logprob_b", title: `p, ${titles[1]}`, kind: "number", show: p },
      { name: "difference", title: "nats, b less a", kind: "number", show: signed },
    ], found.largest.slice(0, 20), true),
    code(found.code));
  const all = mean && known(mean.low) ? [...texts, { label: "mean", value: mean.estimate, low: mean.low, high: mean.high, strong: true }] : texts;
  onWidth(left, () => left.replaceChildren(picture(all, left.clientWidth, "Loss difference of each text")));
  onWidth(right, () => right.replaceChildren(picture(places, right.clientWidth, "Loss difference by tokens read before")));
}

/** Rows {label, value, low, high}: a dot each beside the line of 0, with its interval. */
function picture(rows, width, title) {
  const values = [0, ...rows.flatMap((row) => [row.value, row.low, row.high]).filter(known)];
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (high - low < 1e-9) [low, high] = [-1, 1];
  const [from, to] = [110, width - 62];
  const x = (value) => from + ((value - low) / (high - low)) * (to - from);
  const tall = rows.length * ROW + 6;
  const node = svg("svg", { width, height: tall, viewBox: `0 0 ${width} ${tall}`, role: "img", "aria-label": `${title}: ${rows.map((row) => `${row.label} ${signed(row.value)}`).join(", ")}` });
  node.append(svg("line", { x1: x(0), x2: x(0), y1: 0, y2: tall, stroke: "var(--wb-line)", "stroke-width": 2 }));
  rows.forEach((row, i) => {
    const y = i * ROW + ROW / 2 + 2;
    const shade = row.value < 0 ? "var(--wb-b)" : "var(--wb-a)";
    const label = row.label.length > 16 ? `${row.label.slice(0, 15)}…` : row.label;
    node.append(svg("text", { x: 0, y: y + 4, fill: "var(--wb-ink)", "font-size": 12, "font-weight": row.strong ? 650 : 400, text: label }));
    if (known(row.low)) node.append(svg("line", { x1: x(row.low), x2: x(row.high), y1: y, y2: y, stroke: "var(--wb-ink)", "stroke-width": 2 }));
    node.append(svg("circle", { cx: x(row.value), cy: y, r: row.strong ? 6 : 4.5, fill: shade }));
    node.append(svg("text", { x: width, y: y + 4, fill: "var(--wb-ink)", "font-size": 12, "text-anchor": "end", text: signed(row.value) }));
  });
  return node;
}
