// Curves with bands: one a model, told apart by colour, dash and mark.

import { make, svg, tip, onWidth } from "./dom.js";
import { whole } from "./data.js";

const COLOURS = ["var(--wb-a)", "var(--wb-b)", "var(--wb-muted)", "rgb(var(--wb-tint-entropy))"];
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
const MOST = 640; // pixels

/** Round values between `low` and `high`, about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= raw);
  return Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, i) => (Math.ceil(low / step) + i) * step);
}

/** A figure of `series` [{name, points: [{x, y, low, high, said}]}], x on a log scale where `log`. `words`: {title, x, y}; `print` makes
 * a text of a y; ``axis` of one on the axis; `marks` are x with a word: [[x, text]]. */
export function curves(series, words, { log = true, print = (value) => value.toFixed(2), axis = print, marks = [], dots = true } = {}) {
  const place = make("div");
  const legend = make("p", { class: "wb-legend-line" }, ...(series.length > 1 ? series.map((one, i) => make("span", { class: "wb-curve-key" },
    svg("svg", { width: 26, height: 8, "aria-hidden": "true" }, svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, style: `stroke: ${COLOURS[i % 4]}`, "stroke-width": 2, "stroke-dasharray": DASHES[i % 4] })), make("span", { text: one.name }))) : []));
  const element = make("figure", { class: "wb-figure wb-curve-figure" }, legend, place, make("figcaption", { text: words.title }));
  const all = series.flatMap((one) => one.points);
  const known = all.flatMap((one) => [one.y, one.low, one.high]).filter((value) => value !== null && value !== undefined && Number.isFinite(value));
  let [least, most] = [Math.min(...known), Math.max(...known)];
  if (!(most - least > 1e-9)) [least, most] = [least - 1, most + 1];
  const scale = (x) => (log ? Math.log(Math.max(x, 1)) : x);
  const places = [...all.map((one) => one.x), ...marks.map(([x]) => x)].map(scale);
  const [first, last] = [Math.min(...places), Math.max(...places)];

  function paint() {
    const [width, height] = [Math.max(250, Math.min(element.clientWidth, MOST)), 250];
    const box = { left: 50, right: width - 14, top: 14, bottom: height - 38 };
    const at = (value) => box.left + ((value - first) / (last - first || 1)) * (box.right - box.left);
    const x = (value) => at(scale(value));
    const y = (value) => box.bottom - ((value - least) / (most - least)) * (box.bottom - box.top);
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${words.title}. ${series.map((one) => `${one.name}: ${one.points.length > 12 ? `${print(one.points[0].y)} to ${print(one.points.at(-1).y)}` : one.points.map((point) => `${whole(Math.round(point.x))} ${print(point.y)}`).join(", ")}`).join("; ")}` });
    for (const value of ticks(least, most, 4)) picture.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "wb-axis" }), svg("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end", class: "wb-tick", text: axis(value) }));
    const steps = log ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288].filter((value) => Math.log(value) >= first && Math.log(value) <= last) : ticks(first, last, 5);
    const every = Math.ceil(steps.length / Math.max(2, Math.floor((box.right - box.left) / 58)));
    steps.forEach((value, i) => { if (i % every === 0) picture.append(svg("text", { x: x(value), y: box.bottom + 15, "text-anchor": "middle", class: "wb-tick", text: whole(value) })); });
    picture.append(svg("text", { x: box.left, y: height - 4, class: "wb-tick", text: words.x }), svg("text", { x: box.left, y: 9, class: "wb-tick", text: words.y }));
    for (const [value, text] of marks.filter(([one]) => scale(one) >= first && scale(one) <= last)) picture.append(svg("line", { x1: x(value), x2: x(value), y1: box.top, y2: box.bottom, style: "stroke: var(--wb-accent)", "stroke-dasharray": "3 3" }), svg("text", { x: x(value) - 4, y: box.bottom - 6, "text-anchor": "end", class: "wb-tick", text }));
    series.forEach(({ points }, i) => {
      const [colour, banded] = [COLOURS[i % 4], points.filter((one) => Number.isFinite(one.low) && one.low !== null && one.low !== undefined)];
      if (banded.length > 1) picture.append(svg("polygon", { points: [...banded.map((one) => `${x(one.x)},${y(one.high)}`), ...banded.toReversed().map((one) => `${x(one.x)},${y(one.low)}`)].join(" "), style: `fill: ${colour}`, opacity: 0.15 }));
      picture.append(svg("polyline", { points: points.map((one) => `${x(one.x)},${y(one.y)}`).join(" "), style: `fill: none; stroke: ${colour}`, "stroke-width": 1.8, "stroke-dasharray": DASHES[i % 4] }));
      if (dots) for (const one of points) picture.append(svg("circle", { cx: x(one.x), cy: y(one.y), r: 3, style: `fill: ${colour}` }));
    });
    picture.addEventListener("pointermove", (event) => {
      const left = event.clientX - picture.getBoundingClientRect().left;
      const near = series.map((one) => [one.name, one.points.reduce((best, point) => (Math.abs(x(point.x) - left) < Math.abs(x(best.x) - left) ? point : best))]);
      tip.show(event.clientX, event.clientY, near[0][1].where || whole(Math.round(near[0][1].x)), near.map(([name, point]) => [name, point.said || print(point.y)]));
    });
    picture.addEventListener("pointerleave", () => tip.hide());
    place.replaceChildren(picture);
  }
  onWidth(element, paint);
  return element;
}
