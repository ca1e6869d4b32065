// What each panel shows as tables and arrays, from its payloads alone: for hosts without a server, such as a report. The
// columns are those of tables.py; what a payload holds in 8 bits says so in its column's name.

import { unpack } from "./data.js";
import { matrix, profile } from "./matrix.js";

const table = (payload, columns, rows) => ({ columns: ["model", ...columns], rows: rows.map((row) => [payload.model, ...row]) });
const common = (payload, token) => ({ pieces: payload.tokens, selected: { dtype: "int32", shape: [1], values: Int32Array.of(token) }, model: [payload.model] });
const plain = (packed) => ({ dtype: packed.dtype, shape: packed.shape, values: unpack(packed) });
const p = (logprob) => (logprob === null || logprob === undefined ? null : Math.exp(logprob));

export function tokenTables(payload) {
  const best = [0, 1, 2].flatMap((i) => [`alternative_${i + 1}`, `alternative_${i + 1}_logprob`]);
  const rows = payload.tokens.map((piece, i) => [i, payload.ids[i], piece, i >= payload.prompt_length ? "generated" : payload.roles[i], payload.logprob[i], p(payload.logprob[i]), payload.rank[i], payload.entropy[i],
    ...[0, 1, 2].flatMap((place) => ((payload.alternatives[i] || [])[place] || [null, null]).slice(0, 2))]);
  return { tokens: table(payload, ["position", "id", "token", "part", "logprob", "probability", "rank", "entropy", ...best], rows) };
}

export function tokenArrays(payload) {
  const column = (list) => ({ dtype: "float32", shape: [list.length], values: Float32Array.from(list, (value) => (value === null || value === undefined ? NaN : value)) });
  return { ids: { dtype: "int32", shape: [payload.ids.length], values: Int32Array.from(payload.ids) }, pieces: payload.tokens, logprob: column(payload.logprob), rank: column(payload.rank), entropy: column(payload.entropy) };
}

/** The shown map of `head` (-1 the mean), and the row and column of `token` of all heads, where they are there. */
export function attentionTables(payload, piece, row, { layer, head, token }) {
  const found = {};
  const last = payload.length - 1;
  if (piece && piece.map) {
    const [, size] = piece.map.shape;
    const values = matrix(piece.map, piece.scale, head);
    const rows = [];
    const end = (block) => Math.min((block + 1) * payload.block - 1, last);
    for (let q = 0; q < size; q++) for (let k = 0; k <= q; k++) rows.push([layer, head < 0 ? "mean" : payload.head_names[head], q * payload.block, end(q), k * payload.block, end(k), values[q * size + k]]);
    found.map = table(payload, ["layer", "head", "first query", "last query", "first key", "last key", "share (8 bits)"], rows);
  }
  if (row && row.reads) {
    const exact = row.exact === false ? " (8 bits)" : "";
    const rows = [];
    for (const [side, packed, offset] of [["reads", row.reads, 0], ["read by", row.readers, token]]) {
      if (!packed) continue;
      const all = [-1, ...payload.head_names.keys()].map((h) => profile(packed, h));
      for (let i = 0; i < packed.shape[1]; i++) rows.push([layer, token, side, offset + i, payload.tokens[offset + i], ...all.map((shares) => shares[i])]);
    }
    found.row = table(payload, ["layer", "token", "side", "position", "piece", `mean of heads${exact}`, ...payload.head_names.map((name) => `head ${name}${exact}`)], rows);
  }
  return found;
}

export function attentionArrays(payload, piece, row, token) {
  const found = { ...common(payload, token), head: { dtype: "int32", shape: [payload.heads], values: Int32Array.from(payload.head_names) } };
  if (piece && piece.map) {
    const values = Float32Array.from(unpack(piece.map), (u) => piece.scale * (u / 255) ** 2);
    found.map_8bit = { dtype: "float32", shape: piece.map.shape, values };
  }
  for (const name of ["reads", "readers"]) {
    if (!row || !row[name]) continue;
    const [heads, length] = row[name].shape;
    const values = new Float32Array(heads * length);
    for (let h = 0; h < heads; h++) values.set(profile(row[name], h), h * length);
    found[row.exact === false ? `${name}_8bit` : name] = { dtype: "float32", shape: [heads, length], values };
  }
  return found;
}

export function lensTables(payload, detail) {
  const found = {};
  if (detail) {
    const n = detail.positions.length;
    const most = Math.max(0, ...detail.top.flat().map((list) => list.length));
    const [ranks, entropy, kl] = [detail.rank, detail.entropy, detail.kl].map(unpack);
    const rows = detail.layers.flatMap((layer, l) => detail.positions.map((position, i) => [layer, position, payload.tokens[position], detail.targets[i], ranks[l * n + i] || null, entropy[l * n + i], kl[l * n + i],
      ...[...Array(most).keys()].flatMap((place) => detail.top[l][i][place] || [null, null])]));
    found.grid = table(payload, ["layer", "position", "token", "came next", "its rank", "entropy", "KL to output", ...[...Array(most).keys()].flatMap((i) => [`guess ${i + 1}`, `guess ${i + 1} probability`])], rows);
  }
  if (payload.blocks) {
    const { blocks } = payload;
    const n = blocks.rank.shape[1];
    const [ranks, entropy, logprob] = [blocks.rank, blocks.entropy, blocks.logprob].map(unpack);
    const rows = blocks.layers.flatMap((layer, l) => [...Array(n).keys()].map((b) => [layer, b, b * blocks.size, Math.min(payload.length, (b + 1) * blocks.size), entropy[l * n + b], logprob[l * n + b], ranks[l * n + b], blocks.read[b]]));
    found.blocks = table(payload, ["layer", "block", "start", "stop", "entropy", "target_logprob", "target_rank", "count"], rows);
  }
  return found;
}

export function lensArrays(payload, detail, token) {
  const found = common(payload, token);
  if (!detail) return found;
  const whole = (list) => ({ dtype: "int32", shape: [list.length], values: Int32Array.from(list) });
  return { ...found, layer: whole(detail.layers), position: whole(detail.positions), target_rank: plain(detail.rank), entropy: plain(detail.entropy), kl: plain(detail.kl), guess: detail.top.flat().map((list) => (list.length ? list[0][0] : "")) };
}

export function cacheTables(payload) {
  const found = { layers: table(payload, ["layer", "bytes", "tokens seen", "tokens held", "dropped"], payload.bytes.map((held, l) => [l, held, payload.logical[l], payload.physical[l], payload.evicted[l]])) };
  if (payload.key_norm) {
    const [layers, columns] = payload.key_norm.shape;
    const [keys, values] = [payload.key_norm, payload.value_norm].map(unpack);
    const mean = payload.stride > 1 ? ` (mean of ${payload.stride} tokens)` : "";
    const rows = [];
    for (let l = 0; l < layers; l++) for (let c = 0; c < columns; c++) rows.push([l, c * payload.stride, payload.tokens[c * payload.stride], keys[l * columns + c], values[l * columns + c]]);
    found.positions = table(payload, ["layer", "position", "token", `key norm${mean}`, `value norm${mean}`], rows);
  }
  return found;
}

export function cacheArrays(payload, token) {
  const whole = (list) => ({ dtype: "float32", shape: [list.length], values: Float32Array.from(list) });
  return { ...common(payload, token), bytes: whole(payload.bytes), logical_length: whole(payload.logical), physical_length: whole(payload.physical), evicted: whole(payload.evicted), key_norm: plain(payload.key_norm), value_norm: plain(payload.value_norm) };
}

export function nextTables(payload, found, token) {
  const rows = [];
  for (const [side, one, index] of [["instead", found.before, token], ["after", found.after, token + 1]]) {
    if (!one) continue;
    const came = one.actual ? one.actual.id : null;
    one.top.forEach(([piece, id, logprob], place) => rows.push([side, index, place + 1, id, piece, logprob, p(logprob), id === came ? "True" : "False"]));
    if (one.actual && !one.top.some(([, id]) => id === came)) rows.push([side, index, one.actual.rank, came, one.actual.piece, one.actual.logprob, p(one.actual.logprob), "True"]);
  }
  return { candidates: table(payload, ["side", "position", "rank", "id", "token", "logprob", "probability", "came"], rows) };
}

export function nextArrays(payload, found, token) {
  const rows = nextTables(payload, found, token).candidates.rows;
  const column = (at, kind) => ({ dtype: kind === Int32Array ? "int32" : "float32", shape: [rows.length], values: kind.from(rows, (row) => row[at]) });
  return { ...common(payload, token), position: column(2, Int32Array), rank: column(3, Int32Array), id: column(4, Int32Array), logprob: column(6, Float32Array) };
}
