// Which token of one run stands for which of the other. A pair is the opening payload of views/difference.py: {run, other, lengths,
// common, pairs: packed int32 (n, 2), tokens: [pieces of a, pieces of b from common on]}.

import { short, unpack } from "./data.js";

/** Places [in a, in b] of the token at `token` of the run `run`; null where that text has no counterpart. */
export function places(pair, run, token) {
  if (token === null || token === undefined) return [null, null];
  const side = run === pair.other ? 1 : 0;
  if (token < pair.common) return [token, token];
  const found = [null, null];
  found[side] = token;
  const rows = unpack(pair.pairs);
  for (let i = 0; i < rows.length; i += 2) if (rows[i + side] === token) found[1 - side] = rows[i + 1 - side];
  return found;
}

/** The token of the run `to` to select instead of `selection`: its counterpart, else the nearest that there is before it. */
export function counterpart(pair, to, selection) {
  const side = to === pair.other ? 1 : 0;
  for (let token = selection.token; token !== null && token >= 0; token--) {
    const found = places(pair, selection.run, token)[side];
    if (found !== null) return Math.min(pair.lengths[side] - 1, found + (token < selection.token ? 1 : 0));
  }
  return selection.token;
}

/** The pieces of both texts, in full; kept with the pair. */
export function texts(pair) {
  if (!pair.texts) pair.texts = [pair.tokens[0], [...pair.tokens[0].slice(0, pair.common), ...pair.tokens[1]]];
  return pair.texts;
}

/** For every position of b its place in a, -1 where it has none; kept with the pair. */
export function backwards(pair) {
  if (!pair.backwards) {
    pair.backwards = new Int32Array(pair.lengths[1]).fill(-1);
    for (let i = 0; i < pair.common; i++) pair.backwards[i] = i;
    const rows = unpack(pair.pairs);
    for (let i = 0; i < rows.length; i += 2) pair.backwards[rows[i + 1]] = rows[i];
  }
  return pair.backwards;
}

/** The places that were predicted from the same text as the token: its own two, or where the texts part this place in both. */
export function predicted(pair, at) {
  const own = at[0] ?? at[1];
  return at.includes(null) && own === pair.common && own < Math.min(...pair.lengths) ? [own, own] : at;
}

/** What to mark in the other text for a selected token: its counterpart, or where the texts part what the other has instead; null. */
export function opposite(pair, run, token) {
  return predicted(pair, places(pair, run, token))[run === pair.other ? 0 : 1];
}

/** Both had read the same before these places. */
export function alike(pair, [a, b]) {
  return a !== null && b !== null && a === b && a <= pair.common;
}

/** What there is to say of how a token's two places belong together; "" where it needs no words. */
export function relation(pair, at, name) {
  if (at[0] === null && at[1] === null) return "";
  if (at[0] === null || at[1] === null) {
    const missing = at[0] === null ? 0 : 1;
    const own = at[1 - missing];
    return own === pair.common && own < pair.lengths[missing]
      ? `Here the texts part: ${pair.titles[missing]} has “${short(texts(pair)[missing][own], 14)}” at this place.`
      : `${name} stands only in the text of ${pair.titles[1 - missing]}; there is no counterpart to compare it with.`;
  }
  return alike(pair, at) ? "" : `${name} stands in both texts, but after different words: the ids agree only up to token ${pair.common - 1}, and from there the tokens are matched by their order.`;
}
