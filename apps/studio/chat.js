// The chat: one or two columns, and what the colour of their tokens means.

import { make } from "./dom.js";
import { modeBar } from "./tokens.js";
import { page, listen, tell, put } from "./wire.js";
import { act, serve, returning } from "./tab.js";
import { column } from "./column.js";

const AGAIN = 600; // milliseconds between two looks at a tab whose reply is written for an earlier page of it
const SAID = 9000; // milliseconds that a sentence stays

/** Draws the columns; `order(order)` asks the models for what is not a new question (apps/studio/orders.py),
 * `restore()` for what the tab had before a reload. */
export function chat(element, props, watch, server, order, restore) {
  serve(server);
  const banner = make("p", { class: "wb-banner" });
  const row = make("div", { class: "wb-columns" });
  const columns = new Map();
  let serial = -1;
  let marked = null;
  let peer = null; // the token of another column that stands for the marked one: {run, token}
  const colours = modeBar(page.mode, (next) => { page.mode = next; for (const shown of columns.values()) shown.colour(); });
  const said = make("p", { class: "wb-said", role: "status" });
  element.replaceChildren(make("div", { class: "wb wb-chat" }, banner, said, row, colours));

  const select = (part) => {
    const live = page.state.columns.find((data) => data.strip && data.strip.run === part.run && data.strip.live);
    tell("select", { selection: part, from: "chat", live: Boolean(live) });
  };

  function draw(next) {
    if (!next || !next.columns || (page.state && next.made < page.state.made)) return;
    const state = (page.state = { ...next, columns: Object.values(next.columns) }); // a stream has them by name
    const names = state.columns.map((data) => data.model);
    for (const [name, shown] of columns) if (!names.includes(name)) { shown.element.remove(); columns.delete(name); }
    state.columns.forEach((data, i) => {
      if (!columns.has(data.model)) columns.set(data.model, column(select, order));
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
    } else if (marked) for (const shown of columns.values()) { shown.mark(marked); shown.peer(peer); }
  }

  listen("select", ({ selection }) => {
    marked = selection;
    for (const shown of columns.values()) shown.mark(marked);
  });
  listen("peer", (found) => {
    peer = found;
    for (const shown of columns.values()) shown.peer(peer);
  });
  let silence = 0;
  listen("say", (sentence) => {
    put(said, sentence);
    clearTimeout(silence);
    silence = setTimeout(() => put(said, ""), SAID);
  });
  let waiting = false;
  let streamed = 0;
  let newest = null; // an answer that is older than the one before it shall not take its frame
  watch("value", () => { // at most once a frame: a slow browser skips states instead of falling behind
    streamed = Date.now();
    if (!newest || props.value.made >= newest.made) newest = props.value;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(newest); });
  });
  listen("take", draw);
  setInterval(() => {
    if (page.state && page.state.busy && Date.now() - streamed > AGAIN) act({ kind: "look" });
  }, AGAIN);
  draw(props.value);
  if (returning()) setTimeout(restore);
}
