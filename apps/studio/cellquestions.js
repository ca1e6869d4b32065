// The questions behind one cell of the grid: prompt, needle, answers, and a button that asks why.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { sheet } from "./sheet.js";
import { runner } from "./job.js";
import { mechanism } from "./why.js";

const nats = (value) => value.toFixed(3).replace("-", "−");

function prompt(parts) {
  return make("p", { class: "wb-prompt-cut", dir: "auto" }, ...parts.map(({ kind, text }) => {
    if (kind === "needle") return make("mark", { text, title: "the needle" });
    if (kind === "cut") return make("span", { class: "wb-caption", text: ` … ${text} characters … ` });
    return document.createTextNode(text);
  }));
}

function asked(one, grid, cell, host) {
  const below = make("div");
  const rows = grid.models.filter((model) => one.answers[model.name]).map((model) => ({ model, answer: one.answers[model.name] }));
  const table = sheet(`Answers to question ${one.case + 1}`, [
    { name: "model", show: (model) => model.title },
    { name: "answer", show: (answer) => answer.text || "(empty)" },
    { name: "right", title: "found", show: (_, row) => make("span", { class: `wb-badge ${row.answer.right ? "wb-good" : "wb-bad"}`, text: row.answer.right ? "right" : "wrong" }) },
    { name: "logprob", title: "right answer, nats a token", kind: "number", show: (_, row) => nats(row.answer.logprob) },
    { name: "why", title: "mechanism", show: (_, row) => runner("Why?", (told) => host.job("grid_why", { study: grid.study, ...cell, case: one.case, model: row.model.name }, told), (found) => below.replaceChildren(mechanism(found, `question ${one.case + 1}`))).element },
  ], rows, true);
  table.classList.add("wb-answers");
  return make("article", { class: "wb-question" },
    make("p", {}, make("b", { text: `Question ${one.case + 1}` }), make("span", { class: "wb-caption", text: ` ${whole(one.tokens)} tokens of prompt · right: ${one.references.join(", ")}` })),
    prompt(one.parts), table, below);
}

/** Fills `element` with the questions of `cell` {task, length, depth}. */
export async function cellQuestions(element, grid, cell, host) {
  const note = make("p", { class: "wb-message", role: "status", text: "Reading the questions…" });
  element.replaceChildren(note);
  try {
    const { questions } = await host.ask("grid_questions", { study: grid.study, ...cell });
    const task = grid.tasks.find((one) => one.name === cell.task);
    const place = task.deep ? `, needle at ${Math.round(100 * cell.depth)} %` : "";
    element.replaceChildren(...[
      make("h3", { text: `${task.title}: ${whole(cell.length)} tokens${place}` }),
      questions.length ? null : make("p", { class: "wb-message", text: "Nothing was asked here yet." }),
      ...questions.map((one) => asked(one, grid, cell, host)),
    ].filter(Boolean));
  } catch (error) {
    note.textContent = error.message;
  }
}
