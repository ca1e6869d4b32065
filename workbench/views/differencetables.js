// What the difference panels show as tables and arrays, from their payloads. a is the first run, b the second, differences b less a;
// what a payload holds in 8 bits says so in its column's name.

import { unpack } from "./data.js";
import { signed, profile } from "./matrix.js";
import { texts } from "./alignment.js";

const table = (pair, columns, rows) => ({ columns: ["a", "b", ...columns], rows: rows.map((row) => [...pair.titles, ...row]) });
const numbers = (list) => ({ dtype: "float32", shape: [list.length], values: Float32Array.from(list, (value) => value ?? NaN) });
const whole = (list) => ({ dtype: "int32", shape: [list.length], values: Int32Array.from(list, (value) => value ?? -1) });

/** piece: the layer's payload; rows: [[place in a, row of a], [place in b, row of b]] of the shown token. */
export function attentionOf(pair, piece, rows, { layer, head }) {
  const { head_names, block, heads } = pair.attention;
  const named = head < 0 ? "mean" : head_names[head];
  const tables = {};
  const arrays = { head: whole(head_names), models: pair.titles };
  if (piece) {
    const [, size] = piece.map.shape;
    const values = signed(piece.map, head);
    const cells = [];
    for (let q = 0; q < size; q++) for (let k = 0; k <= q; k++) cells.push([layer, named, q * block, k * block, values[q * size + k]]);
    tables.map = table(pair, ["layer", "head", "first query", "first key", "difference (8 bits)"], cells);
    const all = new Float32Array(heads * size * size);
    for (let h = 0; h < heads; h++) all.set(signed(piece.map, h), h * size * size);
    arrays.map_difference_8bit = { dtype: "float32", shape: [heads, size, size], values: all };
  }
  const lines = [];
  rows.forEach(([place, row], i) => {
    if (!row) return;
    for (const [side, packed, offset] of [["reads", row.reads, 0], ["read by", row.readers, place]]) {
      const shares = profile(packed, head);
      if (!shares) continue;
      shares.forEach((share, k) => lines.push(["ab"[i], layer, named, place, side, offset + k, texts(pair)[i][offset + k], share]));
      arrays[`${side === "reads" ? "reads" : "readers"}_${"ab"[i]}`] = numbers(shares);
    }
  });
  if (lines.length) tables.row = table(pair, ["run", "layer", "head", "token", "side", "position", "piece", `share${rows.some(([, row]) => row && row.exact === false) ? " (8 bits)" : ""}`], lines);
  return { tables, arrays };
}

/** columns: [{token, b, same, own, other}] of the grid, each side {layers, logprob, rank, settled}. */
export function lensOf(pair, columns) {
  const rows = columns.flatMap(({ token, b, same, own, other }) => own.layers.map((layer, l) => [token, b, texts(pair)[0][token], same ? 1 : 0, layer, own.logprob[l], other.logprob[l], other.logprob[l] - own.logprob[l], own.rank[l], other.rank[l], own.settled, other.settled]));
  const names = ["position_a", "position_b", "token", "alike", "layer", "logprob_a", "logprob_b", "difference", "rank_a", "rank_b", "settled_a", "settled_b"];
  const arrays = Object.fromEntries(names.filter((name) => name !== "token").map((name) => [name, (name.startsWith("logprob") || name === "difference" ? numbers : whole)(rows.map((row) => row[names.indexOf(name)]))]));
  return { tables: { grid: table(pair, names, rows) }, arrays: { ...arrays, models: pair.titles } };
}

/** sections: [{place, rows: [{piece, id, known: [p by a, p by b]}], measured}]. */
export function nextOf(pair, sections) {
  const rows = sections.flatMap(({ place, rows: candidates, measured }) => candidates.map(({ piece, id, known }) => [place, id, piece, known[0], known[1], measured ? measured.kl[0] : null, measured ? measured.kl[1] : null]));
  const names = ["predicted position", "id", "piece", "probability by a", "probability by b", "KL(a || b), nats", "KL(b || a), nats"];
  return { tables: { candidates: table(pair, names, rows) }, arrays: { id: whole(rows.map((row) => row[1])), p_a: numbers(rows.map((row) => row[3])), p_b: numbers(rows.map((row) => row[4])), models: pair.titles } };
}

export function cacheOf(pair) {
  const names = ["bytes", "logical", "physical", "evicted"];
  const layers = Math.max(...pair.cache.map((one) => one.bytes.length));
  const rows = [...Array(layers).keys()].map((l) => [l, ...pair.cache.flatMap((one) => names.map((name) => one[name][l] ?? null))]);
  const arrays = Object.fromEntries(pair.cache.flatMap((one, i) => names.map((name) => [`${name}_${"ab"[i]}`, whole(one[name])])));
  return { tables: { layers: table(pair, ["layer", ...["a", "b"].flatMap((side) => names.map((name) => `${name}_${side}`))], rows) }, arrays: { ...arrays, models: pair.titles } };
}

/** The words of an action's figure and file; `what` is the panel's. */
export function wordsOf(pair, what, selection, extra = "") {
  const name = pair.titles.join(" | ");
  const selected = selection.token === null || selection.token === undefined ? "" : `; selected: token ${selection.token} of ${selection.run === pair.other ? pair.titles[1] : pair.titles[0]}`;
  return { title: `${what}: ${name}`, caption: `${pair.parting.sentence} ${extra}Differences are ${pair.titles[1]} less ${pair.titles[0]}${selected}. Positions and layers count from 0.`, file: `difference_${what}_${pair.titles.join("_")}_token${selection.token ?? 0}`.replace(/[^\w.-]+/g, "-").slice(0, 110) };
}
