// One cell of the retrieval grid on its canvas: coloured by its score, hatched when untested, crossed without a score, with a corner
// turned over where the score lies beyond the scale.

import { color, diverging, legible, sequential } from "./theme.js";

/** Ground and ink of a score at `part` of the scale, [0, 1], or of a difference, [-1, 1]. */
function fill(part, signed) {
  const bounded = Math.min(1, Math.max(signed ? -1 : 0, part));
  const i = 3 * (signed ? 128 + Math.round(127 * bounded) : Math.round(255 * bounded));
  const [r, g, b] = (signed ? diverging() : sequential()).slice(i, i + 3);
  return [`rgb(${r} ${g} ${b})`, legible(r, g, b)];
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

/** Paints into {x, y, wide, tall}; found: {state, part}; texts: [score, trials]. */
export function paintCell(context, { x, y, wide, tall }, found, texts, signed) {
  context.save();
  context.beginPath();
  context.rect(x + 0.5, y + 0.5, wide - 1, tall - 1);
  context.clip();
  context.fillStyle = color("well");
  context.fillRect(x, y, wide, tall);
  if (found.state === "untested") {
    context.strokeStyle = color("line");
    for (let d = -tall; d < wide; d += 7) line(context, x + d, y + tall, x + d + tall, y);
  } else if (found.state === "no score") {
    context.strokeStyle = color("muted");
    context.lineWidth = 1.5;
    const arm = Math.min(wide, tall) / 5;
    const [cx, cy] = [x + wide / 2, y + tall / 2];
    for (const slope of [1, -1]) line(context, cx - arm, cy - slope * arm, cx + arm, cy + slope * arm);
  } else {
    const [ground, ink] = fill(found.part, signed);
    context.fillStyle = ground;
    context.fillRect(x, y, wide, tall);
    context.fillStyle = ink;
    if (found.state) corner(context, x + wide, found.state === "above" ? y : y + tall, Math.min(9, wide / 3, tall / 3), found.state === "above");
    if (wide >= 36) {
      const spare = tall >= 34;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.font = "12px system-ui, sans-serif";
      context.fillText(texts[0], x + wide / 2, y + tall / 2 - (spare ? 5 : 0));
      context.font = "10px system-ui, sans-serif";
      if (spare) context.fillText(texts[1], x + wide / 2, y + tall / 2 + 9);
    }
  }
  context.restore();
}

function corner(context, x, y, edge, above) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - edge, y);
  context.lineTo(x, y + (above ? edge : -edge));
  context.fill();
}
