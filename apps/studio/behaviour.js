// A suite of prompts through the models: run, stopped and gone on with; answers side by side, what the checks say, scores.

import { make } from "./dom.js";
import { csv, save } from "./files.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";
import { votes } from "./votes.js";

const TITLES = { behaviour: "Short instructions", twins: "The twins' small world" };
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
const LONG = 360; // characters of a prompt that are shown at once
const AT_ONCE = 40; // items drawn before "show more"

/** Whether two models differ on an item: by the checks, or in the text of an answer where nothing is checked. */
function differs(row, models) {
  const found = models.map((model) => row.answers[model]).filter(Boolean);
  if (found.length < 2) return false;
  return found[0].passed === null ? found[0].answers.join("\n") !== found[1].answers.join("\n") : found[0].passed !== found[1].passed;
}

/** A row for every turn, as a spreadsheet wants it. */
function flat(result) {
  return result.rows.flatMap((row) => row.turns.map((prompt, turn) => {
    const found = { item: row.item, category: row.category, turn: turn + 1, prompt };
    for (const model of result.models) {
      const answer = row.answers[model];
      const last = answer && turn === row.turns.length - 1;
      found[model] = answer ? answer.answers[turn] ?? null : null;
      found[`${model} passed`] = last && answer.passed !== null ? String(answer.passed) : null;
      found[`${model} why`] = last ? answer.why.join("; ") || answer.error : null;
    }
    return found;
  }));
}

/** A text; of a long one both ends (the end often holds the question), and the whole when it is opened. */
function prompt(text) {
  if (text.length <= LONG) return make("p", { text });
  return make("details", {}, make("summary", { text: `${text.slice(0, LONG / 2)} … ${text.slice(-LONG / 2)}` }), make("p", { text }));
}

/** The scores with a row for each category and a column for each model. */
function scored(result, category) {
  const rows = [...new Set(result.scores.map((row) => row.category))].filter((one) => one === "all" || !category || one === category)
    .map((one) => ({ category: one, ...Object.fromEntries(result.scores.filter((row) => row.category === one).map((row) => [row.model, row])) }));
  const cell = (row) => (row ? `${row.passed} of ${row.n} · ${percent(row.share)} (${percent(row.low)} to ${percent(row.high)})` : "–");
  return sheet("Passed by category and model, with 95 % intervals", [{ name: "category" }, ...result.models.map((name) => ({ name, show: cell }))], rows, true);
}

/** The turns of an item with what was said to each of them. */
function asked(row) {
  return make("div", { class: "wb-suite-asked" },
    make("span", { class: "wb-caption", text: row.category ? `${row.item} · ${row.category}` : row.item }),
    row.system ? make("p", { class: "wb-caption", text: `system: ${row.system}` }) : null,
    ...row.turns.map((text, i) => prompt(row.turns.length > 1 ? `${i + 1}. ${text}` : text)),
    row.checks.length ? make("p", { class: "wb-caption", text: `right: ${row.checks.join("; ")}` }) : null,
    row.reference.length ? make("p", { class: "wb-caption", text: `reference: ${row.reference.join(" / ")}` }) : null);
}

function said(answer, turns) {
  if (!answer) return make("span", { class: "wb-caption", text: "not answered yet" });
  const mark = answer.passed === null ? null : make("span", { class: `wb-badge ${answer.passed ? "wb-good" : "wb-bad"}`, text: answer.passed ? "passed" : "failed" });
  return make("div", { class: "wb-suite-said" }, mark,
    ...answer.answers.map((text, i) => make("p", { text: (turns > 1 ? `${i + 1}. ` : "") + (text || "(empty)") })),
    answer.error ? make("p", { class: "wb-caption", text: answer.error }) : null,
    ...answer.why.map((why) => make("p", { class: "wb-caption", text: why })),
    answer.finish.includes("length") ? make("p", { class: "wb-caption", text: "cut at the longest answer" }) : null);
}

export const behaviour = {
  id: "behaviour",
  title: "Behaviour",
  hint: "A suite of prompts through the models of this page: answers side by side, and how many pass checks that need no judge. Stopped and started again with the same settings, it goes on where it was.",
  async draw(element, host) {
    const known = await host.ask("behaviour_known");
    const options = known.suites.map((one) => make("option", { value: one.name, text: `${TITLES[one.name] || one.name} (${one.items} items)` }));
    const suite = make("select", {}, ...options, make("option", { value: "", text: "a JSONL file…" }));
    const small = known.models.some((name) => name.includes("twin"));
    suite.value = small ? "twins" : "behaviour";
    const file = make("input", { type: "file", accept: ".jsonl,.json,.txt" });
    const number = (value, min, max, step = 1) => make("input", { type: "number", value, min, max, step, class: "wb-suite-number" });
    const limit = number(Math.min(40, known.most.items), 1, known.most.items);
    const tokens = number(64, 1, known.most.tokens);
    const temperature = number(0, 0, 2, "any");
    const seed = number(0, 0, 2 ** 53);
    const own = field("JSONL file", file, 'One object a line: {"prompt": "…", "answer": "…"}, or MT-Bench\'s questions.');
    const shownOwn = () => { own.hidden = suite.value !== ""; };
    suite.addEventListener("change", shownOwn);
    shownOwn();
    const safe = make("input", { type: "checkbox" });
    const out = make("div");
    const poll = votes(host, (hidden) => { out.hidden = hidden; });
    const filter = { category: "", show: "all", most: AT_ONCE };

    async function request() {
      const found = { suite: suite.value, limit: limit.valueAsNumber, tokens: tokens.valueAsNumber, temperature: temperature.valueAsNumber, seed: seed.valueAsNumber, safe_prompt: safe.checked };
      if (suite.value) return found;
      const [given] = file.files;
      if (!given) throw new Error("Choose a JSONL file first.");
      if (given.size > 4 * known.most.characters) throw new Error(`${given.name} is too large; at most ${known.most.characters.toLocaleString("en")} characters here.`);
      return { ...found, name: given.name.replace(/\.[^.]*$/, ""), text: await given.text() };
    }
    // The file is read before the job starts; what `runner` wants is there at once.
    const begin = (told) => {
      poll.begin();
      let work = null;
      let stopping = false;
      const done = request().then((one) => {
        work = host.job("behaviour_start", one, told);
        if (stopping) work.stop();
        return work.done;
      });
      return { done, stop: () => { stopping = true; if (work) work.stop(); } };
    };

    let over = false;
    function shown(result, finished = over) {
      over = finished;
      const name = `${result.suite}-answers${result.safe_prompt ? "-safe-prompt" : ""}`;
      const answered = result.rows.reduce((sum, row) => sum + Object.keys(row.answers).length, 0);
      const whole = result.of * result.models.length;
      const categories = [...new Set(result.rows.map((row) => row.category).filter(Boolean))];
      if (!categories.includes(filter.category)) filter.category = "";
      const rows = result.rows.filter((row) => (!filter.category || row.category === filter.category)
        && (filter.show === "all" || (filter.show === "differ" ? differs(row, result.models) : Object.values(row.answers).some((one) => one.passed === false))));
      const again = (change) => { Object.assign(filter, change); shown(result); };
      const pick = (label, values, value, change) => {
        const select = make("select", { on: { change: () => change(select.value) } }, ...values.map(([key, text]) => make("option", { value: key, text })));
        select.value = value;
        return field(label, select);
      };
      const lines = () => result.rows.map((row) => JSON.stringify(row)).join("\n") + "\n";
      const flats = () => { const all = flat(result); const columns = Object.keys(all[0] || {}); return csv({ columns, rows: all.map((row) => columns.map((one) => row[one])) }); };
      const button = (text, hint, run) => make("button", { type: "button", class: "wb-action", text, title: hint, on: { click: run } });
      const answers = sheet("Answers side by side", [
        { name: "item", title: "asked", show: (_, row) => asked(row) },
        ...result.models.map((model) => ({ name: model, title: model, show: (_, row) => said(row.answers[model], row.turns.length) })),
      ], rows.slice(0, filter.most), true);
      answers.classList.add("wb-suite");
      const focus = document.activeElement?.closest?.(".wb-fields")?.parentElement === out ? [...out.querySelectorAll("select")].indexOf(document.activeElement) : -1;
      out.replaceChildren(...[
        make("p", { class: "wb-finding wb-suite-sentence", text: (answered < whole ? `${answered} of ${whole} answers. ` : "") + result.sentence }),
        result.scores.length ? heading("Passed", takeaway(name.replace("-answers", "-scores"), result.scores)) : null,
        result.scores.length ? scored(result, filter.category) : null,
        result.scores.length ? make("p", { class: "wb-caption", text: "Passed: every check of the item. In brackets Wilson's 95 % interval." }) : null,
        heading(`${rows.length} of ${result.rows.length} items`,
          make("span", { class: "wb-actions" },
            button("CSV", "All answers as a spreadsheet", () => save(`${name}.csv`, `\ufeff${flats()}`, "text/csv")),
            button("JSONL", "All answers as data, one item a line", () => save(`${name}.jsonl`, lines(), "application/jsonl")))),
        make("div", { class: "wb-fields" },
          categories.length > 1 ? pick("Category", [["", "all"], ...categories.map((one) => [one, one])], filter.category, (category) => again({ category, most: AT_ONCE })) : null,
          pick("Show", [["all", "every item"], ["differ", "where the models differ"], ["failed", "where a check failed"]], filter.show, (show) => again({ show, most: AT_ONCE }))),
        rows.length ? answers : make("p", { class: "wb-message", text: "No item is like that." }),
        rows.length > filter.most ? make("button", { type: "button", class: "wb-button", text: `Show ${Math.min(AT_ONCE, rows.length - filter.most)} more`, on: { click: () => again({ most: filter.most + AT_ONCE }) } }) : null,
      ].filter(Boolean));
      if (focus >= 0) out.querySelectorAll("select")[focus]?.focus();
      poll.ready(result, over);
    }

    const work = runner("Run", begin, shown);
    element.replaceChildren(
      make("div", { class: "wb-fields" }, field("Suite", suite), own, field("Items at most", limit), field("Tokens an answer", tokens), field("Temperature", temperature), field("Seed", seed),
        make("div", { class: "wb-checks" }, make("label", { title: "Mistral's safe prompt (44 tokens) is read before every conversation" }, safe, " Safe prompt"))),
      work.element, poll.element, out);
  },
};
