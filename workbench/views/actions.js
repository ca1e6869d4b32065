// What can be taken away from a panel, the same everywhere: its data (CSV, NPZ), a figure (PNG, SVG, HTML), the code that makes
// it again. Three words in the panel's head; the first two open a menu, the third a text under the head.
//
// actions(panel, host): panel {name, body, tables: [[name, label]], at() -> {token, layer, head}, words() -> {title, caption, file},
//   repaint(), local() -> {tables: {name: table}, arrays: {name: array}}}; host is the views' source, of which
//   data({panel, file, token, layer, head}) -> {name, type, data: base64}, code({panel, ...}) -> {code} and
//   page({panel, ...}) -> {name, html} are used where the host has them. Without data, what the payloads hold is taken.

import { make, tip } from "./dom.js";
import { modelName } from "./data.js";
import { csv, npz, save, blobOf } from "./files.js";
import { png, svg } from "./figure.js";

/** Copies `text`; a page that may not use the clipboard selects `node` for Ctrl-C instead. True when it was copied. */
export async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return document.execCommand("copy");
  }
}

function menu(word, label, entries) {
  const list = make("div", { class: "wb-menu", role: "menu", "aria-label": label });
  list.hidden = true;
  const items = entries.map(([text, hint, run]) => make("button", { type: "button", role: "menuitem", tabindex: "-1", title: hint, text, on: { click: () => { show(false); button.focus(); run(); } } }));
  const button = make("button", { type: "button", class: "wb-action", text: word, "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label, on: { click: () => show(list.hidden) } });
  const element = make("span", { class: "wb-menu-holder" }, button, list);
  const outside = (event) => { if (!element.contains(event.target)) show(false); };

  function show(open) {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    document.removeEventListener("pointerdown", outside, true);
    if (!open) return;
    tip.hide();
    document.addEventListener("pointerdown", outside, true);
    list.style.right = "0px";
    const box = list.getBoundingClientRect();
    if (box.left < 8) list.style.right = `${box.left - 8}px`; // a narrow page: to the right until it is in sight
    items[0].focus({ preventScroll: true });
  }

  element.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") {
      show(false);
      if (event.key === "Escape") button.focus();
    } else if (to !== undefined) items[(to + items.length) % items.length].focus();
    else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("focusout", (event) => { if (event.relatedTarget && !element.contains(event.relatedTarget)) show(false); });
  list.append(...items);
  return element;
}

/** {element, note}: the three words for the panel's head, and the place under it where code and messages show. */
export function actions(panel, host = {}) {
  const note = make("div", { class: "wb-code" });
  const title = panel.title;
  note.hidden = true;

  function say(text) {
    note.replaceChildren(make("p", { class: "wb-message", role: "alert", text }));
    note.hidden = false;
    coding.setAttribute("aria-expanded", "false");
  }

  /** Runs one action; what fails is a sentence under the head. */
  async function act(work) {
    if (coding.getAttribute("aria-expanded") !== "true") note.hidden = true;
    try {
      await work();
    } catch (error) {
      say(error.message);
    }
  }

  const asked = (more) => ({ panel: panel.name, ...panel.at(), ...more });

  async function data(file) {
    if (host.data) {
      const found = await host.data(asked({ file }));
      return save(found.name, blobOf(found));
    }
    const { tables, arrays } = panel.local();
    if (file === "npz") return save(`${panel.words().file}.npz`, npz(arrays));
    if (!tables[file]) throw new Error("This part is not in this file: nothing of it was kept.");
    return save(`${panel.words().file}_${file}.csv`, `\ufeff${csv(tables[file])}`, "text/csv");
  }

  async function code() {
    if (coding.getAttribute("aria-expanded") === "true") {
      note.hidden = true;
      return coding.setAttribute("aria-expanded", "false");
    }
    const { code: text } = await host.code(asked());
    const shown = make("pre", { tabindex: "0", "aria-label": `Python that makes ${title} again`, text });
    const copied = make("button", { type: "button", class: "wb-action", text: "copy", on: { click: async () => { copied.textContent = (await copy(text, shown)) ? "copied" : "press Ctrl-C"; } } });
    const saved = make("button", { type: "button", class: "wb-action", text: "save .py", on: { click: () => save(`${panel.words().file}.py`, text, "text/x-python") } });
    const close = make("button", { type: "button", class: "wb-action", text: "close", on: { click: () => { act(code); coding.focus(); } } });
    note.replaceChildren(make("div", { class: "wb-code-head" }, make("span", { class: "wb-caption", text: "The same model, prompt, settings and capture, then what this panel shows." }), copied, saved, close), shown);
    note.hidden = false;
    coding.setAttribute("aria-expanded", "true");
  }

  const files = panel.tables.map(([name, label]) => [`CSV · ${label}`, "A table with the numbers themselves", () => act(() => data(name))]);
  files.push(["NPZ · arrays of all heads".replace(" of all heads", panel.name === "attention" ? " of all heads" : ""), "NumPy arrays: numpy.load reads them", () => act(() => data("npz"))]);
  const pictures = [
    ["PNG", "A picture at twice the size of the page", () => act(async () => save(`${panel.words().file}.png`, await png(panel)))],
    ["SVG", "Lines and texts as such; maps as pictures in it", () => act(() => save(`${panel.words().file}.svg`, svg(panel), "image/svg+xml"))],
  ];
  if (host.page) pictures.push(["HTML", "This panel as a page of its own that needs no server", () => act(async () => { const found = await host.page(asked()); save(found.name, found.html, "text/html"); })]);
  const coding = make("button", { type: "button", class: "wb-action", text: "code", "aria-expanded": "false", "aria-label": `Code of ${title}`, on: { click: () => act(code) } });
  const words = [menu("data", `Data of ${title}`, files), menu("figure", `Figure of ${title}`, pictures)];
  if (host.code) words.push(coding);
  return {
    element: make("span", { class: "wb-actions" }, ...words),
    note,
    /** Another selection: code that is shown no longer fits it. */
    stale() {
      note.hidden = true;
      coding.setAttribute("aria-expanded", "false");
    },
  };
}

/** A file name without an ending: what is shown, of which model. */
export function fileName(payload, ...parts) {
  return [modelName(payload.model), ...parts].join("_").replace(/[^\w.-]+/g, "-").slice(0, 100);
}
