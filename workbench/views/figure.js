// A panel as a picture: what stands on the page, under a title and over a caption that says where it comes from. The page is
// read once into a list of marks (boxes, lines, texts, canvases), which is drawn as PNG or written as SVG.

import { atDensity } from "./dom.js";
import { color } from "./theme.js";

const DENSITY = 2; // pixels a CSS pixel
const PAD = 22;
const CLEAR = /^(transparent|rgba\(.*,\s*0\))$/;

const paper = (() => {
  let context = null;
  return () => (context = context || document.createElement("canvas").getContext("2d"));
})();

function fontOf(style) {
  return `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
}

/** `text` cut to `room` pixels in the font that the paper holds. */
function fitting(text, room) {
  const context = paper();
  if (room <= 0 || context.measureText(text).width <= room + 0.5) return text;
  const letters = [...text];
  while (letters.length && context.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

/** Marks of everything that can be seen in `root`, in CSS pixels from its corner. */
function marksOf(root) {
  const origin = root.getBoundingClientRect();
  const marks = [];
  const place = (box) => ({ x: box.left - origin.left, y: box.top - origin.top, w: box.width, h: box.height });

  function box(element, style) {
    const at = place(element.getBoundingClientRect());
    const radius = Math.min(parseFloat(style.borderTopLeftRadius) || 0, at.h / 2);
    if (!CLEAR.test(style.backgroundColor)) marks.push({ kind: "rect", ...at, radius, fill: style.backgroundColor, opacity: Number(style.opacity) });
    const wide = ["Top", "Right", "Bottom", "Left"].map((side) => (CLEAR.test(style[`border${side}Color`]) ? 0 : parseFloat(style[`border${side}Width`]) || 0));
    if (wide.every((size) => size > 0)) marks.push({ kind: "rect", x: at.x + 0.5, y: at.y + 0.5, w: at.w - 1, h: at.h - 1, radius, stroke: style.borderTopColor, width: wide[0] });
    else if (wide[2]) marks.push({ kind: "line", points: [[at.x, at.y + at.h - wide[2] / 2], [at.x + at.w, at.y + at.h - wide[2] / 2]], stroke: style.borderBottomColor, width: wide[2] });
    for (const [, ink, dx, , , spread, inset] of style.boxShadow.matchAll(/(rgba?\([^)]*\)) (-?[\d.]+)px (-?[\d.]+)px ([\d.]+)px (-?[\d.]+)px( inset)?/g)) {
      const size = Number(spread);
      if (size > 0 && !inset) marks.push({ kind: "rect", x: at.x - size / 2, y: at.y - size / 2, w: at.w + size, h: at.h + size, radius, stroke: ink, width: size });
      else if (inset && Number(dx)) marks.push({ kind: "line", points: [[Number(dx) > 0 ? at.x + 1 : at.x + at.w - 1, at.y], [Number(dx) > 0 ? at.x + 1 : at.x + at.w - 1, at.y + at.h]], stroke: ink, width: Math.abs(Number(dx)) });
    }
  }

  function text(node, style) {
    if (!node.data.trim()) return;
    const context = paper();
    context.font = fontOf(style);
    const measured = context.measureText("Ag");
    const range = document.createRange();
    const lines = [];
    for (const word of node.data.matchAll(/\S+\s*|\s+/g)) { // words on one line are one text
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].trimEnd().length || word.index + word[0].length);
      for (const rect of range.getClientRects()) {
        if (rect.width < 0.5) continue;
        const last = lines.at(-1);
        if (last && Math.abs(last.rect.top - rect.top) < 3) last.text += word[0];
        else lines.push({ rect, text: word[0] });
        break; // a word broken over lines stands whole on its first
      }
    }
    const holder = node.parentElement.closest("td, th, .wb-piece, .wb-token, .wb-where-piece");
    for (const line of lines) {
      line.text = line.text.replace(/ · click (one|to go there)$/, ""); // said to a visitor, not to a reader
      const at = place(line.rect);
      const room = holder ? holder.getBoundingClientRect().right - line.rect.left - 1 : Infinity;
      const baseline = at.y + (at.h + measured.fontBoundingBoxAscent - measured.fontBoundingBoxDescent) / 2;
      marks.push({ kind: "text", x: at.x, y: baseline, text: fitting(style.whiteSpace === "pre" ? line.text.replace(/\n$/, "") : line.text.trimEnd(), room), font: fontOf(style), fill: style.color, anchor: "start", under: style.textDecorationLine.includes("underline") });
    }
  }

  function drawing(svg) {
    const area = svg.getBoundingClientRect();
    const own = svg.viewBox.baseVal;
    const [sx, sy] = [area.width / (own.width || area.width), area.height / (own.height || area.height)];
    const { x, y } = place(area);
    const of = (node, name) => Number(node.getAttribute(name)) || 0;
    for (const node of svg.querySelectorAll("rect, line, polyline, circle, text")) {
      const style = getComputedStyle(node);
      const look = { fill: style.fill === "none" ? null : style.fill, stroke: style.stroke === "none" ? null : style.stroke, width: parseFloat(style.strokeWidth) || 1, opacity: Number(style.opacity) };
      if (node.tagName === "rect") marks.push({ kind: "rect", x: x + of(node, "x") * sx, y: y + of(node, "y") * sy, w: of(node, "width") * sx, h: of(node, "height") * sy, radius: 0, ...look });
      else if (node.tagName === "line") marks.push({ kind: "line", points: [[x + of(node, "x1") * sx, y + of(node, "y1") * sy], [x + of(node, "x2") * sx, y + of(node, "y2") * sy]], ...look, fill: null });
      else if (node.tagName === "polyline") marks.push({ kind: "line", points: node.getAttribute("points").trim().split(/\s+/).map((pair) => pair.split(",").map(Number)).map(([px, py]) => [x + px * sx, y + py * sy]), ...look, fill: null });
      else if (node.tagName === "circle") marks.push({ kind: "circle", x: x + of(node, "cx") * sx, y: y + of(node, "cy") * sy, r: of(node, "r") * sx, ...look });
      else marks.push({ kind: "text", x: x + of(node, "x") * sx, y: y + of(node, "y") * sy, text: node.textContent, font: fontOf(style), fill: style.fill, anchor: node.getAttribute("text-anchor") || "start" });
    }
  }

  function walk(element) {
    if (element.matches(".wb-hidden, .wb-more")) return;
    const style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden") return;
    if (element.tagName === "CANVAS") return marks.push({ kind: "image", ...place(element.getBoundingClientRect()), canvas: element });
    if (element !== root) box(element, style);
    if (element instanceof SVGElement) return drawing(element);
    for (const child of element.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) text(child, style);
      else if (child.nodeType === Node.ELEMENT_NODE) walk(child);
    }
  }

  walk(root);
  return { marks, width: origin.width, height: origin.height };
}

/** `text` in lines of at most `room` pixels. */
function wrapped(text, font, room) {
  const context = paper();
  context.font = font;
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (lines.at(-1) && context.measureText(longer).width > room) lines.push(fitting(word, room));
    else lines[lines.length - 1] = fitting(longer, room);
  }
  return lines;
}

/** Calls `use({marks, width, height, ground})` with the whole figure while its canvases are drawn at DENSITY. */
function composed(panel, use) {
  const { body, repaint } = panel;
  const { title, caption } = panel.words();
  return atDensity(DENSITY, () => {
    body.classList.add("wb-whole"); // what scrolls on the page stands in full
    repaint();
    try {
      const inner = marksOf(body);
      const family = getComputedStyle(body).fontFamily;
      const [heading, small] = [`600 15px ${family}`, `400 12px ${family}`];
      const width = Math.max(280, inner.width);
      const marks = [];
      let y = PAD;
      for (const line of wrapped(title, heading, width)) marks.push({ kind: "text", x: PAD, y: (y += 17), text: line, font: heading, fill: color("ink"), anchor: "start" });
      y += 14;
      for (const mark of inner.marks) marks.push(mark.points ? { ...mark, points: mark.points.map(([px, py]) => [px + PAD, py + y]) } : { ...mark, x: mark.x + PAD, y: mark.y + y });
      y += inner.height + 6;
      for (const line of wrapped(caption, small, width)) marks.push({ kind: "text", x: PAD, y: (y += 16), text: line, font: small, fill: color("muted"), anchor: "start" });
      return use({ marks, width: width + 2 * PAD, height: y + PAD, ground: color("surface") });
    } finally {
      body.classList.remove("wb-whole");
    }
  });
}

function onCanvas({ marks, width, height, ground }) {
  const canvas = document.createElement("canvas");
  const scale = Math.min(DENSITY, 16000 / Math.max(width, height)); // a browser draws nothing larger
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = ground;
  context.fillRect(0, 0, width, height);
  for (const mark of marks) {
    context.globalAlpha = mark.opacity ?? 1;
    context.beginPath();
    if (mark.kind === "image") context.drawImage(mark.canvas, mark.x, mark.y, mark.w, mark.h);
    else if (mark.kind === "text") {
      context.font = mark.font;
      context.fillStyle = mark.fill;
      context.textAlign = { middle: "center", end: "right", start: "left" }[mark.anchor];
      context.fillText(mark.text, mark.x, mark.y);
      if (mark.under) context.fillRect(mark.x, mark.y + 2, context.measureText(mark.text).width, 1.5);
      continue;
    } else if (mark.kind === "rect") context.roundRect(mark.x, mark.y, Math.max(0, mark.w), Math.max(0, mark.h), mark.radius);
    else if (mark.kind === "circle") context.arc(mark.x, mark.y, mark.r, 0, 7);
    else mark.points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (mark.fill) {
      context.fillStyle = mark.fill;
      context.fill();
    }
    if (mark.stroke) {
      context.strokeStyle = mark.stroke;
      context.lineWidth = mark.width;
      context.stroke();
    }
  }
  return canvas;
}

const escaped = (text) => String(text).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

function asSvg({ marks, width, height, ground }) {
  const written = (tag, attributes, text = "") => `<${tag}${Object.entries(attributes).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => ` ${name}="${escaped(typeof value === "number" ? Math.round(value * 100) / 100 : value)}"`).join("")}${text ? `>${escaped(text)}</${tag}>` : "/>"}`;
  const parts = [written("rect", { width, height, fill: ground })];
  for (const mark of marks) {
    const look = { fill: mark.fill || "none", stroke: mark.stroke, "stroke-width": mark.stroke ? mark.width : null, opacity: mark.opacity < 1 ? mark.opacity : null };
    if (mark.kind === "image") parts.push(written("image", { x: mark.x, y: mark.y, width: mark.w, height: mark.h, href: mark.canvas.toDataURL("image/png") }));
    else if (mark.kind === "text") parts.push(written("text", { x: mark.x, y: mark.y, "text-anchor": mark.anchor, "text-decoration": mark.under ? "underline" : null, fill: mark.fill, style: `font:${mark.font};white-space:pre` }, mark.text));
    else if (mark.kind === "rect") parts.push(written("rect", { x: mark.x, y: mark.y, width: Math.max(0, mark.w), height: Math.max(0, mark.h), rx: mark.radius || null, ...look }));
    else if (mark.kind === "circle") parts.push(written("circle", { cx: mark.x, cy: mark.y, r: mark.r, ...look }));
    else parts.push(written("polyline", { points: mark.points.map((pair) => pair.map((value) => Math.round(value * 100) / 100).join(",")).join(" "), ...look }));
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.round(width)}" height="${Math.round(height)}" viewBox="0 0 ${Math.round(width)} ${Math.round(height)}">\n${parts.join("\n")}\n</svg>\n`;
}

/** The figure of a panel {body, repaint(), words() -> {title, caption}} as a PNG Blob at twice the size of the page. */
export function png(panel) {
  const canvas = composed(panel, onCanvas);
  panel.repaint(); // at the screen's own density again
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("This figure is too large for a PNG here; take SVG."))), "image/png"));
}

/** The same as SVG text; maps are pictures in it, everything else stays lines and texts. */
export function svg(panel) {
  const text = composed(panel, asSvg);
  panel.repaint();
  return text;
}
