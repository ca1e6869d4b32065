// A long text at a glance: one thin line of all its tokens, of which the strip shows a part.

import { make, sized, tip } from "./dom.js";
import { whole } from "./data.js";
import { color } from "./theme.js";

const HEIGHT = 14;

/** A canvas over a text; `strength(i)` is the colour of token i in [0, 1] or null, `choose(i)` is called on a click. */
export function minimap(strength, choose) {
  const canvas = make("canvas", { class: "wb-minimap", role: "img" });
  let total = 1;

  /** Paints `tokens` of them, the strip's window `low` to `high` and the `selected` token; `tint` is the name of a "r g b"
   * colour. */
  function paint(room, tokens, low, high, selected, prompt, tint) {
    total = tokens;
    canvas.setAttribute("aria-label", `All ${total} tokens; click to go there`);
    const width = Math.max(120, room);
    const context = sized(canvas, width, HEIGHT);
    const values = color(tint);
    context.fillStyle = color("well");
    context.fillRect(0, 0, width, HEIGHT);
    for (let x = 0; x < width; x++) {
      const from = Math.floor((x * total) / width);
      const to = Math.max(from + 1, Math.floor(((x + 1) * total) / width));
      let sum = 0;
      let known = 0;
      for (let i = from; i < to; i++) {
        const value = strength(i);
        if (value !== null) {
          sum += value;
          known++;
        }
      }
      if (!known) continue;
      context.fillStyle = `rgb(${values} / ${0.12 + 0.7 * (sum / known)})`;
      context.fillRect(x, 2, 1, HEIGHT - 4);
    }
    const at = (i) => (i / total) * width;
    if (prompt < total) {
      context.fillStyle = color("muted");
      context.fillRect(at(prompt), HEIGHT - 2, width - at(prompt), 2);
    }
    context.strokeStyle = color("muted");
    context.lineWidth = 1;
    context.strokeRect(at(low) + 0.5, 0.5, Math.max(2, at(high) - at(low) - 1), HEIGHT - 1);
    if (selected !== null && selected !== undefined) {
      context.fillStyle = color("accent");
      context.fillRect(Math.min(width - 2, at(selected)), 0, 2, HEIGHT);
    }
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(total - 1, Math.floor(((event.clientX - box.left) / box.width) * total)));
  };
  canvas.addEventListener("click", (event) => choose(at(event)));
  canvas.addEventListener("pointermove", (event) => tip.show(event.clientX, event.clientY, `token ${whole(at(event))}`, [`of ${whole(total)}; click to go there`]));
  canvas.addEventListener("pointerleave", () => tip.hide());
  return { element: canvas, paint };
}
