// The KV caches of two runs: bytes and tokens held by each layer, side by side.
// Payload: the opening payload of views/difference.py; its `cache`: [of a, of b] of {bytes, logical, physical, evicted: [per layer]}, or null.

import { make } from "./dom.js";
import { bytes, short, whole } from "./data.js";
import { places, texts } from "./alignment.js";
import { bars } from "./sidebyside.js";
import { actions } from "./actions.js";
import { layersThatHold } from "./keptmap.js";
import { cacheOf, wordsOf } from "./differencetables.js";

const sum = (values) => values.reduce((a, b) => a + b, 0);

export function draw(element, pair, options = {}) {
  let selection = options.selection || {};
  const summary = make("p", { class: "wb-facts" });
  const rows = make("div", { class: "wb-cache-bars wb-cache-two" });
  const own = make("p", { class: "wb-facts" });
  element.classList.add("wb-cache");
  if (pair.cache) {
    const taking = actions({
      name: "cache", title: "the two caches", body: element, repaint: () => {},
      tables: [["layers", "bytes and tokens by layer"]],
      at: () => ({ token: selection.token ?? 0, layer: null, head: -1 }),
      words: () => wordsOf(pair, "cache", selection),
      local: () => cacheOf(pair),
    }, { code: (options.source || {}).code });
    element.replaceChildren(make("div", { class: "wb-head-line" }, summary, taking.element), taking.note, rows, own);
    paint();
    paintOwn();
  } else {
    element.replaceChildren(make("p", { class: "wb-message", text: "The KV cache was not captured in both runs." }));
  }

  function paint() {
    const totals = pair.cache.map((one) => sum(one.bytes));
    const held = pair.cache.map((one) => `${whole(Math.max(...one.physical))} of ${whole(Math.max(...one.logical))} tokens`);
    summary.append(...pair.titles.flatMap((title, i) => [make("span", { text: `${i ? "; " : ""}${title} holds` }), make("b", { text: ` ${bytes(totals[i])} ` }), make("span", { text: `for ${held[i]}` })]));
    const more = totals[1] > totals[0] ? 1 : 0;
    const times = totals[1 - more] ? totals[more] / totals[1 - more] : Infinity;
    summary.append(make("span", { text: totals[0] === totals[1] ? ": as much." : `. That of ${pair.titles[more]} is ${times === Infinity ? "all there is" : `${times.toFixed(2)} times as large`}.` }));
    const layers = Math.max(...pair.cache.map((one) => one.bytes.length));
    const most = Math.max(1, ...pair.cache.flatMap((one) => one.bytes));
    for (let l = 0; l < layers; l++) {
      const there = pair.cache.map((one) => l < one.bytes.length);
      const printed = pair.cache.map((one, i) => (there[i] ? `${whole(one.physical[l])} · ${bytes(one.bytes[l])}` : "no such layer"));
      const dropped = pair.cache.map((one, i) => (there[i] ? `${whole(one.evicted[l])} dropped` : "no such layer"));
      rows.append(bars(`layer ${l}`, "", pair.cache.map((one, i) => (there[i] ? one.bytes[l] / most : null)), printed, { title: pair.titles.map((title, i) => `${title}: ${dropped[i]}`).join(", ") }));
    }
    rows.append(make("p", { class: "wb-note", text: "Tokens held and their bytes, by layer." }));
  }

  function paintOwn() {
    const at = places(pair, selection.run, selection.token);
    const pieces = texts(pair);
    own.replaceChildren();
    if (at[0] === null && at[1] === null) return;
    const told = at.map((token, i) => {
      if (token === null) return `does not stand in the text of ${pair.titles[i]}`;
      const one = pair.cache[i];
      const held = layersThatHold(one, token);
      if (held === null) return `may have been dropped by the cache policy of ${pair.titles[i]}, whose text is too long to say`;
      if (token >= Math.max(...one.logical)) return `was never fed back to ${pair.titles[i]}`;
      return held === one.logical.length ? `is held in every layer of ${pair.titles[i]}` : held ? `is held in ${held} of ${one.logical.length} layers of ${pair.titles[i]}` : `has been dropped from every layer of ${pair.titles[i]}`;
    });
    own.textContent = `“${short(at[0] === null ? pieces[1][at[1]] : pieces[0][at[0]], 16)}” ${told.join(", and ")}.`;
    element.dataset.drawn = `${pair.run}/${pair.other}/${selection.token}`;
  }

  return {
    select(next) {
      selection = next;
      if (pair.cache) paintOwn();
    },
    destroy() {
      element.replaceChildren();
    },
  };
}
