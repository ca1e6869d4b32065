// A small map of layers by heads: one square a head, darker for more. The best ones are named below it.

import { make, sized, tip, onWidth } from "./dom.js";
import { color, onTheme, sequential } from "./theme.js";
import { percent } from "./data.js";

/** `values[layer][head]` in [0, 1] or null. Returns the element. */
export function headMap(title, values) {
  const canvas = make("canvas", { role: "img" });
  const element = make("figure", { class: "wb-figure wb-head-map" }, canvas, make("figcaption", { text: title }));
  const [layers, heads] = [values.length, values[0].length];
  const flat = values.flatMap((row, layer) => row.map((value, head) => [layer, head, value])).filter(([, , value]) => value !== null);
  const best = flat.sort((a, b) => b[2] - a[2]).slice(0, 3).filter(([, , value]) => value > 0);
  canvas.setAttribute("aria-label", `${title}: ${layers} layers by ${heads} heads. ${best.length ? `Most: ${best.map(([layer, head, value]) => `${layer}.${head} ${percent(value)}`).join(", ")}` : "none of it anywhere"}.`);
  let cell = 0;
  const LEFT = 30;
  function paint() {
    cell = Math.max(5, Math.min(26, Math.floor((Math.min(element.clientWidth, 340) - LEFT - 2) / heads)));
    const context = sized(canvas, LEFT + cell * heads + 2, cell * layers + 22);
    const table = sequential();
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    values.forEach((row, layer) => {
      const every = Math.ceil(14 / cell);
      context.fillStyle = color("muted");
      if (layer % every === 0 || layer === layers - 1) context.fillText(String(layer), LEFT - 6, (layer + 0.5) * cell);
      row.forEach((value, head) => {
        const i = 3 * Math.round(255 * Math.sqrt(Math.min(1, value || 0)));
        context.fillStyle = value === null ? color("well") : `rgb(${table[i]} ${table[i + 1]} ${table[i + 2]})`;
        context.fillRect(LEFT + head * cell + 0.5, layer * cell + 0.5, cell - 1, cell - 1);
      });
    });
    context.strokeStyle = color("line");
    context.strokeRect(LEFT - 0.5, 0.5, heads * cell + 1, layers * cell);
    context.fillStyle = color("muted");
    context.textAlign = "left";
    context.fillText("heads →", LEFT, cell * layers + 12);
  }
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [head, layer] = [Math.floor((event.clientX - box.left - LEFT) / cell), Math.floor((event.clientY - box.top) / cell)];
    if (head < 0 || head >= heads || layer < 0 || layer >= layers) return tip.hide();
    const value = values[layer][head];
    tip.show(event.clientX, event.clientY, `layer ${layer}, head ${head}`, [[title, value === null ? "–" : percent(value)]]);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  onWidth(element, paint);
  onTheme(paint);
  return element;
}
