// The page of a study's result: its sentence, its retrieval grids, charts and tables, and where it comes from.
// Data (result_page.py): {title, line, sentence, grids: [{caption, payload, trials: [object]}], charts: [{caption, payload}],
// tables: [{caption, columns: [{name, kind}], rows: [[value]], of}], provenance}.

import { choice, make } from "./dom.js";
import { inflated, whole } from "./data.js";
import { draw as drawChart } from "./charts.js";
import { draw as drawGrid } from "./grid.js";
import { sheet, takeaway } from "./sheet.js";

const SHOWN = 50; // rows before "all"

const spelled = (value) => (value === null ? "" : typeof value === "number" ? (Number.isInteger(value) ? whole(value) : Math.abs(value) >= 1e4 ? whole(Math.round(value)) : String(value && Math.abs(value) < 1e-4 ? value.toExponential(2) : Number(value.toPrecision(4))).replace("-", "−")) : value === true ? "yes" : value === false ? "no" : String(value));

/** A table that sorts by the column whose head is pressed. */
function table(found, id) {
  const box = make("section", { class: "wb-card" });
  let order = found.rows.map((_, i) => i);
  let [sorted, down, all] = [-1, false, found.rows.length <= SHOWN];
  const objects = found.rows.map((row) => Object.fromEntries(found.columns.map(({ name }, i) => [name, row[i]])));
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const paint = () => {
    const columns = found.columns.map(({ name, kind }) => ({ name, kind, show: (value) => spelled(value) }));
    const drawn = sheet(found.caption || "The result as a table", columns, (all ? order : order.slice(0, SHOWN)).map((i) => objects[i]));
    drawn.querySelectorAll("thead th").forEach((head, i) => {
      const text = head.textContent;
      head.setAttribute("aria-sort", i === sorted ? (down ? "descending" : "ascending") : "none");
      head.replaceChildren(make("button", { type: "button", class: "wb-sorts", title: "Sort by this column", text: text + (i === sorted ? (down ? " ↓" : " ↑") : ""), on: { click: () => {
        down = i === sorted ? !down : found.columns[i].kind === "number";
        sorted = i;
        order = found.rows.map((_, k) => k).sort((a, b) => {
          const [one, other] = [found.rows[a][i], found.rows[b][i]];
          if (one === null || other === null) return (one === null) - (other === null);
          return down ? compare(other, one) : compare(one, other);
        });
        paint();
        box.querySelectorAll(".wb-sorts")[i].focus();
      } } }));
    });
    const more = all ? null : make("button", { type: "button", class: "wb-button", text: `All ${whole(found.rows.length)} rows`, on: { click: () => { all = true; paint(); } } });
    const missing = found.of > found.rows.length ? make("p", { class: "wb-caption", text: `The first ${whole(found.rows.length)} of ${whole(found.of)} rows; the saved result has all.` }) : null;
    box.replaceChildren(...[make("div", { class: "wb-head-line" }, make("h2", { text: found.caption || "Table" }), takeaway(`table-${id + 1}`, objects)), drawn, more, missing].filter(Boolean));
  };
  paint();
  return box;
}

/** A grid; a click on a cell shows its questions. */
function grid(found) {
  const [view, below] = [make("div"), make("div", { class: "wb-grid-answers", "aria-live": "polite" })];
  const box = make("section", { class: "wb-card" }, make("h2", { text: found.caption }), view, below);
  const select = ({ cell }) => {
    const rows = found.trials.filter((one) => one.length === cell.length && Math.abs(one.depth - cell.depth) < 1e-6 && (!cell.model || one.model === cell.model));
    const columns = [{ name: "model" }, { name: "case", kind: "number" }, { name: "expected" }, { name: "answer" }, { name: "right", show: (value) => make("span", { class: `wb-badge ${value ? "wb-good" : "wb-bad"}`, text: value ? "right" : "wrong" }) }, { name: "logprob", title: "right answer, nats a token", kind: "number", show: spelled }];
    below.replaceChildren(make("h3", { text: `${whole(cell.length)} tokens, depth ${Math.round(100 * cell.depth)} %: ${rows.length} answers` }), rows.length ? sheet("Answers of the cell", columns, rows, true) : make("p", { class: "wb-caption", text: "The answers of this cell are not in this file." }));
  };
  return { box, start: () => drawGrid(view, found.payload, { select }) };
}

/** Reads the data that the page holds and draws them. */
export async function open(page) {
  const data = await inflated(page.getElementById("data"));
  const theme = choice("Theme", [["light", "light"], ["dark", "dark"]], page.documentElement.dataset.theme, (name) => { page.documentElement.dataset.theme = name; }).element;
  const grids = data.grids.map(grid);
  const charts = data.charts.map((one) => ({ one, view: make("div") }));
  page.body.append(make("div", { class: "wb wb-report" },
    make("header", {}, make("h1", { text: data.title }), theme),
    make("main", { class: "wb-report-one wb-result" },
      make("section", { class: "wb-card" }, make("p", { class: "wb-result-line", text: data.line }), data.sentence ? make("p", { class: "wb-result-said", text: data.sentence }) : null),
      ...grids.map(({ box }) => box),
      ...charts.map(({ one, view }) => make("section", { class: "wb-card" }, one.caption ? make("h2", { text: one.caption }) : null, view)),
      ...data.tables.map(table)),
    make("footer", { class: "wb-card" }, make("details", {}, make("summary", { text: "Where this comes from" }), make("pre", { text: data.provenance })))));
  for (const { start } of grids) start();
  for (const { one, view } of charts) drawChart(view, one.payload);
  page.documentElement.dataset.drawn = "";
}
