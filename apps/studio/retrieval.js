// Retrieval grid: a recorded one first, then the visitor's own as it grows; a cell opens on its questions.

import { make } from "./dom.js";
import { whole, unpack } from "./data.js";
import { blobOf, save } from "./files.js";
import { draw } from "./grid.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";
import { retrievalForm } from "./retrievalform.js";
import { cellQuestions } from "./cellquestions.js";

const MEASURES = [["right", "right answers"], ["logprob", "log-probability"]];
const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
const signed = (value, digits = 2) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`);

/** What grid.js draws: one model's payload, or two and their difference. */
function payload(grid, task, measure, names) {
  const made = names.map((name) => grid.views[task][measure][name]);
  const found = { ...made[0], models: made.flatMap((one) => one.models), grids: made.flatMap((one) => one.grids), difference: null };
  if (made.length < 2) return found;
  const [a, b] = found.grids.map((one) => unpack(one.score));
  found.difference = { dtype: "float32", shape: made[0].grids[0].score.shape, values: a.map((value, i) => b[i] - value) };
  return found;
}

export const retrieval = {
  id: "grid",
  title: "Retrieval grid",
  hint: "Something is hidden in texts of exact lengths, at several depths: which model finds it again? A cell opens on its questions, and each answer on why it came.",
  async draw(element, host) {
    const known = await host.ask("grid_known");
    let grid = null;
    let views = [];
    let drawn = "";
    let cell = null;
    const recorded = make("p", { class: "wb-message wb-recorded" });
    const picture = make("div");
    const questions = make("div", { class: "wb-questions" });
    const tables = make("div", { class: "wb-retrieval-tables" });
    const [task, measure, first, second] = [0, 1, 2, 3].map(() => make("select", { on: { change: () => paint() } }));
    measure.append(...MEASURES.map(([value, text]) => make("option", { value, text })));
    const threshold = make("input", { type: "number", class: "wb-suite-number", min: 0.01, max: 1, step: 0.01, value: known.threshold.toFixed(3), on: { change: () => reach() } });
    const effective = make("div", { class: "wb-retrieval-tables" });
    const form = retrievalForm(known);

    /** The options of a select, its choice kept where it is still there. */
    function options(select, pairs, otherwise) {
      const before = select.value;
      const text = JSON.stringify(pairs);
      if (select.dataset.has === text) return;
      const first = !select.dataset.has;
      select.dataset.has = text;
      select.replaceChildren(...pairs.map(([value, label]) => make("option", { value, text: label })));
      select.value = !first && pairs.some(([value]) => value === before) ? before : otherwise;
    }

    const names = () => [first.value, second.value].filter((name, i, all) => name && all.indexOf(name) === i);
    const title = (name) => (grid.models.find((one) => one.name === name) || { title: name }).title;

    function select({ cell: at }) {
      cell = { task: task.value, length: at.length, depth: at.depth };
      cellQuestions(questions, grid, cell, host);
    }

    function paint() {
      if (!grid) return;
      const pair = names();
      const wanted = pair.length > 1 ? [[pair[0]], pair] : [pair]; // one above the other: the first, the second or their difference
      const shown = wanted.map((some) => payload(grid, task.value, measure.value, some));
      if (drawn === pair.join("\n")) views.forEach((view, i) => view.update(shown[i]));
      else {
        for (const view of views) view.destroy();
        const places = shown.map(() => make("div"));
        picture.replaceChildren(...places);
        views = shown.map((one, i) => draw(places[i], one, { select, shown: i ? [one.models[1], "difference"] : undefined }));
        drawn = pair.join("\n");
      }
      table();
    }

    async function reach() {
      if (!grid) return;
      try {
        const { rows } = await host.ask("grid_effective", { study: grid.study, threshold: threshold.valueAsNumber });
        lengths(rows);
      } catch (error) {
        effective.replaceChildren(make("p", { class: "wb-message", role: "alert", text: error.message }));
      }
    }

    function lengths(rows) {
      effective.replaceChildren(rows.length ? sheet("Effective length", [
        { name: "model", show: title }, { name: "task", show: named },
        { name: "effective_length", title: "tokens", kind: "number", show: whole },
        { name: "sure", title: "by the interval's low end", kind: "number", show: whole },
        { name: "longest", title: "longest asked", kind: "number", show: whole },
      ], rows) : make("p", { class: "wb-message", text: "Nothing was answered yet." }));
    }

    const named = (name) => (grid.tasks.find((one) => one.name === name) || { title: name }).title;
    const file = (kind) => make("button", { type: "button", class: "wb-action", text: kind === "jsonl" ? "JSONL" : "parquet", title: "Every question with its answer", on: { click: async () => {
      try {
        const found = await host.ask("grid_file", { study: grid.study, kind });
        save(found.name, blobOf(found));
      } catch (error) {
        recorded.textContent = error.message;
      }
    } } });

    function table() {
      const pair = names();
      const found = pair.length < 2 ? null : grid.pairs.find((one) => pair.includes(one.a) && pair.includes(one.b));
      const turned = found && found.a !== pair[0] ? { rows: found.rows.map((row) => ({ ...row, only_a: row.only_b, only_b: row.only_a, difference: -row.difference, logprob_difference: -row.logprob_difference })) } : found;
      const ofTask = (rows) => rows.filter((row) => row.task === task.value);
      const files = takeaway("retrieval-cells", grid.cells);
      files.append(file("jsonl"), file("parquet"));
      tables.replaceChildren(...[
        heading("Right by length", files),
        sheet("Right by length", [
          { name: "length", title: "tokens", kind: "number", show: whole },
          ...grid.models.flatMap((one) => [
            { name: one.name, title: one.title, kind: "number", show: (row) => (row ? `${percent(row.right)} (${Math.round(100 * row.low)} to ${Math.round(100 * row.high)}, n ${row.n})` : "–") },
            { name: one.name, title: "nats a token", kind: "number", show: (row) => (row ? signed(row.logprob, 3) : "–") },
          ]),
        ], grid.lengths.map((length) => ({ length, ...Object.fromEntries(ofTask(grid.by_length).filter((row) => row.length === length).map((row) => [row.model, row])) }))),
        turned && ofTask(turned.rows).length ? heading(`Paired: ${title(pair[1])} less ${title(pair[0])}, on the same questions`) : null,
        turned && ofTask(turned.rows).length ? sheet("Paired on the same questions", [
          { name: "length", title: "tokens", kind: "number", show: whole }, { name: "n", kind: "number", show: String }, { name: "both", title: "both right", kind: "number", show: String },
          { name: "only_a", title: `only ${title(pair[0])}`, kind: "number", show: String }, { name: "only_b", title: `only ${title(pair[1])}`, kind: "number", show: String },
          { name: "neither", kind: "number", show: String }, { name: "difference", title: "difference, points", kind: "number", show: (value) => signed(100 * value, 0) },
          { name: "p", title: "p (McNemar)", kind: "number", show: (value) => (value < 0.001 ? "< 0.001" : value.toFixed(3)) },
        ], ofTask(turned.rows)) : null,
        make("p", { class: "wb-caption", text: "In brackets and in the cells: Wilson's 95 % interval over questions, as if each had a text of its own; in the repeated noise (pass key, variable tracking) those of a cell share theirs, so it is too narrow there. Nats a token: log-probability of the right answer. p: McNemar's exact test on questions that both have answered." }),
        make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: grid.code })),
      ].filter(Boolean));
    }

    function show(next, said = "") {
      const fresh = !grid || grid.study !== next.study || grid.lengths.join() !== next.lengths.join() || grid.depths.join() !== next.depths.join();
      grid = next;
      recorded.textContent = [said, grid.done < grid.of ? `${whole(grid.done)} of ${whole(grid.of)} questions are answered; Measure goes on from there.` : ""].filter(Boolean).join(" ");
      if (fresh) {
        cell = null;
        questions.replaceChildren();
      }
      const models = grid.models.map((one) => [one.name, one.title]);
      options(task, grid.tasks.map((one) => [one.name, one.title]), grid.tasks[0].name);
      options(first, models, models[0][0]);
      options(second, [["", "nothing"], ...models], models.length > 1 ? models[1][0] : "");
      lengths(grid.effective);
      if (threshold.valueAsNumber !== grid.threshold) reach();
      paint();
    }

    // The form is read before the job starts; what `runner` wants is there at once.
    const begin = (name) => (told) => {
      let work = null;
      let stopping = false;
      const done = form.request().then((one) => {
        work = host.job(name, one, told);
        if (stopping) work.stop();
        return work.done;
      });
      return { done, stop: () => { stopping = true; if (work) work.stop(); } };
    };
    const cost = make("p", { class: "wb-message wb-cost", role: "status" });
    const estimate = runner("Estimate", begin("grid_estimate"), (found) => { cost.textContent = found.said; });
    estimate.element.querySelector(".wb-go").classList.remove("wb-go");
    const run = runner("Measure", begin("grid_start"), (found) => show(found));
    const back = make("button", { type: "button", class: "wb-action", text: "Show the recorded grid", on: { click: () => open("recorded") } });

    async function open(study) {
      const found = await host.ask("grid_shown", { study });
      show(found.grid, found.recorded);
    }

    element.replaceChildren(
      make("div", { class: "wb-retrieval-page" },
        make("div", { class: "wb-retrieval-main" }, recorded,
          make("div", { class: "wb-fields" }, field("Task", task), field("Measure", measure), field("Model", first), field("against", second)),
          picture, questions),
        make("div", { class: "wb-retrieval-side" }, make("h3", { text: "Ask the models yourself" }), form.element, make("div", { class: "wb-retrieval-runs" }, run.element, estimate.element), cost,
          known.recorded ? back : null)),
      heading("Effective length"),
      make("div", { class: "wb-fields" }, field("Share of right answers needed", threshold, "The longest length at which it, and every shorter one, still holds. 0.856 is RULER's bar: Llama 2 7B at 4k there.")),
      effective, tables);
    if (known.study) await open(known.study);
    else {
      recorded.textContent = "Nothing was measured yet.";

    }
  },
};
