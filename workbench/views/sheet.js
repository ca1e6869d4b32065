// Tables: drawn from plain values, and taken away as CSV or JSON; heads and fields beside them.

import { make } from "./dom.js";
import { csv, save } from "./files.js";

/** A table. `columns`: [{name, title, kind: "text" (default), "number" or "code", show(value, row)}]; `rows`: objects by
 * column name. `show` gives a text or a node; `caption` is for screen readers. A `stacked` table of texts shows each row as a block of
 * its own where the page is narrow. */
export function sheet(caption, columns, rows, stacked = false) {
  const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col", class: `wb-is-${column.kind || "text"}`, text: column.title ?? column.name })));
  const body = rows.map((row) => make("tr", {}, ...columns.map((column, i) => {
    const shown = column.show ? column.show(row[column.name], row) : row[column.name];
    const node = shown instanceof Node ? shown : document.createTextNode(shown ?? "–");
    return make(i ? "td" : "th", { class: `wb-is-${column.kind || "text"}`, scope: i ? null : "row", "data-title": column.title ?? column.name, dir: column.kind === "number" ? null : "auto" }, node);
  })));
  return make("div", { class: "wb-sheet-frame", tabindex: "0", role: "region", "aria-label": caption },
    make("table", { class: stacked ? "wb-sheet wb-stacked" : "wb-sheet" }, make("caption", { class: "wb-hidden", text: caption }), make("thead", {}, head), make("tbody", {}, ...body)));
}

/** Buttons that save `rows` (all `columns` of them, or those of the first row) as `name`.csv and `name`.json. */
export function takeaway(name, rows, columns = null) {
  const names = columns || Object.keys(rows[0] || {});
  const button = (text, hint, run) => make("button", { type: "button", class: "wb-action", text, title: hint, on: { click: run } });
  return make("span", { class: "wb-actions" },
    button("CSV", "The table as a spreadsheet", () => save(`${name}.csv`, `\ufeff${csv({ columns: names, rows: rows.map((row) => names.map((one) => row[one])) })}`, "text/csv")),
    button("JSON", "The table as data", () => save(`${name}.json`, JSON.stringify(rows, null, 1), "application/json")));
}

/** A head with what can be taken away beside it. */
export function heading(text, ...tools) {
  return make("div", { class: "wb-head-line" }, make("h3", { text }), ...tools);
}

/** A labelled field. */
export function field(label, input, hint = "") {
  return make("label", { class: "wb-field" }, make("span", { class: "wb-field-name", text: label }), input, hint ? make("span", { class: "wb-caption", text: hint }) : null);
}
