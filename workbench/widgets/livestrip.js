// A token strip that grows while a reply is written. Parts: {prompt_length, first, rows}; a row is [piece, id, role, log-probability in
// nats, rank, entropy in nats, alternatives], the order of writing.py.

import { draw as drawTokens } from "./tokens.js";

const COLUMNS = ["tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives"];
let drawn = 0;

/** The strip of `model`'s reply in `element`; `mode` is what its colours mean. */
export function liveStrip(element, model, mode) {
  const run = `wblive${++drawn}`;
  let payload = null;
  let strip = null;
  return {
    /** Takes what has been written since; what it has already, or what would leave a gap, is left out. */
    take({ prompt_length, first, rows }) {
      const known = payload ? payload.tokens.length : 0;
      if (!rows.length || first > known) return;
      const fresh = rows.slice(known - first);
      if (!fresh.length) return;
      payload = { run, model, prompt_length, ...Object.fromEntries(COLUMNS.map((name, i) => [name, [...(payload ? payload[name] : []), ...fresh.map((row) => row[i])]])) };
      if (strip) strip.update(payload);
      else strip = drawTokens(element, payload, { bar: false, mode });
    },
    colour(next) {
      mode = next;
      if (strip) strip.colour(next);
    },
    destroy() {
      if (strip) strip.destroy();
    },
  };
}
