// The retrieval grid in a notebook: the grid's view, the study's progress, and behind a cell its questions and why they were answered.
// model: names, models_shown, tasks [{name, title}], task, measure, selection {task, length, depth, model}, progress {done, of,
// seconds_left}, runs_here, busy, note. Messages of the kernel (grid.py): {grid: "grown", task, measure, payload}, {grid: "why", case,
// model, found | error}.

import { make, choice } from "./dom.js";
import { modelName, whole } from "./data.js";
import { draw } from "./grid.js";
import { question } from "./questions.js";
import { mechanism } from "./why.js";

const MEASURES = [["right", "right answers"], ["logprob", "log-probability"]];

function seconds(left) {
  if (left === null || left === undefined) return "";
  return left < 90 ? `about ${Math.max(1, Math.round(left))} s left` : `about ${Math.round(left / 60)} min left`;
}

/** Draws the widget of `model` into `element`; returns {destroy}. */
export function start(model, element, ask, spread) {
  const begin = make("button", { type: "button", class: "wb-button wb-chat-send", text: "Run", on: { click: () => order("run") } });
  const stop = make("button", { type: "button", class: "wb-button", text: "Stop", on: { click: () => order("stop") } });
  const fill = make("i");
  const bar = make("span", { class: "wb-meter wb-grid-progress", "aria-hidden": "true" }, fill);
  const told = make("span", { class: "wb-caption", role: "status" });
  const note = make("p", { class: "wb-message wb-chat-note", role: "alert" });
  const picture = make("div");
  const behind = make("div", { class: "wb-questions" });
  const choices = make("div", { class: "wb-bar" });
  const running = make("div", { class: "wb-chat-buttons wb-grid-run" }, begin, stop, bar, told);
  element.replaceChildren(make("div", { class: "wb wb-look-card wb-chat wb-grid-card" }, running, choices, note, picture, behind));
  let view = null;
  let shown = null; // the payload that is drawn
  let telling = false;
  let turn = 0;
  const waiting = new Map(); // "case/model" -> show what came of a "Why?"

  async function order(kind, more = {}) {
    note.textContent = "";
    const found = await ask({ ...more, kind });
    if (found.error) note.textContent = found.error;
    return found;
  }

  /** Names of the picture's models, and what the kernel calls them. */
  const called = (title) => model.get("models_shown").find((name) => modelName(name) === title) ?? title;

  /** The open cell as the view marks it; null when another task's is open. */
  function marked() {
    const { task, length, depth, model: name } = model.get("selection");
    if (!shown || task !== model.get("task")) return null;
    const [row, column] = [shown.depths.findIndex((one) => Math.abs(one - depth) < 1e-5), shown.lengths.indexOf(length)];
    return row < 0 || column < 0 ? null : { row, column, length, depth, model: name };
  }

  function paint({ task, measure, payload }) {
    if (task !== model.get("task") || measure !== model.get("measure")) return;
    const same = shown && shown.models.join() === payload.models.join() && shown.words.score === payload.words.score;
    shown = payload;
    if (view && same) return view.update(payload);
    if (view) view.destroy();
    const cell = marked();
    view = draw(picture, payload, { select: pick, selection: cell ? { cell } : undefined });
  }

  async function redraw() {
    const mine = ++turn;
    const found = await ask({ kind: "picture" });
    if (mine !== turn) return;
    if (found.error) note.textContent = found.error;
    else paint(found);
  }

  function pick({ cell }) {
    telling = true;
    model.set("selection", { task: model.get("task"), length: cell.length, depth: cell.depth, model: cell.model === null ? null : called(cell.model) });
    telling = false;
    model.save_changes();
    spread(model.get("selection"));
    open();
  }

  const key = (one, name) => `${one}/${name}`;

  /** What stands in a question's row: a button, or what is known already. */
  function why(one, known) {
    return ({ name }, show) => {
      const there = known.find((other) => other.case === one.case && other.model === name);
      if (there) requestAnimationFrame(() => show(mechanism(there.found, `question ${one.case + 1}`)));
      const button = make("button", { type: "button", class: "wb-button", text: there ? "known" : "Why?", disabled: Boolean(there), on: { click: async () => {
        button.disabled = true;
        button.textContent = "working…";
        waiting.set(key(one.case, name), (message) => {
          button.textContent = message.error ? "Why?" : "known";
          button.disabled = !message.error;
          if (message.error) note.textContent = message.error;
          else show(mechanism(message.found, `question ${one.case + 1}`));
        });
        const { task, length, depth } = model.get("selection");
        const found = await order("why", { task, length, depth, case: one.case, model: name });
        if (found.error) hear({ grid: "why", case: one.case, model: name, error: found.error });
      } } });
      return button;
    };
  }

  async function open() {
    const { task, length, depth } = model.get("selection");
    waiting.clear();
    if (length === undefined) return behind.replaceChildren();
    const title = model.get("tasks").find((one) => one.name === task)?.title ?? task;
    const head = make("h3", { text: `${title}: ${whole(length)} tokens, depth ${Math.round(100 * depth)} %` });
    behind.replaceChildren(head, make("p", { class: "wb-message", role: "status", text: "Reading the questions…" }));
    const found = await ask({ kind: "questions", task, length, depth });
    const now = model.get("selection");
    if (now.task !== task || now.length !== length || now.depth !== depth) return;
    const models = model.get("names").map((name) => ({ name, title: modelName(name) }));
    behind.replaceChildren(head, ...(found.error ? [make("p", { class: "wb-message", text: found.error })]
      : found.questions.length ? found.questions.map((one) => question(one, models, why(one, found.known)))
        : [make("p", { class: "wb-message", text: "Nothing was asked here yet." })]));
  }

  function hear(message) {
    if (message.grid === "grown") paint(message);
    if (message.grid !== "why") return;
    const show = waiting.get(key(message.case, message.model));
    waiting.delete(key(message.case, message.model));
    if (show) show(message);
  }

  function drawChoices() {
    const set = (name) => (value) => {
      model.set(name, value);
      model.save_changes();
    };
    const tasks = model.get("tasks").map((one) => [one.name, one.title, one.title]);
    choices.replaceChildren(
      ...(tasks.length > 1 ? [choice("Task", tasks, model.get("task"), set("task")).element] : []),
      choice("Measure", MEASURES.map(([name, label]) => [name, label, label]), model.get("measure"), set("measure")).element);
  }

  function progress() {
    const { done, of, seconds_left: left } = model.get("progress");
    const busy = model.get("busy");
    running.hidden = !model.get("runs_here");
    begin.disabled = busy || done >= of;
    stop.disabled = !busy;
    fill.style.width = `${(100 * done) / Math.max(1, of)}%`;
    told.textContent = `${done} of ${of} questions${busy && done < of ? ` · ${seconds(left)}` : ""}`;
    element.dataset.done = done;
  }

  const tell = () => { note.textContent = model.get("note"); };
  const follow = () => {
    if (telling) return;
    const cell = marked();
    if (view && cell) view.select({ cell });
    open();
  };
  const changed = () => { drawChoices(); redraw(); };
  const events = {
    "change:progress": progress, "change:busy": progress, "change:note": tell, "change:selection": follow,
    "change:task": changed, "change:measure": changed, "change:models_shown": redraw, "msg:custom": hear,
  };
  for (const [name, listener] of Object.entries(events)) model.on(name, listener);
  drawChoices();
  progress();
  tell();
  redraw().then(() => { if (model.get("selection").length !== undefined) open(); });
  return {
    destroy() {
      for (const [name, listener] of Object.entries(events)) model.off(name, listener);
      if (view) view.destroy();
    },
  };
}
