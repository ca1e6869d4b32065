// Which models a study is made with: those of the page, and up to two more under another window or theta.

import { make } from "./dom.js";
import { field } from "./sheet.js";

/** {elements, ids()} for the models that the server offers ([{id, title, plain}]). */
export function modelChoice(models) {
  const boxes = models.filter((one) => one.plain).map((one) => [make("input", { type: "checkbox", value: one.id, checked: true }), one.title]);
  const others = models.filter((one) => !one.plain);
  const besides = ["A third", "A fourth"].map((title) => [title, make("select", {}, make("option", { value: "", text: "none" }), ...others.map((one) => make("option", { value: one.id, text: one.title })))]);
  return {
    elements: [
      make("fieldset", { class: "wb-checks" }, make("legend", { class: "wb-field-name", text: "Models" }), ...boxes.map(([box, title]) => make("label", {}, box, make("span", { text: title })))),
      ...(others.length ? besides.map(([title, select]) => field(title, select)) : []),
    ],
    ids: () => [...boxes.map(([box]) => box).filter((box) => box.checked).map((box) => box.value), ...besides.map(([, select]) => select.value).filter(Boolean)],
  };
}

/** A select of all models offered. */
export function modelSelect(models) {
  return make("select", {}, ...models.map((one) => make("option", { value: one.id, text: one.title })));
}

/** Numbers of a text with commas between them. An Error with a sentence for anything else. */
export function numbers(text, what) {
  const found = text.split(/[,;\s]+/).filter(Boolean).map(Number);
  if (!found.length || found.some((one) => !Number.isFinite(one))) throw new Error(`${what}: expected numbers with commas between them.`);
  return found;
}
