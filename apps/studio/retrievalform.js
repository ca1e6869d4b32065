// The form of a retrieval grid: what is asked, of which models, at which lengths and depths.

import { make } from "./dom.js";
import { field } from "./sheet.js";
import { whole } from "./data.js";
import { modelChoice, numbers } from "./modelchoice.js";

const SHARES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1];

/** {element, request(): Promise of the form's values}; an Error says what is wrong with one. */
export function retrievalForm(known) {
  const check = (value, label, on) => {
    const box = make("input", { type: "checkbox", value, checked: on });
    return [box, make("label", {}, box, make("span", { text: label }))];
  };
  const group = (title, pairs) => make("fieldset", { class: "wb-checks" }, make("legend", { class: "wb-field-name", text: title }), ...pairs.map(([, label]) => label));
  const models = modelChoice(known.models);
  const tasks = known.tasks.map((one, i) => check(one.name, one.name === "own" ? "a JSONL file…" : one.title, i === 0));
  const lengths = make("input", { type: "text", inputmode: "numeric", value: SHARES.map((share) => Math.round(known.context * share)).join(", ") });
  const depths = make("input", { type: "text", inputmode: "decimal", value: "0, 25, 50, 75, 100" });
  const number = (value, min, max) => make("input", { type: "number", value, min, max, class: "wb-suite-number" });
  const cases = number(3, 1, known.most.cases);
  const seed = number(0, 0, 2 ** 53);
  const form = make("select", {}, make("option", { value: "chat", text: "chat" }), make("option", { value: "plain", text: "a text to go on with" }));
  const file = make("input", { type: "file", accept: ".jsonl,.json,.txt" });
  const own = field("JSONL file", file, '{"needle": "…", "question": "…", "answer": "…"} in each line.');
  const haystack = make("textarea", { spellcheck: "false", placeholder: "Left empty: sentences drawn by the seed, or the task's own noise" });
  const count = make("p", { class: "wb-caption wb-digits", role: "status" });
  const chosen = (pairs) => pairs.map(([box]) => box).filter((box) => box.checked).map((box) => box.value);

  function said() {
    own.hidden = !chosen(tasks).includes("own");
    try {
      const trials = models.ids().length * chosen(tasks).length * numbers(lengths.value, "").length * numbers(depths.value, "").length * cases.valueAsNumber;
      count.textContent = Number.isFinite(trials) ? `${whole(trials)} questions at most ${known.most.trials < trials ? `(more than ${whole(known.most.trials)} cannot be asked here)` : ""}` : "";
    } catch {
      count.textContent = "";
    }
  }

  async function request() {
    const found = {
      models: models.ids(), tasks: chosen(tasks),
      lengths: numbers(lengths.value, "Lengths"), depths: numbers(depths.value, "Depths").map((one) => one / 100),
      cases: cases.valueAsNumber, seed: seed.valueAsNumber, form: form.value, haystack: haystack.value,
    };
    if (found.depths.some((one) => one < 0 || one > 1)) throw new Error("Depths: expected percentages of the text, 0 to 100.");
    if (!found.tasks.includes("own")) return found;
    if (!file.files.length) throw new Error("Choose a JSONL file first, or another task.");
    if (file.files[0].size > 8e6) throw new Error(`${file.files[0].name} is too large; at most 8 MB here.`);
    return { ...found, own: await file.files[0].text() };
  }

  const wide = field("Your own text to hide them in", haystack);
  wide.classList.add("wb-wide");
  const element = make("div", { class: "wb-retrieval-form", on: { input: said, change: said } },
    group("Tasks", tasks), own, ...models.elements,
    make("div", { class: "wb-fields" }, field("Lengths, tokens", lengths), field("Depths, percent", depths), field("Questions a cell", cases), field("Seed", seed), field("Form", form)),
    make("details", { class: "wb-own" }, make("summary", { text: "Your own haystack" }), make("div", { class: "wb-fields" }, wide)), count);
  said();
  return { element, request };
}
