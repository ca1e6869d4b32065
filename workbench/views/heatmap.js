// The large map of the attention view: one head (or the mean), the sliding window hatched, the selected token framed.
// view: {payload, layer, head, token, hideSink, maximum} of the attention view. A host that shows something else than shares passes
// `kind`: {label, values(piece) -> Float32Array (q, k), reach(piece), caption(piece, headName), line(value) -> a line of the tooltip}.

import { make, sized, tip } from "./dom.js";
import { quoted, short, percent, whole } from "./data.js";
import { color } from "./theme.js";
import { bitmap, matrix } from "./matrix.js";

const LABELLED = 40; // up to this many tokens the map names its rows and columns

/** A figure with the map; `view()` gives the attention view's state, `choose(query, key)` is called on a click. */
export function heatmap(view, choose, kind = null) {
  const map = make("canvas", { class: "wb-map", role: "img", "aria-label": `${kind ? kind.label : "Attention map of the chosen head"}: rows are reading tokens, columns the tokens they read` });
  const over = make("canvas", { class: "wb-over", "aria-hidden": "true" });
  const caption = make("figcaption");
  const element = make("figure", { class: "wb-figure wb-grow" }, make("div", { class: "wb-stack" }, map, over), caption);
  let geometry = null; // {left, top, side, rows, columns} of the map, CSS pixels
  let values = null; // the matrix the map shows
  let largest = false; // it shows largest shares, not means

  function paint(piece, headName) {
    const { payload, head, hideSink, maximum } = view();
    largest = Boolean(maximum && piece.max_map);
    const packed = largest ? piece.max_map : piece.map;
    const [, q, k] = packed.shape;
    const width = Math.max(200, Math.min(element.clientWidth, 500));
    const named = payload.block === 1 && payload.length <= LABELLED && (width - 60) / payload.length >= 9;
    const margin = named ? 58 : 26;
    const side = width - margin - 2;
    geometry = { left: margin, top: 2, side, rows: q, columns: k };
    const context = sized(map, width, side + (named ? 60 : 22));
    sized(over, width, side + (named ? 60 : 22));
    values = kind ? kind.values(piece) : matrix(packed, piece.scale, head, { hideSink, maximum: largest });
    context.fillStyle = color("well");
    context.fillRect(margin, 2, side, side);
    context.drawImage(bitmap(values, q, k, side * (window.devicePixelRatio || 1), kind ? kind.reach(piece) : 0), margin, 2, side, side);
    drawWindow(context, payload);
    context.fillStyle = color("muted");
    context.font = "11px system-ui, sans-serif";
    if (named) drawNames(context);
    else drawAxes(context, payload);
    caption.textContent = kind ? kind.caption(piece, headName) : describe(piece, headName);
    drawOver(null);
  }

  function describe(piece, headName) {
    const { payload, head, hideSink } = view();
    const pooled = payload.block > 1 ? `, ${whole(payload.block)} × ${whole(payload.block)} tokens a cell` : "";
    const meaning = largest ? "colour is √ of the largest share in a cell" : "colour is √ of the share";
    const reach = !payload.window ? "no sliding window" : payload.length > payload.window ? `hatched: outside the window of ${whole(payload.window)} tokens` : `window of ${whole(payload.window)} tokens, not yet full`;
    const errors = piece.errors && piece.errors.map;
    let sampled = "";
    if (payload.sample) {
      sampled = ` · sampled: ${payload.sample} of each ${payload.map_block} reading tokens`;
      // Heads share their sampled rows, so the error of their mean is not the errors' mean: that of one head is stated.
      if (errors) sampled += `, standard error ${percent(head < 0 ? errors.reduce((a, b) => a + b, 0) / errors.length : errors[head])} a cell${head < 0 ? " of one head" : ""}${payload.block > payload.map_block ? ` of ${payload.map_block} × ${payload.map_block} tokens` : ""}`;
    }
    return `${largest && head < 0 ? "all heads" : headName}${pooled} · ${meaning} · ${reach}${hideSink ? " · sink left out" : ""}${sampled}`;
  }

  function drawNames(context) {
    const { payload, token } = view();
    const { left, side } = geometry;
    const cell = side / payload.length;
    context.font = `${Math.max(8, Math.min(11, cell))}px ui-monospace, monospace`;
    for (let i = 0; i < payload.length; i++) {
      context.fillStyle = color(i === token ? "accent" : i >= payload.prompt_length ? "ink" : "muted");
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(short(payload.tokens[i], 8), left - 5, 2 + (i + 0.5) * cell);
      context.save();
      context.translate(left + (i + 0.5) * cell, side + 6);
      context.rotate(-Math.PI / 2);
      context.fillText(short(payload.tokens[i], 8), 0, 0);
      context.restore();
    }
  }

  function drawAxes(context, payload) {
    const { left, side } = geometry;
    const down = 2 + (payload.prompt_length * side) / payload.length;
    context.textBaseline = "top";
    context.fillText("tokens read →", left, side + 6);
    context.save();
    context.translate(6, 2 + side);
    context.rotate(-Math.PI / 2);
    context.fillText("reading tokens →", 0, 0);
    context.restore();
    if (payload.prompt_length >= payload.length) return;
    context.strokeStyle = color("muted");
    context.setLineDash([1, 3]);
    context.beginPath();
    context.moveTo(left + down - 2, 2 + side);
    context.lineTo(left + down - 2, down);
    context.lineTo(left, down);
    context.stroke();
    context.setLineDash([]);
  }

  /** A query sees `window` keys, itself included: key = query - window is the first one it cannot see. */
  function drawWindow(context, payload) {
    if (!payload.window || payload.length <= payload.window) return;
    const { left: x0, top: y0, side } = geometry;
    const cell = side / payload.length;
    context.save();
    context.beginPath();
    context.moveTo(x0, y0 + payload.window * cell);
    context.lineTo(x0, y0 + side);
    context.lineTo(x0 + (payload.length - payload.window) * cell, y0 + side);
    context.closePath();
    context.strokeStyle = color("accent");
    context.lineWidth = 1.2;
    context.stroke();
    context.clip();
    context.globalAlpha = 0.28;
    for (let d = -side; d < side; d += 7) {
      context.beginPath();
      context.moveTo(x0 + d, y0 + side);
      context.lineTo(x0 + d + side, y0);
      context.stroke();
    }
    context.restore();
  }

  function drawOver(hover) {
    if (!geometry) return;
    const { payload, token } = view();
    const context = over.getContext("2d");
    const { left: x0, top: y0, side } = geometry;
    context.clearRect(0, 0, over.width, over.height);
    const cell = side / payload.length;
    const band = Math.max(cell, 2.5);
    if (token !== null && token !== undefined && token < payload.length) {
      context.strokeStyle = color("accent");
      context.lineWidth = 1.5;
      context.strokeRect(x0 - 0.75, y0 + token * cell - 0.75, Math.max(band, (token + 1) * cell) + 1.5, band + 1.5);
      context.setLineDash([3, 3]);
      context.strokeRect(x0 + token * cell - 0.75, y0 + token * cell - 0.75, band + 1.5, side - token * cell + 1.5);
      context.setLineDash([]);
    }
    if (!hover) return;
    context.strokeStyle = color("ink");
    context.lineWidth = 1;
    context.globalAlpha = 0.5;
    context.strokeRect(x0 + hover.k * (side / geometry.columns), y0, side / geometry.columns, side);
    context.strokeRect(x0, y0 + hover.q * (side / geometry.rows), side, side / geometry.rows);
    context.globalAlpha = 1;
  }

  function cellAt(event) {
    if (!geometry) return null;
    const box = over.getBoundingClientRect();
    const x = (event.clientX - box.left - geometry.left) / geometry.side;
    const y = (event.clientY - box.top - geometry.top) / geometry.side;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    const q = Math.floor(y * geometry.rows);
    const k = Math.floor(x * geometry.columns);
    return k > q ? null : { q, k };
  }

  function span(index) {
    const { payload } = view();
    const low = index * payload.block;
    const high = Math.min(payload.length, low + payload.block) - 1;
    return low === high ? `${quoted(payload, low)} (${low})` : `tokens ${whole(low)}–${whole(high)}`;
  }

  over.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    drawOver(cell);
    if (!cell || !values) return tip.hide();
    const share = values[cell.q * geometry.columns + cell.k];
    tip.show(event.clientX, event.clientY, `${span(cell.q)} reads ${span(cell.k)}`, [kind ? kind.line(share) : [largest ? "largest share" : "share", `${percent(share)}`], "map values have 8 bits"]);
  });
  over.addEventListener("pointerleave", () => { tip.hide(); drawOver(null); });
  over.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) choose(Math.min(view().payload.length - 1, cell.q * view().payload.block), cell.k * view().payload.block);
  });
  return { element, paint };
}
