// What one token reads and who reads it: a ribbon along the whole text and the two lists of the largest shares.
// reads (token + 1,) and readers (length - token,) are shares, or null where nothing was kept. Where only the map is there, both
// stand for blocks of `step` tokens: those up to the token's own block, and from it on.

import { make, svg, tip } from "./dom.js";
import { quoted, short, percent, whole } from "./data.js";

const LISTED = 8; // tokens in each of the two lists
const NARROWEST = 1; // pixels of a bar; more tokens than that share one, which shows the largest

/** Largest share of each of `count` bars over `length` places; shares[0] stands at place `offset`. A text may be too long to
 * spread into Math.max. */
function bars(shares, offset, length, count) {
  const out = new Float32Array(count);
  for (let i = 0; i < shares.length; i++) {
    const at = Math.floor(((offset + i) * count) / length);
    if (shares[i] > out[at]) out[at] = shares[i];
  }
  return out;
}

/** An SVG of `width` pixels; `choose(token)` is called on a click. */
export function ribbon(payload, token, reads, readers, width, choose, step = 1) {
  const height = 46;
  const places = Math.ceil(payload.length / step);
  const own = Math.floor(token / step);
  const count = Math.min(places, Math.floor(width / NARROWEST));
  const cell = width / payload.length;
  const bar = (width * places * step) / (payload.length * count); // the last block may reach beyond the text
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "Attention of the selected token along the text" });
  if (payload.window) {
    const low = Math.max(0, token - payload.window + 1);
    picture.append(svg("rect", { x: low * cell, y: 0, width: Math.max(1, (token + 1 - low) * cell), height, class: "wb-window" }));
  }
  const sides = [
    [reads && bars(reads, 0, places, count), "wb-reads", true],
    [readers && bars(readers.subarray(1), own + 1, places, count), "wb-readers", false],
  ];
  const most = sides.reduce((top, [shares]) => (shares ? shares.reduce((a, b) => Math.max(a, b), top) : top), 1e-6);
  for (const [shares, kind, up] of sides) {
    (shares || []).forEach((share, i) => {
      const tall = Math.sqrt(Math.min(1, share / most)) * (height / 2 - 2);
      if (tall >= 0.4) picture.append(svg("rect", { x: i * bar, y: up ? height / 2 - tall : height / 2, width: Math.max(bar - (bar > 4 ? 1 : 0), 0.8), height: tall, class: kind }));
    });
  }
  picture.append(svg("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, class: "wb-axis" }));
  picture.append(svg("rect", { x: token * cell - 0.5, y: 0, width: Math.max(cell, 2), height, class: "wb-here" }));
  const at = (event) => Math.floor((event.clientX - picture.getBoundingClientRect().left) / cell);
  picture.addEventListener("pointermove", (event) => {
    const i = at(event);
    if (i < 0 || i >= payload.length) return;
    const place = Math.floor(i / step);
    const [here, it] = step > 1 ? [tokens(payload, own, step), tokens(payload, place, step)] : [quoted(payload, token), "it"];
    const lines = [];
    if (reads && place <= own) lines.push([`${here} ${step > 1 ? "read" : "reads"} ${it}`, percent(reads[place])]);
    if (readers && place >= own) lines.push([`${it} ${step > 1 ? "read" : "reads"} ${here}`, percent(readers[place - own])]);
    tip.show(event.clientX, event.clientY, `${quoted(payload, i)} at ${i}`, lines);
  });
  picture.addEventListener("pointerleave", () => tip.hide());
  picture.addEventListener("click", (event) => {
    const i = at(event);
    if (i >= 0 && i < payload.length) choose(i);
  });
  return picture;
}

/** Block `place` of `step` tokens in words. */
export function tokens(payload, place, step) {
  return `${whole(place * step)}–${whole(Math.min(payload.length, (place + 1) * step) - 1)}`;
}

/** The largest of `shares`, whose first stands at place `offset`; `choose(token)` is called on a click. */
export function list(payload, title, shares, offset, hint, choose, step = 1) {
  const box = make("section", { class: "wb-list" }, make("h2", { text: title, title: hint }));
  if (!shares) {
    box.append(make("p", { class: "wb-message", text: "Not kept in this run; ask again to see it." }));
    return box;
  }
  const order = [...shares.keys()].filter((i) => shares[i] > 0.0005).sort((a, b) => shares[b] - shares[a]).slice(0, LISTED);
  if (!order.length) box.append(make("p", { class: "wb-message", text: step * (offset + shares.length) >= payload.length && shares.length <= 1 ? "Nothing comes after it." : "Hardly anything." }));
  for (const i of order) {
    const position = (offset + i) * step;
    const names = step > 1
      ? [make("span", { class: "wb-piece", text: tokens(payload, offset + i, step) }), make("span", { class: "wb-index" })]
      : [make("span", { class: "wb-piece", text: short(payload.tokens[position], 12) }), make("span", { class: "wb-index", text: String(position) })];
    box.append(make("button", { type: "button", class: "wb-row", title: step > 1 ? `tokens ${tokens(payload, offset + i, step)}` : `token ${position}`, on: { click: () => choose(position) } },
      ...names,
      make("span", { class: "wb-meter" }, make("i", { style: { width: `${Math.max(1, 100 * shares[i])}%` } })),
      make("span", { class: "wb-value", text: percent(shares[i]) })
    ));
  }
  return box;
}
