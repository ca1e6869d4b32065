// Which tokens of a text a cache keeps, in the text itself: kept by every key-value head, by some, by none.
// A text: {name, pieces, length: tokens read, layers, heads, counts(layer, head): how many key-value heads keep each token;
//          layer null: of all layers together; head null: of all heads}. The heads of a run come packed (`bitsOf`).

import { make } from "./dom.js";
import { unpack, whole } from "./data.js";

const read = (piece) => (piece === "<0x0A>" ? "\n" : piece.replaceAll("▁", " "));

/** counts(layer, head) of `kept`, as views/cache.py packs it: {layers, heads, length, bits: a row of bits a layer and head}. */
export function bitsOf(kept) {
  const { layers, heads, length } = kept;
  const width = kept.bits.shape[1];
  return (layer, head = null) => {
    const bits = unpack(kept.bits);
    const counts = new Uint32Array(length);
    for (let l = layer ?? 0; l < (layer === null ? layers : layer + 1); l++) {
      for (let h = head ?? 0; h < (head === null ? heads : head + 1); h++) {
        const row = (l * heads + h) * width;
        for (let i = 0; i < length; i++) counts[i] += (bits[row + (i >> 3)] >> (7 - (i & 7))) & 1;
      }
    }
    return counts;
  };
}

/** In how many layers a head at least keeps `token`, of a run's payload with or without a policy; null: too long to be known here. */
export function layersThatHold(payload, token) {
  if (!payload.kept) return payload.logical.filter((seen, l) => token >= payload.evicted[l] && token < seen).length;
  if (!payload.kept.bits) return null;
  if (token >= payload.kept.length) return 0;
  const counts = bitsOf(payload.kept);
  return payload.logical.filter((_, l) => counts(l)[token] > 0).length;
}

/** {element, fields: [[name, select]], set(text)}: the text, with a choice of layer and, where heads are told apart, of head. */
export function keptText(byHead) {
  const layer = make("select", { "aria-label": "Layer" });
  const head = make("select", { "aria-label": "Key-value head" });
  const body = make("p", { class: "wb-kept-text", dir: "auto", tabindex: "0", role: "region", "aria-label": "Tokens kept" });
  const caption = make("p", { class: "wb-caption", role: "status" });
  const key = make("p", { class: "wb-kept-key" }, make("mark", { class: "wb-kept-all", text: "kept by every head" }), " ", make("span", { class: "wb-kept-some", text: "by some" }), " ", make("s", { class: "wb-kept-none", text: "by none" }));
  const element = make("div", {}, caption, key, body);
  let text = null;
  let filled = "";

  const chosen = (select) => (select.value === "all" ? null : Number(select.value));
  const words = (select) => select.selectedOptions[0].textContent;

  function fill(select, count, noun) {
    const before = select.value || "all";
    select.replaceChildren(...["all", ...Array(count).keys()].map((i) => make("option", { value: String(i), text: i === "all" ? `all ${noun}s` : `${noun} ${i}` })));
    select.value = before === "all" || Number(before) < count ? before : "all";
  }

  function show() {
    const counts = text.counts(chosen(layer), chosen(head));
    const most = (chosen(layer) === null ? text.layers : 1) * (chosen(head) === null ? text.heads : 1);
    const state = (n) => (n === 0 ? "none" : n === most ? "all" : "some");
    const tally = { all: 0, some: 0, none: 0 };
    const parts = [];
    for (let i = 0; i < text.length;) {
      let end = i;
      let sum = 0;
      while (end < text.length && state(counts[end]) === state(counts[i])) sum += counts[end++];
      tally[state(counts[i])] += end - i;
      const tag = { none: "s", some: "span", all: "mark" }[state(counts[i])];
      const title = `tokens ${i} to ${end - 1}: kept by ${(sum / (end - i)).toFixed(1)} of ${most} heads`;
      parts.push(make(tag, { class: `wb-kept-${state(counts[i])}`, title, text: text.pieces.slice(i, end).map(read).join("") }));
      i = end;
    }
    body.replaceChildren(...parts);
    const where = byHead ? `${words(layer)}, ${words(head)}` : words(layer);
    caption.textContent = `${text.name}, ${where}, ${whole(text.length)} tokens: ${whole(tally.all)} kept by every key-value head, ${whole(tally.some)} by some, ${whole(tally.none)} by none.`;
  }

  for (const one of [layer, head]) one.addEventListener("change", show);
  return {
    element,
    fields: [["Layer", layer], ...(byHead ? [["Key-value head", head]] : [])],
    set(next) {
      text = next;
      if (filled !== `${text.layers} ${text.heads}`) {
        filled = `${text.layers} ${text.heads}`;
        fill(layer, text.layers, "layer");
        fill(head, byHead ? text.heads : 0, "head");
      }
      show();
    },
  };
}
