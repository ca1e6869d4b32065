// The page's own drawing: header, chat columns with their token strips, and the wire between them and the inspector.
// State (apps/studio/state.py): {columns: [{model, title, tone, window, theta, dtype, device, context, kv_bytes_per_token,
//   messages: [{role, text, footer, live}], note, strip: {run, prompt_length, lines, live}, run, used, kv_bytes}], busy, recorded, selection, serial, made}

import { make, choice } from "./dom.js";
import { bytes, whole } from "./data.js";
import { draw as drawTokens, modeBar } from "./tokens.js";
import { draw as drawInspector } from "./inspector.js";

const wire = new EventTarget(); // "select": {selection, from}; "state": the page's state
let state = null;
let inspector = null;
let strips = []; // functions that give the payload of each column's strip
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

/** Badge, place and context use of one model. */
function meter(column) {
  const place = make("span", { class: "wb-caption" });
  const fill = make("i");
  const text = make("span", { class: "wb-caption wb-digits" });
  const element = make("div", { class: "wb-model-meter", title: column.model },
    make("div", { class: "wb-model-line" }, make("span", { class: `wb-badge wb-tone-${column.tone}`, text: column.title }), place),
    make("div", { class: "wb-model-line" }, make("span", { class: "wb-meter" }, fill), text));
  const set = (data) => {
    put(place, data.dtype ? `${data.dtype} · ${data.device}` : "loading when first asked");
    put(text, data.context ? `${whole(data.used)} / ${whole(data.context)} tokens · KV ${bytes(data.kv_bytes)}` : "");
    fill.style.width = `${data.context ? Math.min(100, (100 * data.used) / data.context) : 0}%`;
  };
  return { element, set };
}

/** Sets a node's text only when it differs: a page that is written to ten times a second must not lay itself out in vain. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
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
  wire.addEventListener("state", (event) => paint(event.detail.columns));
  if (state) paint(state.columns);
}

/** Shows `text` where `before` stands; plain text that has only grown is appended to. */
function grow(node, before, text) {
  const last = node.lastChild;
  const plain = before && text.startsWith(before) && last && last.nodeType === Node.TEXT_NODE && !text.includes("`");
  if (plain) last.appendData(text.slice(before.length));
  else write(node, text);
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

const LONG = 400; // characters of a question beyond which its middle is folded away

/** A question as text; of a long one the beginning and the end, and a button for the rest. */
function writeQuestion(node, text) {
  const characters = [...text];
  if (characters.length <= LONG) return write(node, text);
  const open = make("button", { type: "button", class: "wb-more", text: `${whole(characters.length - 190)} characters more`, on: { click: () => write(node, text) } });
  node.replaceChildren(document.createTextNode(characters.slice(0, 70).join("")), " … ", open, " … ", document.createTextNode(characters.slice(-120).join("").replace(/^\S*\s/, "")));
}

const COLUMNS = ["tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives"];

/** The token view's payload of a strip (apps/studio/strip.py); `known` is the last one, of which a longer strip of the same
 * run is the continuation, so that only new lines are read. */
function unfold(strip, known, model) {
  const same = known && known.run === strip.run && strip.lines.length >= known.read;
  const payload = { run: strip.run, model, prompt_length: strip.prompt_length, live: strip.live, read: strip.lines.length };
  const rows = strip.lines.slice(same ? known.read : 0).split("\n").slice(0, -1).map((text) => JSON.parse(text));
  COLUMNS.forEach((name, i) => {
    const added = rows.map((row) => row[i]);
    payload[name] = same ? known[name].concat(added) : added;
  });
  return payload;
}

function column(select) {
  const head = make("div", { class: "wb-column-head" });
  const messages = make("div", { class: "wb-messages", tabindex: "0", role: "log", "aria-label": "Conversation" });
  const note = make("p", { class: "wb-column-note", role: "status" });
  const strip = make("div", { class: "wb-column-strip" });
  const element = make("section", { class: "wb-column" }, head, messages, note, strip);
  const shown = [];
  let pinned = true; // the newest words stay in sight until somebody scrolls up
  messages.addEventListener("scroll", () => { pinned = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60; }, { passive: true });
  let tokens = null;
  let payload = null; // of the strip
  let title = "";

  function draw(data) {
    element.dataset.model = data.model;
    if (title !== data.title + data.window + data.theta) {
      title = data.title + data.window + data.theta;
      const facts = [data.window ? `window ${whole(data.window)}` : data.window === null ? "no window" : "", data.theta ? `θ ${data.theta.toLocaleString("en").replaceAll(",", "\u2009")}` : ""];
      messages.setAttribute("aria-label", `Conversation with ${data.title}`);
      head.replaceChildren(make("span", { class: `wb-badge wb-tone-${data.tone}`, text: data.title }), make("span", { class: "wb-caption", text: facts.filter(Boolean).join(" · ") }));
    }
    let changed = false;
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
      const name = `wb-message-box wb-${message.role}${message.live ? " wb-live" : ""}`;
      if (entry.box.className !== name) entry.box.className = name;
      if (entry.value !== message.text) {
        if (message.role === "user") writeQuestion(entry.text, message.text);
        else grow(entry.text, entry.value, message.text);
        changed = true;
      }
      entry.value = message.text;
      put(entry.footer, message.footer || "");
      if (message.footer) entry.footer.title = "Two models that share a device slow each other down: their speeds are no comparison.";
    });
    if (changed && pinned) messages.scrollTop = 1e7;
    put(note, data.note || (data.messages.length ? "" : "Nothing said yet."));
    if (!data.strip) {
      strip.hidden = true;
    } else {
      strip.hidden = false;
      if (payload && payload.run === data.strip.run && payload.read === data.strip.lines.length) return;
      payload = unfold(data.strip, payload, data.model);
      if (tokens) tokens.update(payload);
      else tokens = drawTokens(strip, payload, { select, mode, bar: false });
    }
  }

  return { element, draw, payload: () => payload, mark: (selection) => tokens && tokens.select(selection), colour: () => tokens && tokens.colour(mode) };
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
    const next = props.value;
    if (!next || !next.columns || (state && next.made < state.made)) return;
    state = next;
    const names = state.columns.map((data) => data.model);
    for (const [name, shown] of columns) if (!names.includes(name)) { shown.element.remove(); columns.delete(name); }
    state.columns.forEach((data, i) => {
      if (!columns.has(data.model)) columns.set(data.model, column(select));
      const shown = columns.get(data.model);
      if (row.children[i] !== shown.element) row.insertBefore(shown.element, row.children[i] || null);
      shown.draw(data);
    });
    strips = [...columns.values()].map((shown) => shown.payload);
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
  let waiting = false;
  watch("value", () => { // at most once a frame: a slow browser skips states instead of falling behind
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });
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
  const stripOf = (run) => strips.map((strip) => strip()).find((payload) => payload && payload.run === run);
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
