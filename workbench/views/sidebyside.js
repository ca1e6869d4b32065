// Pieces of the difference views: the scale of a difference, bars of two models in one row, and the list of what both read.

import { make } from "./dom.js";
import { percent, short } from "./data.js";
import { backwards, texts } from "./alignment.js";

const LISTED = 10;

/** The scale of a difference as elements: which colour means which model, and how much full colour is. */
export function legend(titles, reach, print = percent, verb = "reads more") {
  return [
    make("span", { class: "wb-tone-a", text: `${titles[0]} ${verb}` }),
    make("i", { class: "wb-sides-bar", title: "√ scale; the paper's own colour is no difference" }),
    make("span", { class: "wb-tone-b", text: `${titles[1]} ${verb}` }),
    make("span", { class: "wb-caption", text: `full colour: ± ${print(reach)}` }),
  ];
}

/** One row with a bar for each model. shares: [a, b] in [0, 1], null where there is none, with `texts` to print for it. */
export function bars(name, index, shares, printed, props = {}) {
  const line = (share, i) => make("span", { class: "wb-meter" }, share === null ? null : make("i", { class: `wb-fill-${"ab"[i]}`, style: { width: `${Math.max(0.6, 100 * Math.min(1, share))}%` } }));
  return make(props.on ? "button" : "div", { type: props.on ? "button" : null, class: `wb-row wb-two-row${props.on ? "" : " wb-still"}${props.actual ? " wb-actual" : ""}`, title: props.title, on: props.on },
    make("span", { class: "wb-piece", text: name }),
    make("span", { class: "wb-index", text: index }),
    make("span", { class: "wb-two-meters" }, ...shares.map(line)),
    make("span", { class: "wb-two-values" }, ...printed.map((text, i) => make("span", { class: `wb-tone-${"ab"[i]}`, text }))));
}

/** The largest of two profiles along the texts, tokens that stand for each other in one row. shares: [of a, of b] or null each; the
 * first of each stands at `offsets` of its text; `choose(side, token)` is called on a click. */
export function both(pair, title, shares, offsets, choose) {
  const box = make("section", { class: "wb-list" }, make("h2", { text: title }));
  if (!shares[0] && !shares[1]) {
    box.append(make("p", { class: "wb-message", text: "Not kept in these runs." }));
    return box;
  }
  const back = backwards(pair);
  const rows = new Map(); // place in a, or "b" + place in b -> [share in a, share in b, place in a, place in b]
  (shares[0] || []).forEach((share, i) => rows.set(offsets[0] + i, [share, null, offsets[0] + i, null]));
  (shares[1] || []).forEach((share, i) => {
    const place = offsets[1] + i;
    const key = back[place] >= 0 ? back[place] : `b${place}`;
    const row = rows.get(key) || [null, null, back[place] >= 0 ? back[place] : null, null];
    row[1] = share;
    row[3] = place;
    rows.set(key, row);
  });
  const order = [...rows.values()].filter((row) => Math.max(row[0] ?? 0, row[1] ?? 0) > 0.0005)
    .sort((x, y) => Math.max(y[0] ?? 0, y[1] ?? 0) - Math.max(x[0] ?? 0, x[1] ?? 0)).slice(0, LISTED);
  if (!order.length) box.append(make("p", { class: "wb-message", text: "Hardly anything." }));
  const pieces = texts(pair);
  for (const [a, b, i, j] of order) {
    const piece = i !== null ? pieces[0][i] : pieces[1][j];
    const index = i === j || j === null || i === null ? String(i ?? j) : `${i}|${j}`;
    const print = (share, side) => (share === null ? "–" : percent(share));
    box.append(bars(short(piece, 12), index, [a, b], [print(a, 0), print(b, 1)], { title: `token ${index}`, on: { click: () => choose(i === null ? 1 : 0, i ?? j) } }));
  }
  return box;
}
