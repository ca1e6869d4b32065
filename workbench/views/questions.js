// A question behind a cell of the retrieval grid: its prompt, cut, with the needles marked, and what each model answered.
// Payload (questions.py): {case, tokens, references: [str], parts: [{kind: "text" | "needle" | "cut", text}],
// answers: {model name: {text, right, logprob: nats a token of the right answer}}}.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { sheet } from "./sheet.js";

const nats = (value) => value.toFixed(3).replace("-", "−");

function prompt(parts) {
  return make("p", { class: "wb-prompt-cut", dir: "auto" }, ...parts.map(({ kind, text }) => {
    if (kind === "needle") return make("mark", { text, title: "the needle" });
    if (kind === "cut") return make("span", { class: "wb-caption", text: ` … ${text} characters … ` });
    return document.createTextNode(text);
  }));
}

/** One question. `models`: [{name, title}]; `why(model, show)` gives what stands in the last column of a model's row and
 * calls show(node) to put something below the answers. */
export function question(one, models, why) {
  const below = make("div");
  const rows = models.filter((model) => one.answers[model.name]).map((model) => ({ model, answer: one.answers[model.name] }));
  const table = sheet(`Answers to question ${one.case + 1}`, [
    { name: "model", show: (model) => model.title },
    { name: "answer", show: (answer) => answer.text || "(empty)" },
    { name: "right", title: "found", show: (_, row) => make("span", { class: `wb-badge ${row.answer.right ? "wb-good" : "wb-bad"}`, text: row.answer.right ? "right" : "wrong" }) },
    { name: "logprob", title: "right answer, nats a token", kind: "number", show: (_, row) => nats(row.answer.logprob) },
    { name: "why", title: "mechanism", show: (_, row) => why(row.model, (node) => below.replaceChildren(node)) },
  ], rows, true);
  table.classList.add("wb-answers");
  return make("article", { class: "wb-question" },
    make("p", {}, make("b", { text: `Question ${one.case + 1}` }), make("span", { class: "wb-caption", text: ` ${whole(one.tokens)} tokens of prompt · right: ${one.references.join(", ")}` })),
    prompt(one.parts), table, below);
}
