// One message: its text, always as text nodes and never as HTML, and its footer.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { footer, editor } from "./actionbar.js";

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
const HEAD = 44; // characters that stay of its beginning and its end: the question mostly stands last
const TAIL = 76;

/** A question as text; of a long one the beginning and the end, and a button for the rest. */
function writeQuestion(node, text) {
  const characters = [...text];
  if (characters.length <= LONG) return write(node, text);
  const open = make("button", { type: "button", class: "wb-more", text: `${whole(characters.length - HEAD - TAIL)} characters more`, on: { click: () => write(node, text) } });
  node.replaceChildren(document.createTextNode(characters.slice(0, HEAD).join("")), " … ", open, " … ", document.createTextNode(characters.slice(-TAIL).join("").replace(/^\S*\s/, "")));
}

/** Message `index` of a column: {element, set(message)}; `set` tells whether the text has changed. */
export function entry(index, model, order) {
  let now = { text: null };
  let editing = null;
  const text = make("div", { class: "wb-text", dir: "auto" });
  const close = () => {
    if (!editing) return;
    editing.element.remove();
    editing = null;
    text.hidden = foot.element.hidden = false;
  };
  const edit = () => {
    editing = editor(now.text, (changed) => order({ kind: "edit", model: model(), index, text: changed }), close);
    text.hidden = foot.element.hidden = true;
    element.append(editing.element);
    editing.focus();
  };
  const foot = footer(index, () => now, model, order, edit);
  const element = make("div", {}, text, foot.element);
  function set(message) {
    const name = `wb-message-box wb-${message.role}${message.live ? " wb-live" : ""}`;
    if (element.className !== name) element.className = name;
    const changed = now.text !== message.text;
    if (changed) {
      close();
      if (message.role === "user") writeQuestion(text, message.text);
      else grow(text, now.role === message.role ? now.text : null, message.text);
    }
    now = message;
    if (!editing) foot.set(message);
    return changed;
  }
  return { element, set };
}
