// How the KV cache grew while a reply was written: bytes held, and bytes of the memory that holds them, by tokens read.
// growth: {read: [tokens], bytes: [int], allocated: [int]}, one entry a moment.

import { make, svg, tip } from "./dom.js";
import { bytes, whole } from "./data.js";

/** A figure of `room` pixels. */
export function growth(found, room) {
  const width = Math.max(220, Math.min(room, 620));
  const height = 104;
  const box = { left: 62, right: width - 10, top: 12, bottom: height - 22 };
  const low = found.read[0];
  const high = found.read.at(-1);
  const most = Math.max(1, ...found.allocated, ...found.bytes);
  const least = Math.min(...found.bytes);
  const near = least - (most - least) * 0.25;
  const floor = least > 0.7 * most && bytes(near) !== bytes(most) ? near : 0; // a short reply to a long prompt hardly shows from zero
  const x = (read) => box.left + ((read - low) / (high - low || 1)) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - floor) / (most - floor || 1)) * (box.bottom - box.top);
  const text = `It grew by ${bytes(found.bytes.at(-1) - found.bytes[0])} while ${whole(high - low)} tokens were added, to ${bytes(found.bytes.at(-1))}`;
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text });
  for (const value of [floor, most]) {
    picture.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "wb-axis" }), svg("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end", class: "wb-tick", text: bytes(value) }));
  }
  picture.append(svg("text", { x: box.left, y: height - 6, class: "wb-tick", text: `${whole(low)} tokens read` }), svg("text", { x: box.right, y: height - 6, "text-anchor": "end", class: "wb-tick", text: whole(high) }));
  const line = (values, kind) => svg("polyline", { points: found.read.map((read, i) => `${x(read)},${y(values[i])}`).join(" "), class: kind });
  picture.append(line(found.allocated, "wb-line wb-line-soft"), line(found.bytes, "wb-line"));
  picture.addEventListener("pointermove", (event) => {
    const read = low + ((event.clientX - picture.getBoundingClientRect().left - box.left) / (box.right - box.left)) * (high - low);
    const i = found.read.reduce((best, value, j) => (Math.abs(value - read) < Math.abs(found.read[best] - read) ? j : best), 0);
    tip.show(event.clientX, event.clientY, `after ${whole(found.read[i])} tokens`, [["held", bytes(found.bytes[i])], ["memory of its blocks", bytes(found.allocated[i])]]);
  });
  picture.addEventListener("pointerleave", () => tip.hide());
  const same = found.bytes.every((value, i) => value === found.allocated[i]);
  return make("figure", { class: "wb-figure wb-growth" }, picture, make("figcaption", { text: `${text}${same ? "" : " · pale: the memory of the blocks that hold it"}` }));
}
