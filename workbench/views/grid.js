// The retrieval grid: depth x length scores of one model, or of two and their difference, one cell a setting.
// Payload (grid.py): {models, lengths, depths, limits: [no colour, full colour], words: {score, depth}, grids: [{score: packed float32
// (depth, length), n: packed int32, low, high: packed float32 or absent}], difference: packed float32|null}. n 0: never tried; NaN with n > 0: tried, without a score.
// options.shown names the pictures to choose from (models, "difference"); all by default. options.select({cell: {length, depth, model, score, n, row, column}}) is called on a click or Enter; model is null in the difference.

import { make, sized, tip, onWidth, choice } from "./dom.js";
import { unpack, whole } from "./data.js";
import { color, diverging, onTheme, isDark, sequential } from "./theme.js";
import { paintCell } from "./gridcell.js";

const DIFFERENCE = "difference";
const LEFT = 66; // pixels for the depths
const TOP = 8;
const BOTTOM = 44; // for the lengths
const SPELLED = 400; // cells of the table for screen readers

/** A length in thousands of tokens, as it is spoken of: 4096 is 4k. */
function thousands(length) {
  if (length % 1024 === 0) return `${length / 1024}k`;
  return length >= 10000 && length % 1000 === 0 ? `${length / 1000}k` : whole(length);
}

export function draw(element, payload, options = {}) {
  const selected = (options.selection || {}).cell || null;
  let mode = (options.shown || payload.models)[0];
  let cursor = selected ? { row: selected.row, column: selected.column } : { row: 0, column: 0 };
  let chosen = selected ? { ...cursor } : null;
  let focused = false;
  let geometry = null;
  const switcher = make("div", { class: "wb-models" });
  const scale = make("p", { class: "wb-legend-line" });
  const canvas = make("canvas", { class: "wb-grid", tabindex: "0", role: "img" });
  const says = make("p", { class: "wb-facts wb-grid-cell", role: "status" });
  const table = make("div", { class: "wb-hidden" });
  element.classList.add("wb", "wb-retrieval");
  element.replaceChildren(make("div", { class: "wb-bar" }, switcher), scale, canvas, says, table);

  const percent = () => payload.limits[0] === 0 && payload.limits[1] === 1;
  const print = (value) => (Number.isNaN(value) ? "no score" : percent() ? `${(100 * value).toFixed(value === 0 || value === 1 ? 0 : 1)} %` : value.toFixed(2));
  const printSigned = (value) => (Number.isNaN(value) ? "no difference" : `${value < 0 ? "−" : "+"}${percent() ? `${(100 * Math.abs(value)).toFixed(Math.abs(value) % 1 === 0 ? 0 : 1)} points` : Math.abs(value).toFixed(2)}`);
  const side = () => payload.models.indexOf(mode);
  const size = () => [payload.depths.length, payload.lengths.length];

  /** Score, trials and state of a cell: "untested", "no score", "below", "above" the limits, or "" for an ordinary one. */
  function cell(row, column) {
    const i = row * payload.lengths.length + column;
    const [low, high] = payload.limits;
    if (mode !== DIFFERENCE) {
      const score = unpack(payload.grids[side()].score)[i];
      const n = unpack(payload.grids[side()].n)[i];
      const state = n === 0 ? "untested" : Number.isNaN(score) ? "no score" : score < low ? "below" : score > high ? "above" : "";
      const { low: from, high: to } = payload.grids[side()];
      const interval = from && !Number.isNaN(unpack(from)[i]) && n > 0 ? [unpack(from)[i], unpack(to)[i]] : null;
      return { score, n: [n], state, interval, part: (score - low) / (high - low) };
    }
    const score = unpack(payload.difference)[i];
    const n = payload.grids.map((grid) => unpack(grid.n)[i]);
    const part = score / (high - low);
    const state = n.some((count) => count === 0) ? "untested" : Number.isNaN(score) ? "no score" : part < -1 ? "below" : part > 1 ? "above" : "";
    return { score, n, state, part };
  }

  function paint() {
    const [rows, columns] = size();
    const room = Math.max(240, element.clientWidth);
    const wide = Math.min(86, (room - LEFT - 4) / columns);
    const tall = Math.max(18, Math.min(46, 380 / rows));
    const context = sized(canvas, LEFT + wide * columns + 3, TOP + tall * rows + BOTTOM);
    geometry = { wide, tall, rows, columns };
    context.textBaseline = "middle";
    context.textAlign = "center";
    const states = new Set();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const found = cell(row, column);
        states.add(found.state);
        paintCell(context, { x: LEFT + column * wide, y: TOP + row * tall, wide, tall }, found, inside(found), mode === DIFFERENCE);
      }
    }
    drawAxes(context);
    drawFrames(context);
    drawScale(states);
    canvas.setAttribute("aria-label", `Grid of ${rows} depths by ${columns} lengths: ${mode === DIFFERENCE ? `difference of ${payload.words.score}, ${payload.models[1]} less ${payload.models[0]}` : `${payload.words.score}, ${mode}`}. Arrow keys move, Enter opens a cell.`);
    describe();
    element.dataset.drawn = `${mode}/${cursor.row}/${cursor.column}/${isDark()}`;
  }

  /** What stands in a cell where there is room: the score, the trials behind it and the interval. */
  function inside(found) {
    const value = percent() ? Math.round(100 * found.score) : found.score.toFixed(1);
    const sign = mode !== DIFFERENCE || Number(value) === 0 ? "" : found.score < 0 ? "−" : "+";
    const range = found.interval && percent() && geometry.wide >= 74 ? ` · ${found.interval.map((end) => Math.round(100 * end)).join("–")}` : "";
    return [`${sign}${String(value).replace("-", "")}`, `n ${[...new Set(found.n)].join("|")}${range}`];
  }

  function drawAxes(context) {
    const { wide, tall, rows, columns } = geometry;
    context.fillStyle = color("muted");
    context.font = "11px system-ui, sans-serif";
    const every = Math.max(1, Math.ceil(34 / wide));
    for (let column = 0; column < columns; column++) if (column % every === 0 || column === columns - 1) context.fillText(thousands(payload.lengths[column]), LEFT + (column + 0.5) * wide, TOP + rows * tall + 11);
    context.fillText("context length, tokens →", LEFT + (columns * wide) / 2, TOP + rows * tall + 31);
    context.textAlign = "right";
    const each = Math.max(1, Math.ceil(15 / tall));
    for (let row = 0; row < rows; row++) if (row % each === 0 || row === rows - 1) context.fillText(`${Math.round(100 * payload.depths[row])} %`, LEFT - 7, TOP + (row + 0.5) * tall);
    context.save();
    context.translate(9, TOP + (rows * tall) / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(`← ${payload.words.depth}`, 0, 0);
    context.restore();
  }

  function drawFrames(context) {
    const { wide, tall } = geometry;
    const frame = (at, style, width) => {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(LEFT + at.column * wide + width / 2, TOP + at.row * tall + width / 2, wide - width, tall - width);
    };
    if (chosen) frame(chosen, color("accent"), 2.5);
    if (focused) {
      context.setLineDash([4, 3]);
      frame(cursor, color("ink"), 1.5);
      context.setLineDash([]);
    }
  }

  function drawScale(states) {
    const table = mode === DIFFERENCE ? diverging() : sequential();
    const bar = make("canvas", { class: "wb-grid-scale", role: "img", "aria-label": "Colour scale" });
    const context = sized(bar, 120, 10);
    for (let x = 0; x < 120; x++) {
      const i = 3 * Math.round((255 * x) / 119);
      context.fillStyle = `rgb(${table[i]} ${table[i + 1]} ${table[i + 2]})`;
      context.fillRect(x, 0, 1, 10);
    }
    const [low, high] = payload.limits;
    const ends = mode === DIFFERENCE ? [printSigned(low - high), printSigned(high - low)] : [print(low), print(high)];
    const trials = [...(mode === DIFFERENCE ? payload.grids : [payload.grids[side()]])].flatMap((grid) => [...unpack(grid.n)]).filter((n) => n > 0);
    const least = trials.reduce((a, b) => Math.min(a, b), Infinity);
    const most = trials.reduce((a, b) => Math.max(a, b), 0);
    const marks = [["untested", "hatched: not tested"], ["no score", "×: tested, no score"], ["below", "corner below: under the scale"], ["above", "corner above: over the scale"]].filter(([state]) => states.has(state)).map(([, text]) => text);
    scale.replaceChildren(
      make("span", { text: mode === DIFFERENCE ? `${payload.words.score}: ${payload.models[1]} less ${payload.models[0]}` : payload.words.score }),
      make("span", { class: "wb-caption", text: ends[0] }), bar, make("span", { class: "wb-caption", text: ends[1] }),
      make("span", { class: "wb-caption", text: [trials.length ? `n = ${least === most ? least : `${least} to ${most}`} a cell` : "nothing tested yet", ...marks].join(" · ") })
    );
  }

  function words(row, column) {
    const found = cell(row, column);
    const place = `${whole(payload.lengths[column])} tokens, depth ${Math.round(100 * payload.depths[row])} %`;
    const [low, high] = payload.limits;
    const beyond = mode === DIFFERENCE ? " (beyond the scale)" : ` (the scale ends at ${print(found.state === "above" ? high : low)})`;
    const value = found.state === "untested" ? "not tested" : `${mode === DIFFERENCE ? printSigned(found.score) : print(found.score)}${found.state === "below" || found.state === "above" ? beyond : ""}`;
    return { found, place, value, trials: found.state === "untested" ? "" : `n = ${found.n.join(" and ")}${found.interval ? `, 95 % interval ${print(found.interval[0])} to ${print(found.interval[1])}` : ""}` };
  }

  function describe() {
    const { place, value, trials } = words(cursor.row, cursor.column);
    says.textContent = focused || chosen ? [place, value, trials].filter(Boolean).join(" · ") : "";
  }

  /** The same numbers for a screen reader. */
  function spell() {
    const [rows, columns] = size();
    table.replaceChildren();
    if (rows * columns > SPELLED) return;
    table.append(make("table", {}, make("caption", { text: `${payload.words.score}, ${mode}` }),
      make("thead", {}, make("tr", {}, make("th", { scope: "col", text: payload.words.depth }), ...payload.lengths.map((length) => make("th", { scope: "col", text: `${length} tokens` })))),
      make("tbody", {}, ...payload.depths.map((depth, row) => make("tr", {}, make("th", { scope: "row", text: `${Math.round(100 * depth)} %` }), ...payload.lengths.map((_, column) => {
        const { value, trials } = words(row, column);
        return make("td", { text: [value, trials].filter(Boolean).join(", ") });
      }))))));
  }

  function drawSwitch() {
    const shown = payload.models.map((name) => [name, name, name]);
    if (payload.difference) shown.push([DIFFERENCE, "difference", `${payload.models[1]} less ${payload.models[0]}`]);
    const some = shown.filter(([name]) => !options.shown || options.shown.includes(name));
    const open = some.length ? some : shown;
    if (!open.some(([name]) => name === mode)) mode = open[0][0];
    switcher.replaceChildren(open.length > 1 ? choice("Grid of", open, mode, (next) => { mode = next; paint(); spell(); }).element : make("span", { class: "wb-badge", text: open[0][1] }));
  }

  function pick(row, column) {
    cursor = { row, column };
    chosen = { row, column };
    paint();
    const { score, n } = cell(row, column);
    if (options.select) options.select({ cell: { length: payload.lengths[column], depth: payload.depths[row], model: mode === DIFFERENCE ? null : mode, score: Number.isNaN(score) ? null : score, n: n.length > 1 ? n : n[0], row, column } });
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - LEFT) / geometry.wide);
    const row = Math.floor((event.clientY - box.top - TOP) / geometry.tall);
    return row >= 0 && column >= 0 && row < geometry.rows && column < geometry.columns ? [row, column] : null;
  }

  canvas.addEventListener("click", (event) => at(event) && pick(...at(event)));
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (!place) return tip.hide();
    const { place: where, value, trials } = words(...place);
    tip.show(event.clientX, event.clientY, where, [[mode === DIFFERENCE ? "difference" : payload.words.score, value], ...(trials ? [trials] : [])]);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  canvas.addEventListener("keydown", (event) => {
    const { row, column } = cursor;
    const [rows, columns] = size();
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return pick(row, column);
    }
    const next = { ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1], ArrowDown: [row + 1, column], ArrowUp: [row - 1, column], Home: [row, 0], End: [row, columns - 1] }[event.key];
    if (!next) return;
    event.preventDefault();
    cursor = { row: Math.max(0, Math.min(rows - 1, next[0])), column: Math.max(0, Math.min(columns - 1, next[1])) };
    paint();
  });
  canvas.addEventListener("focus", () => { focused = true; paint(); });
  canvas.addEventListener("blur", () => { focused = false; paint(); });

  const stops = [onWidth(element, paint), onTheme(paint)];
  drawSwitch();
  paint();
  spell();

  return {
    /** Another grid, or this one with more cells tried. */
    update(next) {
      const same = next.lengths.join() === payload.lengths.join() && next.depths.join() === payload.depths.join();
      payload = next;
      if (!same) [cursor, chosen] = [{ row: 0, column: 0 }, null];
      drawSwitch();
      paint();
      spell();
    },
    select(selection) {
      if (selection.cell) cursor = chosen = { row: selection.cell.row, column: selection.cell.column };
      paint();
    },
    destroy() {
      for (const stop of stops) stop();
      tip.hide();
      element.replaceChildren();
    },
  };
}
