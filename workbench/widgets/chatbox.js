// A chat in a notebook: what was said, a composer, the strips of replies under way, and under them the views of the reply that is
// looked into (widget.js). model: models_shown [{name, tone}], turn, opened, busy, note, and the traits of widget.js. Messages of the
// kernel (chat.py): {chat: "begun", question}, {chat: "part", side, prompt_length, first, rows, at, text}, {chat: "leaving"} before
// another reply is opened (`opened` grows), {chat: "over", back: a question that got no reply}.

import { make } from "./dom.js";
import { modeBar } from "./tokens.js";
import { liveStrip } from "./livestrip.js";
import { start as look } from "./widget.js";

let drawn = 0;

/** Draws the chat of `model` into `element`; returns {destroy}. */
export function start(model, element, ask, spread) {
  const own = ++drawn;
  let talk = { system: "", turns: [], live: null };
  let live = null; // {question, replies: [{text, strip, node}]} while models write
  let looking = null;
  let mode = "probability";
  let turn = 0;
  const models = () => model.get("models_shown");

  const said = make("div", { class: "wb-chat-said", role: "log", "aria-label": "Conversation", tabindex: "0" });
  const note = make("p", { class: "wb-message wb-chat-note", role: "alert" });
  const field = make("textarea", { class: "wb-chat-field", rows: "2", id: `wb-chat-${own}`, placeholder: "Ask something", "aria-label": "Your question" });
  const send = make("button", { type: "submit", class: "wb-button wb-chat-send", text: "Send" });
  const stop = make("button", { type: "button", class: "wb-button", text: "Stop", on: { click: () => order({ kind: "stop" }) } });
  const undo = make("button", { type: "button", class: "wb-action", text: "undo", title: "Take the last question back", on: { click: () => order({ kind: "undo" }) } });
  const clear = make("button", { type: "button", class: "wb-action", text: "new", title: "Begin a new conversation", on: { click: () => order({ kind: "clear" }) } });
  const composer = make("form", { class: "wb-chat-composer" }, field, make("div", { class: "wb-chat-buttons" }, send, stop, undo, clear));
  const strips = make("div", { class: "wb-chat-live" });
  const card = make("div", { class: "wb wb-look-card wb-chat" }, said, note, composer, strips);
  const inside = make("div", { class: "wb-chat-inside" });
  element.replaceChildren(card, inside);

  /** Asks the kernel to do something; what it cannot do is said. */
  async function order(request) {
    note.textContent = "";
    const found = await ask(request);
    if (found.error) note.textContent = found.error;
    return !found.error;
  }

  async function say() {
    const text = field.value;
    if (!text.trim() || model.get("busy")) return;
    field.value = "";
    if (!(await order({ kind: "ask", text })) && !field.value) field.value = text;
  }

  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    say();
  });
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook has keys of its own
    if (event.key === "Escape" && model.get("busy")) order({ kind: "stop" });
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say();
  });

  const badge = ({ name, tone }) => make("span", { class: `wb-badge wb-tone-${tone}`, text: name });
  const bubble = (text) => make("div", { class: "wb-chat-question", dir: "auto", text });

  function replyNode(side, text, ...foot) {
    const words = make("div", { class: "wb-chat-text", dir: "auto", text });
    return { words, node: make("div", { class: "wb-chat-reply" }, badge(models()[side]), words, make("p", { class: "wb-caption wb-chat-foot" }, ...foot)) };
  }

  function row(question, nodes) {
    return make("div", { class: "wb-chat-turn" }, bubble(question), make("div", { class: `wb-chat-replies${nodes.length > 1 ? " wb-chat-two" : ""}` }, ...nodes));
  }

  function opener(i) {
    const now = i === model.get("turn");
    return make("button", { type: "button", class: "wb-action", text: now ? "shown below" : "look inside", "aria-pressed": String(now), "aria-label": `Look inside reply ${i + 1}`, on: { click: () => order({ kind: "turn", turn: i }) } });
  }

  function drawSaid() {
    const nodes = talk.turns.map((one, i) => row(one.question, one.replies.map((reply, side) => {
      if (!reply) return replyNode(side, "", make("span", { text: "no reply" })).node;
      return replyNode(side, reply.text, make("span", { text: reply.footer }), reply.kept ? opener(i) : null).node;
    })));
    if (talk.system) nodes.unshift(make("p", { class: "wb-caption", dir: "auto", text: `system: ${talk.system}` }));
    if (!nodes.length && !live) nodes.push(make("p", { class: "wb-message", text: "Nothing was said yet. Ask something; then click any token to look inside." }));
    said.replaceChildren(...nodes, ...(live ? [live.node] : []));
    said.scrollTop = 1e7;
  }

  async function read() {
    const mine = ++turn;
    const found = await ask({ kind: "talk" });
    if (mine !== turn) return;
    if (found.error) {
      note.textContent = found.error;
      return;
    }
    talk = found;
    if (found.live && !live) begin(found.live.question);
    if (found.live) for (const part of found.live.parts) take(part);
    drawSaid();
  }

  function leave() {
    if (looking) looking.destroy();
    looking = null;
    inside.replaceChildren();
  }

  function begin(question) {
    finish();
    leave();
    note.textContent = "";
    const columns = make("div", { class: `wb-look-runs${models().length > 1 ? " wb-look-two" : ""}` });
    const bar = modeBar(mode, (next) => {
      mode = next;
      for (const one of live.replies) one.strip.colour(next);
    });
    strips.replaceChildren(bar, columns);
    const replies = models().map((shown, side) => {
      const place = make("div");
      columns.append(make("section", { "aria-label": `${shown.name}, being written` }, place));
      return { text: "", ...replyNode(side, "", make("span", { text: "writing…" })), strip: liveStrip(place, shown.name, mode) };
    });
    live = { replies, node: row(question, replies.map((one) => one.node)) };
    drawSaid();
  }

  function take(part) {
    const one = live && live.replies[part.side];
    if (!one) return;
    one.strip.take(part);
    if (part.at > one.text.length) return; // a gap: the whole reply comes with its end
    one.text = one.text.slice(0, part.at) + part.text;
    one.words.textContent = one.text;
    said.scrollTop = 1e7;
  }

  function finish() {
    if (live) for (const one of live.replies) one.strip.destroy();
    live = null;
    strips.replaceChildren();
  }

  /** Looks into the replies of the turn that the kernel holds open. */
  function open() {
    leave();
    finish();
    if (model.get("runs").length) looking = look(model, inside, ask, spread);
    read();
  }

  function hear(message) {
    if (message.chat === "begun") begin(message.question);
    else if (message.chat === "part") take(message);
    else if (message.chat === "leaving") leave();
    else if (message.chat === "over") {
      finish();
      if (message.back && !field.value) field.value = message.back;
    }
  }

  const paint = () => {
    const busy = model.get("busy");
    send.disabled = undo.disabled = clear.disabled = busy;
    stop.disabled = !busy;
    card.dataset.busy = String(busy);
  };
  const tell = () => { note.textContent = model.get("note"); };
  const renamed = () => { if (!live) drawSaid(); };
  const events = { "change:busy": paint, "change:note": tell, "change:opened": open, "change:models_shown": renamed, "msg:custom": hear };
  for (const [name, listener] of Object.entries(events)) model.on(name, listener);
  paint();
  tell();
  open();
  return {
    destroy() {
      for (const [name, listener] of Object.entries(events)) model.off(name, listener);
      finish();
      leave();
    },
  };
}
