// Reach and RoPE: which keys a query sees, how far layers hand on, what rotary pairs tell apart; and the reach measured.

import { make } from "./dom.js";
import { thetaText, whole } from "./data.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";
import { curves } from "./curves.js";
import { modelSelect } from "./modelchoice.js";

const period = (value) => (value < 100 ? value.toFixed(1) : whole(Math.round(value)));

function arithmetic(found) {
  const rows = found.models.map((one) => ({ ...one, limit: one.reach === null ? "all of them" : whole(one.reach), keys: `${whole(one.seen[0])} to ${whole(one.seen[1])}` }));
  return [
    heading("Which keys a query sees", takeaway("reach", found.models.flatMap((one) => one.field.map((tokens, layer) => ({ model: one.name, layer, tokens }))))),
    sheet("Which keys a query sees", [
      { name: "name", title: "model" }, { name: "window", kind: "number", show: (value) => (value === null ? "none" : whole(value)) }, { name: "layers", kind: "number", show: String },
      { name: "keys", title: `keys of the last query, at ${whole(found.tokens - 1)}`, kind: "number" },
      { name: "limit", title: "tokens that reach it, L(W − 1) + 1", kind: "number" },
    ], rows),
    curves(found.models.map((one) => ({ name: one.name, points: one.field.map((y, x) => ({ x, y, said: `${whole(y)} tokens`, where: x ? `after layer ${x}` : "embedding" })) })),
      { title: `Tokens that the last of ${whole(found.tokens)} depends on, layer by layer: a layer hands on window − 1 tokens`, x: "layer", y: "tokens" }, { log: false, print: (value) => whole(Math.round(value)), dots: found.models[0].layers <= 12 }),
  ];
}

function rope(found) {
  const pairs = Math.max(...found.ropes.map((one) => one.pairs));
  const rows = Array.from({ length: pairs }, (_, pair) => ({ pair, ...Object.fromEntries(found.ropes.map((one, i) => [`r${i}`, one.wavelengths[pair] ? one.wavelengths[pair].wavelength : null])) }));
  const name = (one) => `theta ${thetaText(one.theta)} (${one.names.join(", ")})`;
  const slow = (value) => make("span", { class: value > found.tokens ? "wb-slow" : "", text: value === null ? "–" : period(value) });
  return [
    heading("RoPE: wavelengths of the rotary pairs", takeaway("rope-wavelengths", found.ropes.flatMap((one) => one.wavelengths.map((row) => ({ theta: one.theta, ...row }))))),
    make("ul", { class: "wb-found" }, ...found.ropes.map((one) => make("li", { text: `${name(one)}: ${one.slow} of ${one.pairs} pairs do not turn once in ${whole(found.tokens)} tokens.` }))),
    make("div", { class: "wb-curves" },
      curves(found.ropes.map((one) => ({ name: name(one), points: one.wavelengths.map((row) => ({ x: row.pair, y: Math.log10(row.wavelength), where: `pair ${row.pair}`, said: `${period(row.wavelength)} tokens` })) })),
        { title: "Wavelength of each pair", x: "rotary pair", y: "tokens (log scale)" }, { log: false, dots: false, print: (value) => (value < 4 ? String(Math.round(10 ** value)) : `1e${Math.round(value)}`) }),
      curves(found.ropes.map((one) => ({ name: name(one), points: one.similarity.map(([x, y]) => ({ x, y, where: `${whole(x)} tokens apart` })) })),
        { title: "Score of a key equal to its query, as a share of that at distance 0, all pairs alike", x: "distance in tokens (log scale)", y: "share" }, { dots: false })),
    make("details", { class: "wb-own" }, make("summary", { text: `All ${pairs} pairs` }),
      sheet("Wavelengths in tokens", [{ name: "pair", kind: "number", show: String }, ...found.ropes.map((one, i) => ({ name: `r${i}`, title: `${name(one)}, tokens`, kind: "number", show: slow }))], rows),
      make("p", { class: "wb-caption", text: "Bold: longer than the text, so the pair tells near from far over all of it." })),
  ];
}

function measured(found) {
  const some = found.points.filter((one) => one.influence > 0);
  const none = found.points.length - some.length;
  return [
    make("p", { class: "wb-finding", text: found.said }),
    heading("Influence by distance", takeaway("measured-reach", found.points)),
    some.length > 1 ? curves([{ name: found.title, points: some.map((one) => ({ x: one.distance + 1, y: Math.log10(one.influence), where: `${whole(one.distance)} tokens before the last`, said: one.influence.toExponential(1) })) }],
      { title: `Influence of a token on the last one, by ${found.method}${none ? `; ${none} further places have none at all` : ""}`, x: "distance from the end + 1, tokens (log scale)", y: "influence (log scale)" },
      { print: (value) => `1e${value.toFixed(0)}`, marks: found.expected < found.tokens ? [[found.expected, "L(W − 1) + 1"]] : [], dots: some.length < 40 }) : null,
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })),
  ].filter(Boolean);
}

export const reach = {
  id: "reach",
  title: "Reach & RoPE",
  hint: "With a sliding window a query sees its last W keys, itself included, and every layer hands on W − 1 tokens more. RoPE turns pairs of dimensions with the distance; theta says how slowly.",
  async draw(element, host) {
    const known = await host.ask("reach_known");
    const pair = make("select", {}, make("option", { value: "page", text: "the models of this page" }), make("option", { value: "7B", text: "the 7B pair (no weights needed)" }));
    const tokens = make("input", { type: "number", class: "wb-suite-number", min: 2, max: 1_000_000, value: known.context });
    const out = make("div", { class: "wb-reach" });
    const note = make("p", { class: "wb-message", role: "alert" });
    async function show() {
      try {
        const found = await host.ask("reach_shown", { tokens: tokens.valueAsNumber, pair: pair.value });
        note.textContent = "";
        out.replaceChildren(...arithmetic(found), ...rope(found));
      } catch (error) {
        note.textContent = error.message;
      }
    }
    pair.addEventListener("change", () => { tokens.value = pair.value === "7B" ? 4096 : known.context; show(); });
    tokens.addEventListener("change", show);
    const model = modelSelect(known.models);
    const method = make("select", {}, make("option", { value: "gradient", text: "one gradient" }), make("option", { value: "change", text: "replacing tokens" }));
    const far = make("input", { type: "number", class: "wb-suite-number", min: 2, max: known.context, value: Math.min(known.context, 1600) });
    const result = make("div");
    const run = runner("Measure the reach", (told) => host.job("reach_measure", { model: model.value, method: method.value, tokens: far.valueAsNumber }, told), (found) => result.replaceChildren(...measured(found)));
    element.replaceChildren(
      make("div", { class: "wb-fields" }, field("For", pair), field("Tokens of text", tokens)), note, out,
      heading("Measured on a model"),
      make("p", { class: "wb-message", text: "Random tokens are read, and the last position is asked which of them it depends on: by the gradient with respect to every embedding, or by replacing tokens one after the other." }),
      make("div", { class: "wb-fields" }, field("Model", model), field("Tokens", far), field("By", method)), run.element, result);
    await show();
  },
};
