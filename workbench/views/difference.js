// Two runs of one question as one: the sentence of where the answers part, with the way there, over the difference views.
// Payload: the opening payload of views/difference.py. The views of each tab: differenceattention, differencelens, differencecache, differencenext.

import { make } from "./dom.js";
import { places, texts } from "./alignment.js";
import { visible, whole } from "./data.js";
import { draw as attention } from "./differenceattention.js";
import { draw as lens } from "./differencelens.js";
import { draw as cache } from "./differencecache.js";
import { draw as next } from "./differencenext.js";

export const VIEWS = { attention, lens, cache, next };

/** The sentence on top; `choose({run, token})` is called by its button. */
export function sentence(pair, choose) {
  const [a, b] = pair.parting.positions;
  const run = a !== null ? pair.run : pair.other;
  const there = a ?? b;
  const button = there === null ? null : make("button", { type: "button", class: "wb-button", text: "Go there", title: "Select the token where the answers part, in both", on: { click: () => choose({ run, token: there }) } });
  return make("div", { class: "wb-parting" }, make("p", { text: pair.parting.sentence }), button);
}

/** The selected token in both texts as elements. */
export function where(pair, selection) {
  const at = places(pair, selection.run, selection.token);
  const pieces = texts(pair).map((text, i) => (at[i] === null ? null : text[at[i]]));
  const shown = pieces[0] ?? pieces[1];
  if (shown === null || shown === undefined) return [];
  const both = at[0] === at[1] ? `position ${whole(at[0])} of both` : at.map((token, i) => `${pair.titles[i]}: ${token === null ? "not there" : `position ${whole(token)}`}`).join(" · ");
  return [make("span", { class: "wb-where-piece", text: visible(shown) }), make("span", { class: "wb-where-text", text: both })];
}
