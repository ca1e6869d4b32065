// The questions behind one cell of the grid: prompt, needle, answers, and a button that asks why.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { question } from "./questions.js";
import { mechanism } from "./why.js";
import { runner } from "./job.js";

/** Fills `element` with the questions of `cell` {task, length, depth}. */
export async function cellQuestions(element, grid, cell, host) {
  const note = make("p", { class: "wb-message", role: "status", text: "Reading the questions…" });
  element.replaceChildren(note);
  const why = (one) => (model, show) => runner("Why?", (told) => host.job("grid_why", { study: grid.study, ...cell, case: one.case, model: model.name }, told), (found) => show(mechanism(found, `question ${one.case + 1}`))).element;
  try {
    const { questions } = await host.ask("grid_questions", { study: grid.study, ...cell });
    const task = grid.tasks.find((one) => one.name === cell.task);
    const place = task.deep ? `, needle at ${Math.round(100 * cell.depth)} %` : "";
    element.replaceChildren(...[
      make("h3", { text: `${task.title}: ${whole(cell.length)} tokens${place}` }),
      questions.length ? null : make("p", { class: "wb-message", text: "Nothing was asked here yet." }),
      ...questions.map((one) => question(one, grid.models, why(one))),
    ].filter(Boolean));
  } catch (error) {
    note.textContent = error.message;
  }
}
