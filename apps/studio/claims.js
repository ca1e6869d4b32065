// What is said about the two models, each claim with the check that ran and what it found.

import { make } from "./dom.js";
import { field, sheet, takeaway, heading } from "./sheet.js";

const GOOD = new Set(["true"]);
const BAD = new Set(["false", "false in v1", "impossible", "contradicts itself"]);

/** The verdict as a badge: its word says it, the colour only helps. */
export function verdict(text) {
  return make("span", { class: `wb-badge ${GOOD.has(text) ? "wb-good" : BAD.has(text) ? "wb-bad" : ""}`, text });
}

export const claims = {
  id: "claims",
  title: "Claims",
  hint: "What model cards, catalogues and notes say about the pair, checked against architecture, tokenizer and configs. No weights needed.",
  async draw(element, host) {
    const { claims: rows, scores, scores_note: note } = await host.ask("claims");
    const table = make("div");
    const verdicts = [...new Set(rows.map((row) => row.verdict))];
    const paint = (kept) => table.replaceChildren(sheet("Claims about v0.1 and v0.2", [
      { name: "text", title: "claim" },
      { name: "said_by", title: "said by" },
      { name: "verdict", title: "verdict", show: verdict },
      { name: "evidence", title: "what was found" },
      { name: "check", title: "check that ran", kind: "code", show: (name) => name.replaceAll("_", " ") },
    ], rows.filter((row) => !kept || row.verdict === kept), true));
    const filter = make("select", { on: { change: () => paint(filter.value) } }, make("option", { value: "", text: `all ${rows.length}` }),
      ...verdicts.map((one) => make("option", { value: one, text: `${one} (${rows.filter((row) => row.verdict === one).length})` })));
    paint("");
    element.replaceChildren(heading(`${rows.length} claims`, takeaway("claims", rows)), make("div", { class: "wb-fields" }, field("Verdict", filter)), table,
      heading(`Scores: ${note}`, takeaway("scores", scores)),
      sheet("Published scores", [{ name: "measure" }, { name: "v01", title: "v0.1" }, { name: "v02", title: "v0.2" }, { name: "source", title: "published in" }], scores, true));
  },
};
