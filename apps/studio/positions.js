// Loss by position: where in a text a model stops gaining from what stands before; and the induction curve.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";
import { curves } from "./curves.js";
import { modelChoice, numbers } from "./modelchoice.js";

const number = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));
const signed = (value) => (value > 0 ? `+${number(value)}` : number(value));
const range = (row) => `${whole(row.start)} to ${whole(row.stop)}`;
const code = (text) => make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text }));

/** The rows of each model as a curve over the middle of each range. */
function series(rows, titles) {
  return [...new Set(rows.map((row) => row.model))].map((name) => ({
    name: titles[name] || name,
    points: rows.filter((row) => row.model === name).map((row) => ({ x: Math.sqrt(Math.max(1, row.start) * row.stop), y: row.loss, low: row.low, high: row.high, where: `positions ${range(row)}`, said: `${number(row.loss)} (${number(row.low)} to ${number(row.high)})` })),
  }));
}

function shown(found) {
  const { titles } = found;
  const apart = found.differences.map((one) => {
    const name = `${titles[one.b]} less ${titles[one.a]}`;
    return one.rows.map((row) => ({ ...row, model: name }));
  }).flat();
  return [
    make("p", { class: "wb-message", text: `${found.texts} texts, ${whole(found.tokens)} tokens each model.` }),
    heading("Loss by position", takeaway("loss-by-position", found.curve.map((row) => ({ ...row, model: titles[row.model] || row.model })))),
    make("div", { class: "wb-curves" },
      curves(series(found.curve, titles), { title: "Mean loss by position, with 95 % bands", x: "position in the text, tokens (log scale)", y: "nats a token" }),
      apart.length ? curves(series(apart, {}), { title: "Paired difference on the same tokens, with 95 % bands", x: "position in the text, tokens (log scale)", y: "nats a token" }, { print: signed }) : null),
    sheet("Loss by position", [
      { name: "model", show: (name) => titles[name] || name }, { name: "start", title: "positions", kind: "number", show: (_, row) => range(row) },
      { name: "loss", title: "nats a token", kind: "number", show: number }, { name: "low", title: "95 % from", kind: "number", show: number }, { name: "high", title: "to", kind: "number", show: number },
      { name: "tokens", kind: "number", show: whole }, { name: "texts", kind: "number", show: String },
    ], found.curve),
    ...(apart.length ? [
      heading("Differences", takeaway("loss-differences", apart)),
      sheet("Differences", [
        { name: "model", title: "difference" }, { name: "start", title: "positions", kind: "number", show: (_, row) => range(row) },
        { name: "loss", title: "nats a token", kind: "number", show: signed }, { name: "low", title: "95 % from", kind: "number", show: signed }, { name: "high", title: "to", kind: "number", show: signed },
      ], apart),
    ] : []),
    make("p", { class: "wb-caption", text: "Bands: 32 neighbouring tokens are resampled together (block bootstrap, 2000 times). A band needs two such segments." }),
    code(found.code),
  ];
}

function induced(found) {
  const names = [...new Set(found.rows.map((row) => row.model))];
  const title = (name) => found.titles[name] || name;
  return [
    curves(names.map((name) => ({ name: title(name), points: found.rows.filter((row) => row.model === name).map((row) => ({ x: row.period, y: row.gain, low: row.low, high: row.high, said: `${signed(row.gain)} (${signed(row.low)} to ${signed(row.high)})` })) })),
      { title: `What the second copy gains on the first, ${found.draws} draws`, x: "tokens of one copy (log scale)", y: "nats a token" }, { print: signed, axis: (value) => value.toFixed(1) }),
    heading("Induction", takeaway("induction", found.rows.map((row) => ({ ...row, model: title(row.model) })))),
    sheet("Induction", [
      { name: "model", show: title }, { name: "period", title: "tokens a copy", kind: "number", show: whole }, { name: "first", title: "first copy, nats", kind: "number", show: number }, { name: "second", title: "second copy", kind: "number", show: number },
      { name: "gain", kind: "number", show: signed }, { name: "low", title: "95 % from", kind: "number", show: signed }, { name: "high", title: "to", kind: "number", show: signed },
    ], found.rows),
    code(found.code),
  ];
}

export const positions = {
  id: "loss",
  title: "Loss by position",
  hint: "The same texts, token by token: the mean loss at each range of positions. Where a curve stops falling, the model gains nothing more from what stands further back.",
  async draw(element, host) {
    const known = await host.ask("loss_known");
    const models = modelChoice(known.models);
    const text = make("textarea", { spellcheck: "false", class: "wb-tall", placeholder: `Left empty: ${known.texts} long chats in the twins' language, held out from their training. A line of --- parts several texts` });
    const file = make("input", { type: "file", accept: ".txt,.md,text/plain", on: { change: async () => { if (file.files.length) text.value = await file.files[0].text(); } } });
    const length = make("input", { type: "number", class: "wb-suite-number", min: 2, max: known.context, placeholder: "all" });
    const sizes = [];
    for (let size = 8; 2 * size + 1 <= known.context; size *= 2) sizes.push(size);
    const periods = make("input", { type: "text", inputmode: "numeric", value: sizes.slice(0, 8).join(", ") });
    const out = make("div");
    const second = make("div");
    let drawn = null; // texts in what is shown: what came before is not drawn again
    const run = runner("Read", (told) => {
      drawn = null;
      return host.job("loss_start", { models: models.ids(), text: text.value, length: length.value ? length.valueAsNumber : null }, told);
    }, (found, over) => {
      if (!over && found.texts === drawn) return;
      drawn = found.texts;
      out.replaceChildren(...shown(found));
    });
    let rows = 0;
    const copies = runner("Read random tokens twice", (told) => {
      rows = 0;
      let asked = null;
      try {
        asked = numbers(periods.value, "Tokens of one copy");
      } catch (error) {
        return { done: Promise.reject(error), stop: () => {} };
      }
      return host.job("loss_induction", { models: models.ids(), periods: asked }, told);
    }, (found, over) => {
      if (!over && found.rows.length === rows) return;
      rows = found.rows.length;
      second.replaceChildren(...induced(found));
    });
    const wide = field("Texts", text);
    wide.classList.add("wb-wide");
    element.replaceChildren(
      make("div", { class: "wb-fields" }, ...models.elements, field("Tokens of each text", length)),
      make("details", { class: "wb-own" }, make("summary", { text: "Your own texts" }), make("div", { class: "wb-fields" }, wide, field("or a text file", file))),
      run.element, out,
      heading("Induction: random tokens, twice"),
      make("p", { class: "wb-message", text: "Random tokens have no other regularity: what the second copy gains was read from the first one." }),
      make("div", { class: "wb-fields" }, field("Tokens of one copy", periods)), copies.element, second);
  },
};
