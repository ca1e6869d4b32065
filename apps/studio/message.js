// Text of a message on its way into the page: always text nodes, never HTML.

import { make } from "./dom.js";
import { whole } from "./data.js";

/** Shows `text` where `before` stands; plain text that has only grown is appended to. */
export function grow(node, before, text) {
  const last = node.lastChild;
  const plain = before && text.startsWith(before) && last && last.nodeType === Node.TEXT_NODE && !text.includes("`");
  if (plain) last.appendData(text.slice(before.length));
  else write(node, text);
}

/** Text of a message: paragraphs as they are, ``` blocks and `code` in a typewriter face. Nothing is ever read as HTML. */
export function write(node, text) {
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
export function writeQuestion(node, text) {
  const characters = [...text];
  if (characters.length <= LONG) return write(node, text);
  const open = make("button", { type: "button", class: "wb-more", text: `${whole(characters.length - 190)} characters more`, on: { click: () => write(node, text) } });
  node.replaceChildren(document.createTextNode(characters.slice(0, 70).join("")), " … ", open, " … ", document.createTextNode(characters.slice(-120).join("").replace(/^\S*\s/, "")));
}
