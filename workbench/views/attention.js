// Attention of one run: all heads of a layer on one canvas, one large map, and what the selected token reads / who reads it.
// Payload: {run, model, length, tokens, prompt_length, layers, heads, head_names, kv_heads, window, block, captured, note}.
// options.source.layer(layer) -> {map: packed uint8 (heads, q, k), scale, statistics: {name: [per head]}, sink_tokens} ; value = scale * (u / 255)^2
// options.source.row(token, layer) -> {reads: packed (heads, token + 1)|null, readers: packed (heads, length - token)|null, exact, note}
// Packed rows are float32, or uint16 holding 65535 * sqrt(p). All positions are absolute token positions.

import { make, svg, sized, tip, onWidth, toggle } from "./dom.js";
import { unpack, visible, short, percent, whole } from "./data.js";
import { sequential, color, onTheme, isDark } from "./theme.js";

const LISTED = 8; // tokens in each of the two bar lists
const LABELLED = 40; // up to this many tokens the large map names its rows and columns

/** Head `head` of a packed layer as Float32Array (q, k); -1 is the mean of all heads; `hideSink` drops key block 0 and renormalises. */
function matrix(layer, head, hideSink) {
  const [heads, rows, columns] = layer.map.shape;
  const packed = unpack(layer.map);
  const out = new Float32Array(rows * columns);
  const from = head < 0 ? 0 : head;
  const to = head < 0 ? heads : head + 1;
  for (let h = from; h < to; h++) {
    const base = h * rows * columns;
    for (let i = 0; i < out.length; i++) {
      const u = packed[base + i] / 255;
      out[i] += (layer.scale * u * u) / (to - from);
    }
  }
  if (hideSink) {
    for (let q = 0; q < rows; q++) {
      const rest = 1 - out[q * columns];
      for (let k = 1; k < columns; k++) out[q * columns + k] = rest > 1e-3 ? Math.min(1, out[q * columns + k] / rest) : 0;
      out[q * columns] = 0;
    }
  }
  return out;
}

/** Paints a (rows, columns) matrix into `image` pixels of side `side`, max-pooled where a pixel covers several cells; the future stays clear. */
function bitmap(values, rows, columns, side) {
  const size = Math.max(1, Math.min(side, Math.max(rows, columns)));
  const image = new ImageData(size, size);
  const table = sequential();
  for (let y = 0; y < size; y++) {
    const q0 = Math.floor((y * rows) / size);
    const q1 = Math.max(q0 + 1, Math.floor(((y + 1) * rows) / size));
    for (let x = 0; x < size; x++) {
      const k0 = Math.floor((x * columns) / size);
      const k1 = Math.max(k0 + 1, Math.floor(((x + 1) * columns) / size));
      if (k0 > q1 - 1) continue;
      let most = 0;
      for (let q = q0; q < q1; q++) for (let k = k0; k < k1; k++) most = Math.max(most, values[q * columns + k]);
      const c = 3 * Math.round(255 * Math.sqrt(Math.min(1, most)));
      const at = 4 * (y * size + x);
      image.data[at] = table[c];
      image.data[at + 1] = table[c + 1];
      image.data[at + 2] = table[c + 2];
      image.data[at + 3] = 255;
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Row `head` (or the mean, -1) of packed rows (heads, n) as numbers. */
function profile(packed, head) {
  if (!packed) return null;
  const values = unpack(packed);
  const [heads, n] = packed.shape;
  const out = new Float32Array(n);
  const from = head < 0 ? 0 : head;
  const to = head < 0 ? heads : head + 1;
  for (let h = from; h < to; h++) {
    for (let i = 0; i < n; i++) {
      const v = values[h * n + i];
      out[i] += (packed.dtype === "uint16" ? (v / 65535) ** 2 : v) / (to - from);
    }
  }
  return out;
}

export function draw(element, payload, options = {}) {
  const source = options.source || {};
  const layers = new Map();
  const rows = new Map();
  let layer = options.selection && Number.isInteger(options.selection.layer) ? options.selection.layer : Math.min(1, payload.layers - 1);
  let head = options.selection && Number.isInteger(options.selection.head) ? options.selection.head : -1;
  let token = options.selection ? options.selection.token : null;
  let hideSink = false;
  let ticket = 0;
  let geometry = null; // {left, top, side, rows, columns} of the large map, CSS pixels
  let values = null; // the matrix the large map shows

  const layerText = make("output", { class: "wb-number" });
  const slider = make("input", { type: "range", min: 0, max: payload.layers - 1, step: 1, "aria-label": "Layer", on: { input: () => setLayer(Number(slider.value), true) } });
  const headText = make("output", { class: "wb-number" });
  const sink = toggle("hide the sink", false, (on) => { hideSink = on; paint(); }, "Leave out the first token, which often collects unused attention, and rescale the rest");
  const bar = make("div", { class: "wb-bar" }, make("label", { class: "wb-slider" }, make("span", { text: "Layer" }), slider, layerText), headText, sink);
  const facts = make("dl", { class: "wb-head-facts" });
  const mosaic = make("canvas", { class: "wb-mosaic", tabindex: "0", role: "img", "aria-label": "All heads of this layer; arrow keys choose a head" });
  const map = make("canvas", { class: "wb-map", role: "img", "aria-label": "Attention map of the chosen head: rows are reading tokens, columns the tokens they read" });
  const over = make("canvas", { class: "wb-over", "aria-hidden": "true" });
  const left = make("figure", { class: "wb-figure" }, mosaic, make("figcaption", { text: "all heads · click one" }), facts);
  const caption = make("figcaption");
  const right = make("figure", { class: "wb-figure wb-grow" }, make("div", { class: "wb-stack" }, map, over), caption);
  const maps = make("div", { class: "wb-maps" }, left, right);
  const ribbon = make("div", { class: "wb-ribbon" });
  const lists = make("div", { class: "wb-lists" });
  const message = make("p", { class: "wb-message", role: "status" });
  element.classList.add("wb-attention");
  element.replaceChildren(bar, maps, ribbon, lists, message);

  const quoted = (i) => `“${short(payload.tokens[i], 14)}”`;
  const headName = () => (head < 0 ? "mean of all heads" : `head ${payload.head_names[head]}`);

  async function setLayer(next, tell) {
    layer = Math.max(0, Math.min(payload.layers - 1, next));
    slider.value = layer;
    layerText.textContent = `${layer} / ${payload.layers - 1}`;
    if (tell && options.select) options.select({ layer });
    await load();
  }

  function setHead(next) {
    head = next;
    if (options.select) options.select({ head });
    paint();
  }

  async function load() {
    const mine = ++ticket;
    message.textContent = payload.note || "";
    element.classList.toggle("wb-empty", !payload.captured);
    if (!payload.captured || !source.layer) return;
    const key = `${token}/${layer}`;
    try {
      const [piece, row] = await Promise.all([
        layers.get(layer) || source.layer(layer),
        token === null || token === undefined ? null : rows.get(key) || source.row(token, layer),
      ]);
      layers.set(layer, piece);
      if (rows.size > 96) rows.clear();
      if (row) rows.set(key, row);
    } catch (error) {
      message.textContent = error.message;
    }
    if (mine === ticket) paint();
  }

  function paint() {
    headText.textContent = headName();
    const piece = layers.get(layer);
    if (piece && piece.map) {
      drawMosaic(piece);
      drawMap(piece);
      drawFacts(piece);
    }
    drawRow();
    element.dataset.drawn = `${payload.run}/${layer}/${head}/${token}/${hideSink}/${isDark()}`;
  }

  function drawFacts(piece) {
    const s = piece.statistics || {};
    const of = (name) => {
      const per = s[name];
      if (!per) return null;
      const known = (head < 0 ? per : [per[head]]).filter((v) => v !== null && v !== undefined);
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    };
    const parts = [
      ["reaches back", of("distance"), (v) => `${v.toFixed(1)} tokens`],
      [piece.sink_tokens > 1 ? `on the first ${piece.sink_tokens} tokens` : "on the first token", of("sink"), percent],
      ["on the token before", of("previous"), percent],
      ["induction", of("induction"), percent],
      ["entropy", of("entropy"), (v) => `${v.toFixed(2)} nats`],
    ];
    facts.title = `Layer ${layer}, ${headName()}: means over all tokens of the run`;
    facts.replaceChildren(...parts.filter(([, value]) => value !== null).flatMap(([name, value, print]) => [make("dt", { text: name }), make("dd", { text: print(value) })]));
  }

  function drawMosaic(piece) {
    const [heads, q, k] = piece.map.shape;
    const tiles = heads + 1;
    const columns = Math.ceil(Math.sqrt(tiles));
    const width = Math.max(150, Math.min(left.clientWidth || 240, 300));
    const gap = 5;
    const label = heads > 16 ? 0 : 12;
    const side = Math.floor((width - gap * (columns - 1)) / columns);
    const lines = Math.ceil(tiles / columns);
    const context = sized(mosaic, width, lines * (side + label + gap) - gap);
    context.font = "10px system-ui, sans-serif";
    context.textBaseline = "top";
    mosaic.tiles = { columns, side, label, gap, heads };
    for (let t = 0; t < tiles; t++) {
      const x = (t % columns) * (side + gap);
      const y = Math.floor(t / columns) * (side + label + gap);
      const shown = t - 1;
      context.fillStyle = color("well");
      context.fillRect(x, y + label, side, side);
      context.drawImage(bitmap(matrix(piece, shown, hideSink), q, k, side * (window.devicePixelRatio || 1)), x, y + label, side, side);
      context.fillStyle = color(shown === head ? "accent" : "muted");
      if (label) context.fillText(shown < 0 ? "mean" : `head ${payload.head_names[shown]}`, x, y);
      if (shown === head) {
        context.strokeStyle = color("accent");
        context.lineWidth = 2;
        context.strokeRect(x + 1, y + label + 1, side - 2, side - 2);
      }
    }
  }

  function drawMap(piece) {
    const [, q, k] = piece.map.shape;
    const width = Math.max(200, Math.min(right.clientWidth, 500));
    const named = payload.block === 1 && payload.length <= LABELLED && (width - 60) / payload.length >= 9;
    const margin = named ? 58 : 26;
    const side = width - margin - 2;
    const height = side + (named ? 60 : 22);
    geometry = { left: margin, top: 2, side, rows: q, columns: k };
    const context = sized(map, width, height);
    sized(over, width, height);
    values = matrix(piece, head, hideSink);
    context.fillStyle = color("well");
    context.fillRect(margin, 2, side, side);
    context.drawImage(bitmap(values, q, k, side * (window.devicePixelRatio || 1)), margin, 2, side, side);
    drawWindow(context);
    context.fillStyle = color("muted");
    context.font = "11px system-ui, sans-serif";
    const cell = side / payload.length;
    if (named) {
      context.font = `${Math.max(8, Math.min(11, cell))}px ui-monospace, monospace`;
      for (let i = 0; i < payload.length; i++) {
        context.fillStyle = color(i === token ? "accent" : i >= payload.prompt_length ? "ink" : "muted");
        context.textAlign = "right";
        context.textBaseline = "middle";
        context.fillText(short(payload.tokens[i], 8), margin - 5, 2 + (i + 0.5) * cell);
        context.save();
        context.translate(margin + (i + 0.5) * cell, side + 6);
        context.rotate(-Math.PI / 2);
        context.fillText(short(payload.tokens[i], 8), 0, 0);
        context.restore();
      }
    } else {
      const edge = margin + payload.prompt_length * cell;
      context.textBaseline = "top";
      context.fillText("tokens read →", margin, side + 6);
      context.save();
      context.translate(6, 2 + side);
      context.rotate(-Math.PI / 2);
      context.fillText("reading tokens →", 0, 0);
      context.restore();
      if (payload.prompt_length < payload.length) {
        context.strokeStyle = color("muted");
        context.setLineDash([1, 3]);
        context.beginPath();
        context.moveTo(edge, 2 + side);
        context.lineTo(edge, 2 + payload.prompt_length * cell);
        context.lineTo(margin, 2 + payload.prompt_length * cell);
        context.stroke();
        context.setLineDash([]);
      }
    }
    const pooled = payload.block > 1 ? `, ${payload.block} × ${payload.block} tokens a cell` : "";
    const reach = !payload.window ? "no sliding window" : payload.length > payload.window ? `hatched: outside the window of ${whole(payload.window)} tokens` : `window of ${whole(payload.window)} tokens, not yet full`;
    caption.textContent = `${headName()}${pooled} · colour is √ of the share · ${reach}${hideSink ? " · sink left out" : ""}`;
    drawOver(null);
  }

  /** A query sees `window` keys, itself included: key = query - window is the first one it cannot see. */
  function drawWindow(context) {
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
    if (hover) {
      context.strokeStyle = color("ink");
      context.lineWidth = 1;
      context.globalAlpha = 0.5;
      context.strokeRect(x0 + hover.k * (side / geometry.columns), y0, side / geometry.columns, side);
      context.strokeRect(x0, y0 + hover.q * (side / geometry.rows), side, side / geometry.rows);
      context.globalAlpha = 1;
    }
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
    const low = index * payload.block;
    const high = Math.min(payload.length, low + payload.block) - 1;
    return low === high ? `${quoted(low)} (${low})` : `tokens ${whole(low)}–${whole(high)}`;
  }

  over.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    drawOver(cell);
    if (!cell || !values) return tip.hide();
    const share = values[cell.q * geometry.columns + cell.k];
    tip.show(event.clientX, event.clientY, `${span(cell.q)} reads ${span(cell.k)}`, [["share", `${percent(share)}`], "map values have 8 bits; the bars below are exact"]);
  });
  over.addEventListener("pointerleave", () => { tip.hide(); drawOver(null); });
  over.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    const query = Math.min(payload.length - 1, cell.q * payload.block);
    if (options.select) options.select({ run: payload.run, model: payload.model, token: query, query, key: cell.k * payload.block });
  });
  mosaic.addEventListener("click", (event) => {
    if (!mosaic.tiles) return;
    const box = mosaic.getBoundingClientRect();
    const { columns, side, label, gap, heads } = mosaic.tiles;
    const t = Math.floor((event.clientY - box.top) / (side + label + gap)) * columns + Math.floor((event.clientX - box.left) / (side + gap));
    if (t <= heads) setHead(t - 1);
  });
  mosaic.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: mosaic.tiles?.columns, ArrowUp: -mosaic.tiles?.columns }[event.key];
    if (!step) return;
    event.preventDefault();
    setHead(Math.max(-1, Math.min(payload.heads - 1, head + step)));
  });

  function drawRow() {
    const row = rows.get(`${token}/${layer}`);
    ribbon.replaceChildren();
    lists.replaceChildren();
    if (token === null || token === undefined || !payload.captured) return;
    if (!row) return;
    message.textContent = row.note || payload.note || "";
    if (token >= payload.length) return; // produced last, never read: the note says so
    const reads = profile(row.reads, head);
    const readers = profile(row.readers, head);
    if (hideSink && reads && token > 0) {
      const rest = 1 - reads[0];
      for (let k = 1; k < reads.length; k++) reads[k] = rest > 1e-6 ? reads[k] / rest : 0;
      reads[0] = 0;
    }
    ribbon.append(drawRibbon(reads, readers), make("p", { class: "wb-keyline" }, make("i", { class: "wb-swatch wb-swatch-a" }), `what ${quoted(token)} reads`, make("i", { class: "wb-swatch wb-swatch-b" }), `who reads it · ${headName()}, √ scale, along the whole text`));
    lists.append(
      list(`What ${quoted(token)} reads`, reads, 0, "Its attention adds up to 100 %."),
      list(`Who reads ${quoted(token)}`, readers, token, "Share of each later token’s attention that lands here.")
    );
  }

  function drawRibbon(reads, readers) {
    const width = Math.max(200, element.clientWidth - 2);
    const height = 46;
    const cell = width / payload.length;
    const bars = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "Attention of the selected token along the text" });
    if (payload.window) {
      const low = Math.max(0, token - payload.window + 1);
      bars.append(svg("rect", { x: low * cell, y: 0, width: Math.max(1, (token + 1 - low) * cell), height, class: "wb-window" }));
    }
    const most = Math.max(1e-6, ...(reads || []), ...(readers ? readers.slice(1) : []));
    const column = (i, share, up) => {
      const tall = Math.sqrt(Math.min(1, share / most)) * (height / 2 - 2);
      if (tall < 0.4) return;
      bars.append(svg("rect", { x: i * cell, y: up ? height / 2 - tall : height / 2, width: Math.max(cell - (cell > 4 ? 1 : 0), 0.8), height: tall, class: up ? "wb-reads" : "wb-readers" }));
    };
    if (reads) reads.forEach((share, k) => column(k, share, true));
    if (readers) readers.forEach((share, i) => i > 0 && column(token + i, share, false));
    bars.append(svg("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, class: "wb-axis" }));
    bars.append(svg("rect", { x: token * cell - 0.5, y: 0, width: Math.max(cell, 2), height, class: "wb-here" }));
    bars.addEventListener("pointermove", (event) => {
      const i = Math.floor((event.clientX - bars.getBoundingClientRect().left) / cell);
      if (i < 0 || i >= payload.length) return;
      const lines = [];
      if (reads && i <= token) lines.push([`${quoted(token)} reads it`, percent(reads[i])]);
      if (readers && i >= token) lines.push([`it reads ${quoted(token)}`, percent(readers[i - token])]);
      tip.show(event.clientX, event.clientY, `${quoted(i)} at ${i}`, lines);
    });
    bars.addEventListener("pointerleave", () => tip.hide());
    bars.addEventListener("click", (event) => {
      const i = Math.floor((event.clientX - bars.getBoundingClientRect().left) / cell);
      if (options.select && i >= 0 && i < payload.length) options.select({ run: payload.run, model: payload.model, token: i });
    });
    return bars;
  }

  function list(title, shares, offset, hint) {
    const box = make("section", { class: "wb-list" }, make("h4", { text: title, title: hint }));
    if (!shares) {
      box.append(make("p", { class: "wb-message", text: "Not kept in this run; ask again to see it." }));
      return box;
    }
    const order = [...shares.keys()].filter((i) => shares[i] > 0.0005).sort((a, b) => shares[b] - shares[a]).slice(0, LISTED);
    if (!order.length) box.append(make("p", { class: "wb-message", text: offset + shares.length >= payload.length && shares.length <= 1 ? "Nothing comes after it." : "Hardly anything." }));
    for (const i of order) {
      const position = offset + i;
      const row = make("button", { type: "button", class: "wb-row", title: `token ${position}`, on: { click: () => options.select && options.select({ run: payload.run, model: payload.model, token: position }) } },
        make("span", { class: "wb-piece", text: short(payload.tokens[position], 12) }),
        make("span", { class: "wb-index", text: String(position) }),
        make("span", { class: "wb-meter" }, make("i", { style: { width: `${Math.max(1, 100 * shares[i])}%` } })),
        make("span", { class: "wb-value", text: percent(shares[i]) })
      );
      box.append(row);
    }
    return box;
  }

  const stopWidth = onWidth(element, () => paint());
  const stopTheme = onTheme(() => paint());
  setLayer(layer, false);

  return {
    /** Another run, or the same run grown. */
    update(next) {
      payload = next;
      layers.clear();
      rows.clear();
      slider.max = payload.layers - 1;
      if (head >= payload.heads) head = -1;
      if (token !== null && token !== undefined && token >= payload.length) token = payload.length - 1;
      return setLayer(layer, false);
    },
    select(selection) {
      if (selection.token !== undefined) token = selection.token;
      if (Number.isInteger(selection.head)) head = Math.min(selection.head, payload.heads - 1);
      return setLayer(Number.isInteger(selection.layer) ? selection.layer : layer, false);
    },
    destroy() {
      stopWidth();
      stopTheme();
      tip.hide();
      element.replaceChildren();
    },
  };
}
