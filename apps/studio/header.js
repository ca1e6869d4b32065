// The header of every page: title, one meter a model, the theme.

import { make, choice } from "./dom.js";
import { bytes, whole } from "./data.js";
import { page, listen, put } from "./wire.js";
import { share } from "./permalink.js";

function remember(theme) {
  document.body.classList.toggle("dark", theme === "dark");
  try {
    localStorage.setItem("workbench-theme", theme);
  } catch {
    // a browser may forbid storage; the choice then lasts as long as the page
  }
}

function remembered() {
  try {
    return localStorage.getItem("workbench-theme");
  } catch {
    return null;
  }
}

/** Badge, place and context use of one model. */
function meter(column) {
  const place = make("span", { class: "wb-caption" });
  const badge = make("span", { class: `wb-badge wb-tone-${column.tone}` });
  const fill = make("i");
  const text = make("span", { class: "wb-caption wb-digits" });
  const element = make("div", { class: "wb-model-meter", title: column.model },
    make("div", { class: "wb-model-line" }, badge, place),
    make("div", { class: "wb-model-line" }, make("span", { class: "wb-meter" }, fill), text));
  const set = (data) => {
    put(badge, data.switched ? `${data.title} · ${data.switched}` : data.title);
    put(place, data.dtype ? `${data.dtype} · ${data.device}` : "loading when first asked");
    put(text, data.context ? `${whole(data.used)} / ${whole(data.context)} tokens${data.kv_bytes === null ? "" : ` · KV ${bytes(data.kv_bytes)}`}` : "");
    fill.style.width = `${data.context ? Math.min(100, (100 * data.used) / data.context) : 0}%`;
  };
  return { element, set };
}

/** Links of where the page is served from. props.value: [[text, address]]. */
function links(props) {
  return ((props && props.value) || []).map(([text, href]) =>
    make("a", { class: "wb-caption wb-header-link", href, target: "_blank", rel: "noopener noreferrer", text }));
}

export function header(element, props) {
  const known = remembered();
  if (known) document.body.classList.toggle("dark", known === "dark");
  const now = document.body.classList.contains("dark") ? "dark" : "light";
  const themes = choice("Theme", [["light", "light"], ["dark", "dark"]], now, remember);
  const meters = make("div", { class: "wb-meters" });
  element.replaceChildren(make("div", { class: "wb wb-header" },
    make("div", {}, make("h1", { text: "Mistral workbench" }), make("p", { class: "wb-caption", text: "Chat with two models and look inside every token." })),
    meters, make("div", { class: "wb-header-end" }, ...links(props), share(), themes.element)));
  const shown = new Map();
  const paint = (columns) => {
    const names = columns.map((column) => column.model);
    if (names.join("\n") !== [...shown.keys()].join("\n")) {
      shown.clear();
      for (const column of columns) shown.set(column.model, meter(column));
      meters.replaceChildren(...[...shown.values()].map((one) => one.element));
    }
    for (const column of columns) shown.get(column.model).set(column);
  };
  listen("state", (state) => paint(state.columns));
  if (page.state) paint(page.state.columns);
}
