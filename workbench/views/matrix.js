// Packed maps and rows of the attention view as numbers, and numbers as pixels. A packed map is uint8 (heads, q, k) with
// value = scale * (u / 255)^2; packed rows are float32, or uint16 holding 65535 * sqrt(p).

import { unpack } from "./data.js";
import { sequential, diverging } from "./theme.js";

/** Head `head` of a packed map as Float32Array (q, k); -1 is the mean of all heads, of a map of largest shares the largest;
 * `hideSink` drops key block 0 and gives the rest of a mean map the whole. */
export function matrix(map, scale, head, { hideSink = false, maximum = false } = {}) {
  const [heads, rows, columns] = map.shape;
  const packed = unpack(map);
  const out = new Float32Array(rows * columns);
  const from = head < 0 ? 0 : head;
  const to = head < 0 ? heads : head + 1;
  for (let h = from; h < to; h++) {
    const base = h * rows * columns;
    for (let i = 0; i < out.length; i++) {
      const u = packed[base + i] / 255;
      const value = scale * u * u;
      out[i] = maximum ? Math.max(out[i], value) : out[i] + value / (to - from);
    }
  }
  if (hideSink) {
    for (let q = 0; q < rows; q++) {
      const rest = maximum ? 1 : 1 - out[q * columns];
      for (let k = 1; k < columns; k++) out[q * columns + k] = rest > 1e-3 ? Math.min(1, out[q * columns + k] / rest) : 0;
      out[q * columns] = 0;
    }
  }
  return out;
}

/** Head `head` of a packed map of differences as Float32Array (q, k); -1 is the mean of all heads. Packed is uint8 with
 * difference = sign(v) v^2, v = (u - 128) / 127; `hideSink` leaves out key block 0. */
export function signed(map, head, hideSink = false) {
  const [heads, rows, columns] = map.shape;
  const packed = unpack(map);
  const out = new Float32Array(rows * columns);
  const from = head < 0 ? 0 : head;
  const to = head < 0 ? heads : head + 1;
  for (let h = from; h < to; h++) {
    for (let i = 0; i < out.length; i++) {
      const v = (packed[h * out.length + i] - 128) / 127;
      out[i] += (v * Math.abs(v)) / (to - from);
    }
  }
  if (hideSink) for (let q = 0; q < rows; q++) out[q * columns] = 0;
  return out;
}

/** Paints a (rows, columns) matrix into `image` pixels of side `side`, max-pooled where a pixel covers several cells; the future stays clear.
 * With `reach` the values are differences, coloured from -reach to reach. */
export function bitmap(values, rows, columns, side, reach = 0) {
  const size = Math.max(1, Math.min(Math.round(side), Math.max(rows, columns)));
  const image = new ImageData(size, size);
  const table = reach ? diverging() : sequential();
  for (let y = 0; y < size; y++) {
    const q0 = Math.floor((y * rows) / size);
    const q1 = Math.max(q0 + 1, Math.floor(((y + 1) * rows) / size));
    for (let x = 0; x < size; x++) {
      const k0 = Math.floor((x * columns) / size);
      const k1 = Math.max(k0 + 1, Math.floor(((x + 1) * columns) / size));
      if (k0 > q1 - 1) continue;
      let most = 0;
      for (let q = q0; q < q1; q++) {
        for (let k = k0; k < k1; k++) {
          const value = values[q * columns + k];
          if (Math.abs(value) > Math.abs(most)) most = value;
        }
      }
      const part = reach ? most / reach : most;
      const depth = Math.sign(part) * Math.sqrt(Math.min(1, Math.abs(part)));
      const c = 3 * (reach ? 128 + Math.round(127 * depth) : Math.round(255 * depth));
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
export function profile(packed, head) {
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
