// The page's own drawing: header, chat columns with their token strips, and the wire between them and the inspector.
// State (apps/studio/state.py): {columns: [{model, title, tone, window, theta, dtype, device, context, kv_bytes_per_token,
//   messages: [{role, text, footer, live}], note, strip, run, used, kv_bytes}], busy, recorded, selection, serial}

import { make, choice } from "./dom.js";
import { bytes, whole } from "./data.js";
import { draw as drawTokens, modeBar } from "./tokens.js";
import { draw as drawInspector } from "./inspector.js";

const wire = new EventTarget(); // "select": {selection, from}; "state": the page's state
let state = null;
let inspector = null;
let mode = "probability"; // what the colour of tokens means, in all columns

function tell(name, detail) {
  wire.dispatchEvent(new CustomEvent(name, { detail }));
}

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

export function header(element) {
  const known = remembered();
  if (known) document.body.classList.toggle("dark", known === "dark");
  const now = document.body.classList.contains("dark") ? "dark" : "light";
  const themes = choice("Theme", [["light", "light"], ["dark", "dark"]], now, remember);
  const meters = make("div", { class: "wb-meters" });
  element.replaceChildren(make("div", { class: "wb wb-header" },
    make("div", {}, make("h1", { text: "Mistral workbench" }), make("p", { class: "wb-caption", text: "Chat with two models and look inside every token." })),
    meters, themes.element));
  const paint = (columns) => meters.replaceChildren(...columns.map((column) => {
    const share = column.context ? Math.min(1, column.used / column.context) : 0;
    const place = column.dtype ? `${column.dtype} · ${column.device}` : "loading when first asked";
    const fill = column.context ? `${whole(column.used)} / ${whole(column.context)} tokens · KV ${bytes(column.kv_bytes)}` : "";
    return make("div", { class: "wb-model-meter", title: `${column.model}: ${fill}` },
      make("div", { class: "wb-model-line" }, make("span", { class: `wb-badge wb-tone-${column.tone}`, text: column.title }), make("span", { class: "wb-caption", text: place })),
      make("div", { class: "wb-model-line" }, make("span", { class: "wb-meter" }, make("i", { style: { width: `${100 * share}%` } })), make("span", { class: "wb-caption wb-digits", text: fill })));
  }));
  wire.addEventListener("state", (event) => paint(event.detail.columns));
  if (state) paint(state.columns);
}

/** Text of a message: paragraphs as they are, ``` blocks and `code` in a typewriter face. Nothing is ever read as HTML. */
function write(node, text) {
  node.replaceChildren();
  text.split("```").forEach((part, i) => {
    if (i % 2) return node.append(make("pre", { text: part.replace(/^[\w+-]*\n/, "") }));
    part.split(/(`[^`\n]+`)/).forEach((run) => {
      if (!run) return;
      if (run.length > 2 && run.startsWith("`") && run.endsWith("`")) node.append(make("code", { text: run.slice(1, -1) }));
      else node.append(document.createTextNode(run));
    });
  });
}

function column(select) {
  const head = make("div", { class: "wb-column-head" });
  const messages = make("div", { class: "wb-messages", tabindex: "0", role: "log", "aria-label": "Conversation" });
  const note = make("p", { class: "wb-column-note", role: "status" });
  const strip = make("div", { class: "wb-column-strip" });
  const element = make("section", { class: "wb-column" }, head, messages, note, strip);
  const shown = [];
  let tokens = null;
  let title = "";

  function draw(data) {
    element.dataset.model = data.model;
    if (title !== data.title + data.window + data.theta) {
      title = data.title + data.window + data.theta;
      const facts = [data.window ? `window ${whole(data.window)}` : data.window === null ? "no window" : "", data.theta ? `θ ${data.theta.toLocaleString("en").replaceAll(",", "\u2009")}` : ""];
      messages.setAttribute("aria-label", `Conversation with ${data.title}`);
      head.replaceChildren(make("span", { class: `wb-badge wb-tone-${data.tone}`, text: data.title }), make("span", { class: "wb-caption", text: facts.filter(Boolean).join(" · ") }));
    }
    const bottom = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
    while (shown.length > data.messages.length) shown.pop().box.remove();
    data.messages.forEach((message, i) => {
      if (!shown[i]) {
        const text = make("div", { class: "wb-text", dir: "auto" });
        const footer = make("div", { class: "wb-footer" });
        const box = make("div", {}, text, footer);
        messages.append(box);
        shown[i] = { box, text, footer, value: null };
      }
      const entry = shown[i];
      entry.box.className = `wb-message-box wb-${message.role}${message.live ? " wb-live" : ""}`;
      if (entry.value !== message.text) write(entry.text, message.text);
      entry.value = message.text;
      entry.footer.textContent = message.footer || "";
      entry.footer.title = message.footer ? "Two models that share a device slow each other down: their speeds are no comparison." : "";
    });
    if (bottom) messages.scrollTop = messages.scrollHeight;
    note.textContent = data.note || (data.messages.length ? "" : "Nothing said yet.");
    if (!data.strip) {
      strip.hidden = true;
    } else {
      strip.hidden = false;
      if (tokens) tokens.update(data.strip);
      else tokens = drawTokens(strip, data.strip, { select, mode, bar: false });
    }
  }

  return { element, draw, mark: (selection) => tokens && tokens.select(selection), colour: () => tokens && tokens.colour(mode) };
}

export function chat(element, props, watch) {
  const banner = make("p", { class: "wb-banner" });
  const row = make("div", { class: "wb-columns" });
  const columns = new Map();
  let serial = -1;
  let marked = null;
  const colours = modeBar(mode, (next) => { mode = next; for (const shown of columns.values()) shown.colour(); });
  element.replaceChildren(make("div", { class: "wb wb-chat" }, banner, row, colours));

  const select = (part) => {
    const live = state.columns.find((data) => data.strip && data.strip.run === part.run && data.strip.live);
    tell("select", { selection: part, from: "chat", live: Boolean(live) });
  };

  function draw() {
    state = props.value;
    if (!state || !state.columns) return;
    const names = state.columns.map((data) => data.model);
    for (const [name, shown] of columns) if (!names.includes(name)) { shown.element.remove(); columns.delete(name); }
    state.columns.forEach((data, i) => {
      if (!columns.has(data.model)) columns.set(data.model, column(select));
      const shown = columns.get(data.model);
      if (row.children[i] !== shown.element) row.insertBefore(shown.element, row.children[i] || null);
      shown.draw(data);
    });
    element.classList.toggle("wb-busy", state.busy);
    banner.textContent = state.recorded;
    banner.hidden = !state.recorded;
    tell("state", state);
    if (state.serial !== serial && state.selection.run) {
      serial = state.serial;
      tell("select", { selection: state.selection, from: "state" });
    } else if (marked) for (const shown of columns.values()) shown.mark(marked);
  }

  wire.addEventListener("select", (event) => {
    marked = event.detail.selection;
    for (const shown of columns.values()) shown.mark(marked);
  });
  watch("value", draw);
  draw();
}

/** The place of `token` of the run `from` in the run `to`: the same index while the ids agree, else the same distance
 * from the start of the reply. */
function counterpart(from, to, token) {
  if (!from || !to || token === null) return to ? to.prompt_length : token;
  if (token < Math.min(from.prompt_length, to.prompt_length)) return token;
  return Math.min(to.tokens.length - 1, to.prompt_length + token - from.prompt_length);
}

export function inspect(element, server) {
  const ask = (run, request) => server.answer({ run, ...request });
  const source = {
    open: (run) => ask(run, { kind: "open" }),
    layer: (run, layer) => ask(run, { kind: "layer", layer }),
    row: (run, token, layer) => ask(run, { kind: "row", token, layer }),
    lens: (run, token) => ask(run, { kind: "lens", token }),
    next: (run, token) => ask(run, { kind: "next", token }),
  };
  const box = make("div", {});
  const notice = make("p", { class: "wb-message", role: "status" });
  element.replaceChildren(make("div", { class: "wb wb-card-plain" }, box, notice));
  const runs = () => (state ? state.columns : []).filter((data) => data.run).map(({ run, title, tone }) => ({ run, title, tone }));
  const stripOf = (run) => (state.columns.find((data) => data.run === run) || {}).strip;
  inspector = drawInspector(box, runs(), {
    source,
    select: (selection) => tell("select", { selection, from: "inspector" }),
    preferred: (run, selection) => counterpart(stripOf(selection.run), stripOf(run), selection.token),
  });
  let listed = "";
  wire.addEventListener("state", () => {
    const key = runs().map((run) => run.run).join(" ");
    if (key !== listed) inspector.update(runs());
    listed = key;
  });
  wire.addEventListener("select", (event) => {
    const { selection, from, live } = event.detail;
    notice.textContent = live ? "This reply is still being written; its insides open when it ends." : "";
    if (from === "inspector" || live || !selection.run) return;
    inspector.select(selection);
  });
  if (state && state.selection.run) inspector.select(state.selection);
}
