// All heads of one layer on one canvas, their mean first; heads that are known by what they read carry their name.
// view: {payload, layer, head, hideSink, maximum} of the attention view. A host that shows something else than shares passes
// `kind`: {values(piece, head) -> Float32Array (q, k), reach(piece), lines(piece, head) -> lines of the tooltip}.

import { make, sized, tip } from "./dom.js";
import { percent } from "./data.js";
import { color } from "./theme.js";
import { bitmap, matrix } from "./matrix.js";

const GAP = 5;
const NAMED = 16; // up to this many heads stand under a line with their number
const LISTED = 3; // heads of a kind that are offered by name

export const KINDS = {
  induction: "reads what followed the last occurrence of the same token",
  retrieval: "reads the place that holds the token which comes next",
  previous: "reads the token before",
  sink: "rests on the first tokens",
  local: "stays among the last tokens",
};

/** What the heads of a layer are known as: index -> [kind, score]. */
export function namesOf(payload, layer) {
  return new Map((payload.names || []).filter((entry) => entry[0] === layer).map(([, head, kind, score]) => [head, [kind, score]]));
}

/** The strongest heads of each kind, in all layers, as buttons; `choose(layer, head)` is called with one. Empty without names. */
export function namedHeads(payload, choose) {
  const line = make("p", { class: "wb-named" });
  for (const kind of Object.keys(KINDS)) {
    const known = (payload.names || []).filter((entry) => entry[2] === kind).sort((a, b) => b[3] - a[3]);
    if (!known.length) continue;
    const more = known.length > LISTED ? `, ${LISTED} of ${known.length}` : "";
    line.append(make("span", { class: "wb-caption", text: `${kind}${more}`, title: `A head that ${KINDS[kind]}.` }));
    for (const [layer, head, , score] of known.slice(0, LISTED)) {
      line.append(make("button", { type: "button", class: "wb-chip", text: `L${layer} H${payload.head_names[head]}`, title: `Layer ${layer}, head ${payload.head_names[head]}: ${percent(score)} of its attention, where that can be told`, on: { click: () => choose(layer, head) } }));
    }
  }
  if (line.childElementCount) line.prepend(make("b", { text: "Heads by what they read", title: "Layer and number of the heads with a name, the surest of each kind" }));
  return line;
}

/** A canvas of all heads; `view()` gives the attention view's state, `choose(head)` is called on a click or an arrow key. */
export function mosaic(view, choose, kind = null) {
  const canvas = make("canvas", { class: "wb-mosaic", tabindex: "0", role: "img", "aria-label": "All heads of this layer; arrow keys choose a head" });
  let tiles = null;
  let shown = null;

  function paint(piece, room) {
    const { payload, layer, head, hideSink, maximum } = view();
    const map = maximum && piece.max_map ? piece.max_map : piece.map;
    const [heads, q, k] = map.shape;
    const names = namesOf(payload, layer);
    const count = heads + 1;
    const columns = Math.ceil(Math.sqrt(count));
    const width = Math.max(150, Math.min(room || 240, 300));
    const label = heads > NAMED ? 0 : 12;
    const side = Math.floor((width - GAP * (columns - 1)) / columns);
    const lines = Math.ceil(count / columns);
    const context = sized(canvas, width, lines * (side + label + GAP) - GAP);
    context.font = "10px system-ui, sans-serif";
    context.textBaseline = "top";
    tiles = { columns, side, label, heads };
    shown = piece;
    for (let t = 0; t < count; t++) {
      const x = (t % columns) * (side + GAP);
      const y = Math.floor(t / columns) * (side + label + GAP);
      const one = t - 1;
      context.fillStyle = color("well");
      context.fillRect(x, y + label, side, side);
      const values = kind ? kind.values(piece, one) : matrix(map, piece.scale, one, { hideSink, maximum: map === piece.max_map });
      context.drawImage(bitmap(values, q, k, side * (window.devicePixelRatio || 1), kind ? kind.reach(piece) : 0), x, y + label, side, side);
      const named = names.get(one);
      context.fillStyle = color(one === head ? "accent" : named ? "ink" : "muted");
      if (label) context.fillText(one < 0 ? (map === piece.max_map ? "all" : "mean") : named ? `${payload.head_names[one]} ${named[0]}` : `head ${payload.head_names[one]}`, x, y, side);
      else if (named) context.fillRect(x, y + side - 3, side, 3);
      if (one === head) {
        context.strokeStyle = color("accent");
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + label + 1, side - 2, side - 2);
      }
    }
  }

  /** The head under the pointer, -1 for the mean; null outside. */
  function at(event) {
    if (!tiles) return null;
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / (tiles.side + GAP));
    const t = Math.floor((event.clientY - box.top) / (tiles.side + tiles.label + GAP)) * tiles.columns + column;
    return column >= 0 && column < tiles.columns && t >= 0 && t <= tiles.heads ? t - 1 : null;
  }

  canvas.addEventListener("click", (event) => {
    const head = at(event);
    if (head !== null) choose(head);
  });
  canvas.addEventListener("pointermove", (event) => {
    const head = at(event);
    if (head === null || head < 0) return tip.hide();
    const { payload, layer } = view();
    if (kind) return tip.show(event.clientX, event.clientY, `layer ${layer}, head ${payload.head_names[head]}`, kind.lines(shown, head));
    const named = namesOf(payload, layer).get(head);
    const lines = named ? [[`${named[0]} head`, percent(named[1])], `It ${KINDS[named[0]]}.`] : [];
    const of = (name) => (shown.statistics[name] || [])[head];
    if (of("distance") !== null && of("distance") !== undefined) lines.push(["reaches back", `${of("distance").toFixed(1)} tokens`]);
    lines.push(["reads key head", String(payload.kv_head_names[head])]);
    tip.show(event.clientX, event.clientY, `layer ${layer}, head ${payload.head_names[head]}`, lines);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: tiles?.columns, ArrowUp: -tiles?.columns }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(Math.max(-1, Math.min(view().payload.heads - 1, view().head + step)));
  });
  return { element: canvas, paint };
}
