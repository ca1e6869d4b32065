// Charts of a result's page: dots with intervals, lines, bands, bars and maps, drawn as SVG at the width there is.
// Payload (charts.py): {panels: [{title, x, y: axis, marks, lines}], rows: [[index of a panel]], cut}. Hover or the arrow keys tell a mark's numbers;
// a name of the legend switches its marks off and on.

import { make, onWidth, svg, tip } from "./dom.js";
import { color, legible, onTheme, sequential } from "./theme.js";

const ROW = 24; // pixels of a category
const TALL = 260;
const CUT = 30; // characters of a category's name

const DASHES = { dash: "8 4", dot: "2 3", dashdot: "8 3 2 3", longdash: "12 4", longdashdot: "12 3 2 3" };
const cut = (text, most = CUT) => ([...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text);
const short = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(0) : String(Number(value.toPrecision(4)))).replace("-", "−");

/** The categories of an axis, in the order of their first marks. */
function categories(marks, side) {
  return [...new Set(marks.flatMap((mark) => mark[side]).filter((one) => one !== null).map(String))];
}

/** Round ticks from `low` to `high`. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

/** A scale of an axis over pixels [from, to]: {at(value), ticks: [[pixel, text]], size (pixels a category)}. */
function scale(axis, marks, side, from, to, room) {
  const sign = axis.reversed ? -1 : 1;
  const [start, end] = axis.reversed ? [to, from] : [from, to];
  if (axis.kind === "category") {
    const names = categories(marks, side);
    const size = (end - start) / Math.max(1, names.length);
    const at = (value) => start + size * (names.indexOf(String(value)) + 0.5);
    const step = Math.ceil(names.length / Math.max(1, Math.floor(Math.abs(end - start) / room)));
    return { at, ticks: names.filter((_, i) => i % step === 0).map((name) => [at(name), name]), size: Math.abs(size) };
  }
  const ends = ["from", "to"].flatMap((name) => marks.filter((mark) => mark[name] && mark.flat === (side === "x")).flatMap((mark) => mark[name]));
  const zero = marks.some((mark) => mark.kind === "bars" && (mark.flat ? side === "x" : side === "y")) ? [0] : [];
  const values = [...marks.flatMap((mark) => mark[side]), ...ends, ...zero].filter((one) => typeof one === "number" && (axis.kind !== "log" || one > 0));
  const log = axis.kind === "log";
  const of = (value) => (log ? Math.log10(value) : value);
  let [low, high] = axis.range && !log ? axis.range : [Math.min(...values.map(of)), Math.max(...values.map(of))];
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const map = marks.some((mark) => mark.kind === "map");
  const count = new Set(marks.flatMap((mark) => mark[side])).size;
  if (map) { const half = count > 1 ? (high - low) / (count - 1) / 2 : 0.5; low -= half; high += half; }
  else if (!axis.range) { const pad = (high - low || Math.abs(high) || 1) * 0.05; high += pad; if (!zero.length || low < 0) low -= pad; }
  const at = (value) => start + ((of(value) - low) / (high - low)) * (end - start);
  const space = Math.floor(Math.abs(end - start) / room);
  let shown = log ? [] : ticks(low, high, space).map((value) => [at(value), short(value)]);
  if (log) for (let p = Math.floor(low); p <= high; p++) for (const m of [1, 2, 5]) { const value = m * 10 ** p; if (of(value) >= low && of(value) <= high) shown.push([at(value), short(value)]); }
  if (axis.ticks) { const step = Math.ceil(axis.ticks.length / Math.max(1, space)); shown = axis.ticks.filter((_, i) => i % step === 0).map(([value, text]) => [at(value), text]); }
  if (map && !axis.ticks) shown = shown.filter(([, text]) => !text.includes(".") || count > 40);
  return { at, ticks: shown, size: map ? Math.abs(end - start) / Math.max(1, count) : Math.abs(end - start) / Math.max(1, new Set(values).size), sign };
}

function symbol(name, x, y, colour) {
  const open = name.endsWith("-open");
  const look = { fill: open ? "var(--wb-surface)" : colour, stroke: colour, "stroke-width": open ? 2 : 1 };
  const shape = name.replace("-open", "");
  const r = 5;
  const path = { square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, diamond: `M${x} ${y - r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z`, "triangle-up": `M${x} ${y - r - 1}l${r + 1} ${2 * r}h${-2 * r - 2}z`, cross: `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`, x: `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x - r} ${y + r}l${2 * r} ${-2 * r}` }[shape];
  return path ? svg("path", { d: path, ...look, ...(shape === "cross" || shape === "x" ? { "stroke-width": 2.5 } : {}) }) : svg("circle", { cx: x, cy: y, r, ...look });
}

/** One panel as an SVG of `width` pixels; `spots` gets {x, y, said, node} of every mark. */
function panelOf(panel, width, hidden, spots) {
  const marks = panel.marks.filter((mark) => !hidden.has(mark.name));
  const all = panel.marks;
  const rows = panel.y.kind === "category" ? categories(all, "y") : [];
  const words = rows.length ? rows : panel.y.kind === "linear" ? ["−0.000"] : ["10000"];
  const left = Math.min(width * 0.42, 30 + 6.6 * Math.max(...words.map((one) => Math.min(CUT, [...one].length))));
  const slant = panel.x.kind === "category" || panel.x.ticks ? Math.max(0, ...(panel.x.ticks ? panel.x.ticks.map(([, text]) => [...text].length) : categories(all, "x").map((one) => one.length))) : 0;
  const turned = slant > 6;
  const [top, bottom] = [panel.title ? 26 : 10, 40 + (turned ? Math.min(96, 5 * Math.min(slant, 18)) : 0)];
  const tall = rows.length ? Math.max(90, rows.length * ROW) : all.some((mark) => mark.kind === "map") ? Math.min(420, Math.max(150, 22 * all[0].y.length)) : TALL;
  const right = width - 12;
  const height = top + tall + bottom;
  const box = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const x = scale(panel.x, all, "x", left, right, turned ? 18 : 54);
  const y = scale(panel.y, all, "y", panel.y.kind === "category" && !panel.y.reversed ? top : top + tall, panel.y.kind === "category" && !panel.y.reversed ? top + tall : top, rows.length ? 14 : 34);
  if (panel.y.kind === "category" && panel.y.reversed) Object.assign(y, scale({ ...panel.y, reversed: false }, all, "y", top, top + tall, 14));
  if (panel.title) box.append(svg("text", { x: left, y: 15, class: "wb-chart-title", text: cut(panel.title, Math.floor((right - left) / 6.4)) }));
  const map = all.some((mark) => mark.kind === "map");
  for (const [at, text] of y.ticks) {
    if (!map) box.append(svg("line", { x1: left, x2: right, y1: at, y2: at, class: "wb-axis" }));
    box.append(svg("text", { x: left - 7, y: at + 4, "text-anchor": "end", class: "wb-tick", text: cut(text) }));
  }
  for (const [at, text] of x.ticks) {
    if (!map && !turned) box.append(svg("line", { x1: at, x2: at, y1: top, y2: top + tall, class: "wb-axis" }));
    box.append(svg("text", { x: at, y: top + tall + 15, class: "wb-tick", text: cut(text, 18), ...(turned ? { "text-anchor": "end", transform: `rotate(-55 ${at} ${top + tall + 11})` } : { "text-anchor": "middle" }) }));
  }
  if (panel.x.title) box.append(svg("text", { x: (left + right) / 2, y: height - 5, "text-anchor": "middle", class: "wb-tick", text: cut(panel.x.title, Math.floor(width / 5.6)) }));
  if (panel.y.title && !rows.length) box.append(svg("text", { x: 11, y: top + tall / 2, "text-anchor": "middle", class: "wb-tick", transform: `rotate(-90 11 ${top + tall / 2})`, text: cut(panel.y.title, Math.floor(tall / 5.2)) }));
  for (const line of panel.lines) box.append("x" in line ? svg("line", { x1: x.at(line.x), x2: x.at(line.x), y1: top, y2: top + tall, class: "wb-chart-zero" }) : svg("line", { x1: left, x2: right, y1: y.at(line.y), y2: y.at(line.y), class: "wb-chart-zero" }));
  const put = (node, px, py, said) => { if (said) { node.classList.add("wb-chart-mark"); spots.push({ x: px, y: py, said, node, box }); } box.append(node); };
  const known = (a, b) => a !== null && b !== null && Number.isFinite(x.at(a)) && Number.isFinite(y.at(b));
  const bars = marks.filter((mark) => mark.kind === "bars");
  for (const mark of marks) {
    if (mark.kind === "map") drawMap(mark, x, y, put);
    else if (mark.kind === "area" || mark.kind === "line") {
      const points = mark.x.map((a, i) => [a, mark.y[i]]).filter(([a, b]) => known(a, b)).map(([a, b]) => `${x.at(a).toFixed(1)},${y.at(b).toFixed(1)}`).join(" ");
      box.append(mark.kind === "area" ? svg("polygon", { points, fill: mark.colour, opacity: 0.15 }) : svg("polyline", { points, fill: "none", stroke: mark.colour, "stroke-width": 1.8, "stroke-dasharray": DASHES[mark.dash] || "none" }));
    } else {
      mark.x.forEach((a, i) => {
        const b = mark.y[i];
        if (!known(a, b)) return;
        const [px, py] = [x.at(a), y.at(b)];
        if (mark.kind === "bars") {
          const thick = Math.max(1, Math.min(26, 0.72 * (mark.flat ? y.size : x.size) / bars.length));
          const shift = (bars.indexOf(mark) - (bars.length - 1) / 2) * thick;
          const ground = mark.flat ? x.at(0) : y.at(0);
          put(mark.flat ? svg("rect", { x: Math.min(px, ground), y: py + shift - thick / 2, width: Math.max(1, Math.abs(px - ground)), height: thick, fill: mark.colours[i] }) : svg("rect", { x: px + shift - thick / 2, y: Math.min(py, ground), width: thick, height: Math.max(1, Math.abs(py - ground)), fill: mark.colours[i] }), px, py, mark.said[i]);
        }
        if (mark.from && mark.from[i] !== null && mark.to[i] !== null) {
          const ends = mark.flat ? { x1: x.at(mark.from[i]), x2: x.at(mark.to[i]), y1: py, y2: py } : { x1: px, x2: px, y1: y.at(mark.from[i]), y2: y.at(mark.to[i]) };
          if (Object.values(ends).every(Number.isFinite)) box.append(svg("line", { ...ends, class: "wb-chart-whisker" }));
        }
        if (mark.kind === "dots") {
          put(symbol(mark.symbols[i], px, py, mark.colours[i]), px, py, mark.said[i]);
          if (mark.written) box.append(svg("text", { x: px, y: py - 9, "text-anchor": px > right - 60 ? "end" : "middle", class: "wb-tick", text: cut(mark.written[i], 18) }));
        }
      });
    }
  }
  return box;
}

function drawMap(mark, x, y, put) {
  const table = sequential();
  const [wide, tall] = [x.size, y.size];
  mark.y.forEach((b, j) => mark.x.forEach((a, i) => {
    const value = mark.z[j][i];
    if (value === null) return;
    const k = 3 * Math.round(255 * Math.min(1, Math.max(0, (value - mark.low) / (mark.high - mark.low || 1))));
    const [px, py] = [x.at(a), y.at(b)];
    const cell = svg("g", {}, svg("rect", { x: px - wide / 2, y: py - tall / 2, width: Math.max(0.5, wide - (wide > 6 ? 1 : 0)), height: Math.max(0.5, tall - (tall > 6 ? 1 : 0)), fill: `rgb(${table[k]} ${table[k + 1]} ${table[k + 2]})` }));
    if (wide > 34 && tall > 14) cell.append(svg("text", { x: px, y: py + 4, "text-anchor": "middle", class: "wb-chart-cell", fill: legible(table[k], table[k + 1], table[k + 2]), text: short(Number(value.toPrecision(2))) }));
    put(cell, px, py, mark.said[j][i]);
  }));
}

export function draw(element, payload) {
  const hidden = new Set();
  const area = make("div", { class: "wb-charts", tabindex: "0", role: "group" });
  const legend = make("div", { class: "wb-chart-legend" });
  const says = make("p", { class: "wb-facts", role: "status" });
  let spots = [];
  let chosen = -1;
  const marks = payload.panels.flatMap((panel) => panel.marks);
  const names = new Map(marks.filter((mark) => mark.legend).map((mark) => [mark.name, mark.colour || (mark.colours || [])[0]]));
  if (names.size > 1) {
    for (const [name, colour] of names) {
      const button = make("button", { type: "button", class: "wb-chip", "aria-pressed": "true", on: { click: () => {
        if (hidden.has(name)) hidden.delete(name); else hidden.add(name);
        button.setAttribute("aria-pressed", String(!hidden.has(name)));
        paint();
      } } }, make("span", { class: "wb-swatch", style: { background: colour } }), name);
      legend.append(button);
    }
  }
  element.classList.add("wb-chart");
  element.replaceChildren(legend, area, says, payload.cut ? make("p", { class: "wb-caption", text: "The chart is cut: it has more marks than a page draws. The table below has all numbers." }) : "");

  function tell(i, event) {
    for (const spot of spots) spot.node.classList.remove("wb-chart-on");
    chosen = i;
    const spot = spots[i];
    if (!spot) { tip.hide(); return; }
    spot.node.classList.add("wb-chart-on");
    says.textContent = spot.said.replaceAll("\n", "; ");
    const place = spot.box.getBoundingClientRect();
    const [title, ...lines] = spot.said.split("\n");
    tip.show(event ? event.clientX : place.left + spot.x, event ? event.clientY : place.top + spot.y, title, lines);
  }

  function paint() {
    const width = Math.max(240, area.clientWidth);
    spots = [];
    chosen = -1;
    area.replaceChildren(...payload.rows.map((row) => {
      const abreast = Math.max(1, Math.min(row.length, Math.floor(width / 300)));
      return make("div", { class: "wb-chart-row" }, ...row.map((i) => panelOf(payload.panels[i], Math.floor(width / abreast) - 8 * (abreast > 1), hidden, spots)));
    }));
    spots.forEach((spot, i) => spot.node.addEventListener("mousemove", (event) => tell(i, event)));
    area.setAttribute("aria-label", `Chart with ${spots.length} marks; arrow keys tell their numbers`);
    element.dataset.drawn = "";
  }
  area.addEventListener("mouseleave", () => tip.hide());
  area.addEventListener("blur", () => tip.hide());
  area.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !spots.length) return;
    event.preventDefault();
    tell(Math.max(0, Math.min(spots.length - 1, chosen + step)));
  });
  const stops = [onWidth(element, paint), onTheme(paint)];
  paint();
  return { destroy() { for (const stop of stops) stop(); tip.hide(); element.replaceChildren(); } };
}
