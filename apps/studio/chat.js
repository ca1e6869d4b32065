// The chat: one or two columns, and what the colour of their tokens means.

import { make } from "./dom.js";
import { modeBar } from "./tokens.js";
import { page, listen, tell } from "./wire.js";
import { column } from "./column.js";

export function chat(element, props, watch) {
  const banner = make("p", { class: "wb-banner" });
  const row = make("div", { class: "wb-columns" });
  const columns = new Map();
  let serial = -1;
  let marked = null;
  const colours = modeBar(page.mode, (next) => { page.mode = next; for (const shown of columns.values()) shown.colour(); });
  element.replaceChildren(make("div", { class: "wb wb-chat" }, banner, row, colours));

  const select = (part) => {
    const live = page.state.columns.find((data) => data.strip && data.strip.run === part.run && data.strip.live);
    tell("select", { selection: part, from: "chat", live: Boolean(live) });
  };

  function draw() {
    const next = props.value;
    if (!next || !next.columns || (page.state && next.made < page.state.made)) return;
    const state = (page.state = next);
    const names = state.columns.map((data) => data.model);
    for (const [name, shown] of columns) if (!names.includes(name)) { shown.element.remove(); columns.delete(name); }
    state.columns.forEach((data, i) => {
      if (!columns.has(data.model)) columns.set(data.model, column(select));
      const shown = columns.get(data.model);
      if (row.children[i] !== shown.element) row.insertBefore(shown.element, row.children[i] || null);
      shown.draw(data);
    });
    page.strips = [...columns.values()].map((shown) => shown.payload);
    element.classList.toggle("wb-busy", state.busy);
    banner.textContent = state.recorded;
    banner.hidden = !state.recorded;
    tell("state", state);
    if (state.serial !== serial && state.selection.run) {
      serial = state.serial;
      tell("select", { selection: state.selection, from: "state" });
    } else if (marked) for (const shown of columns.values()) shown.mark(marked);
  }

  listen("select", ({ selection }) => {
    marked = selection;
    for (const shown of columns.values()) shown.mark(marked);
  });
  let waiting = false;
  watch("value", () => { // at most once a frame: a slow browser skips states instead of falling behind
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });
  draw();
}
