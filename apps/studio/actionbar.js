// What can be done with a message: small buttons in its footer, shown while the message is pointed at or focused.

import { make, svg } from "./dom.js";
import { copy } from "./actions.js";
import { put } from "./wire.js";
import { act } from "./tab.js";

const PATHS = {
  earlier: "M10 3 5 8l5 5",
  later: "M6 3l5 5-5 5",
  copy: "M6 5V3h7v8h-2M3 5h8v8H3z",
  edit: "M3 13l1-4 7-7 3 3-7 7zM10 3l3 3",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  fork: "M4 2v12M4 9c6 0 8-2 8-6M9.500 5 12 2.500 14.500 5",
  inside: "M1.500 8S4 3.500 8 3.500 14.500 8 14.500 8 12 12.500 8 12.500 1.500 8 1.500 8zM8 6a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
};

function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}

function button(name, label, run) {
  return make("button", { type: "button", class: "wb-icon", "aria-label": label, title: label, on: { click: run } }, icon(name));
}

/** The footer of message `index`: versions, words, actions. `message()` and `model()` tell the present ones; `order(order)`
 * asks the models, `edit()` opens the message for a change. Returns {element, set}. */
export function footer(index, message, model, order, edit) {
  const here = () => ({ model: model(), index });
  const place = make("span", { class: "wb-digits" });
  const turn = (step) => act({ kind: "choose", ...here(), version: message().version - 1 + step });
  const earlier = button("earlier", "Earlier version", () => turn(-1));
  const later = button("later", "Later version", () => turn(1));
  const versions = make("span", { class: "wb-versions", role: "group", "aria-label": "Versions" }, earlier, place, later);
  const words = make("span", { class: "wb-footer-words" });
  const copying = button("copy", "Copy", async () => {
    const whole = make("div", { class: "wb-hidden", text: message().text });
    document.body.append(whole);
    const done = await copy(message().text, whole);
    whole.remove();
    copying.title = done ? "Copied" : "The browser did not allow it";
    copying.classList.toggle("wb-done", done);
    setTimeout(() => { copying.title = "Copy"; copying.classList.remove("wb-done"); }, 1500);
  });
  const editing = button("edit", "Edit and ask again", edit);
  const again = button("again", "Write another version", () => order({ kind: "again", ...here() }));
  const fork = button("fork", "Fork: go on differently from here", () => act({ kind: "fork", ...here() }));
  const inside = button("inside", "Look inside this reply", () => act({ kind: "open", ...here() }));
  const actions = make("span", { class: "wb-message-actions" }, copying, editing, again, inside, fork);
  const element = make("div", { class: "wb-footer" }, versions, words, actions);
  const set = (now) => {
    const reply = now.role === "assistant";
    element.hidden = Boolean(now.live) || now.role === "system";
    versions.hidden = !(now.versions > 1);
    put(place, `${now.version} / ${now.versions}`);
    earlier.disabled = now.version === 1;
    later.disabled = now.version === now.versions;
    put(words, now.footer || "");
    words.title = now.footer ? "Two models that share a device slow each other down: their speeds are no comparison." : "";
    editing.hidden = reply;
    again.hidden = !reply;
    inside.hidden = !reply || !now.inside || now.open;
    fork.hidden = !reply;
  };
  return { element, set };
}

/** A question as a text field, with Save and Cancel; `save(text)` asks again. */
export function editor(text, save, close) {
  const field = make("textarea", { class: "wb-edit-field", "aria-label": "Edit the question", maxlength: 200000 });
  field.value = text;
  const keep = () => { if (field.value.trim()) { close(); save(field.value); } else field.focus(); };
  const buttons = make("div", { class: "wb-edit-buttons" },
    make("button", { type: "button", class: "wb-chip", text: "Save and ask", on: { click: keep } }),
    make("button", { type: "button", class: "wb-chip", text: "Cancel", on: { click: close } }));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) keep();
    else return;
    event.preventDefault();
  });
  return { element: make("div", { class: "wb-edit" }, field, buttons), focus: () => { field.focus(); field.setSelectionRange(text.length, text.length); } };
}
