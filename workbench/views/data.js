// Reading packed arrays and printing tokens and numbers the same way everywhere.

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array };

/** The typed array of a packed array {dtype, shape, data} (base64, little-endian), decoded once; null stays null. */
export function unpack(packed) {
  if (!packed) return null;
  if (!packed.values) {
    const text = atob(packed.data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    packed.values = new KINDS[packed.dtype](bytes.buffer);
  }
  return packed.values;
}

/** The data in a script element of a page: JSON, or (text/plain) JSON that was compressed with gzip, in base64 (bundle.py). */
export async function inflated(element) {
  if (element.type === "application/json") return JSON.parse(element.textContent);
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** A token piece as one can read it: the leading-space mark as a middle dot, a line break as an arrow. */
export function visible(piece) {
  if (piece === undefined || piece === null || piece === "") return "∅";
  if (piece === "<0x0A>" || piece === "\n") return "⏎";
  if (piece === "<0x09>" || piece === "\t") return "⇥";
  return piece.replaceAll("▁", "·").replaceAll("\n", "⏎").replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "◌");
}

/** `visible`, cut to `length` characters. */
export function short(piece, length = 10) {
  const text = [...visible(piece)];
  return text.length > length ? text.slice(0, length - 1).join("") + "…" : text.join("");
}

/** Token `i` of a view's payload as a short quotation. */
export function quoted(payload, i) {
  return `“${short(payload.tokens[i], 14)}”`;
}

/** A share as a percentage with as many digits as it deserves. */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "<0.01 %";
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} %`;
}

/** A difference of shares in percentage points, with its sign. */
export function signedPercent(value) {
  return `${value < 0 ? "−" : "+"}${percent(Math.abs(value))}`;
}

/** Nats with two digits. */
export function nats(value) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : `${value.toFixed(2)} nats`;
}

/** Bytes in binary units. */
export function bytes(count) {
  if (count < 1024) return `${Math.round(count)} B`;
  const units = ["KiB", "MiB", "GiB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Whole numbers with a thin space between thousands. */
export function whole(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
}

/** "1st", "2nd", ... for a rank; "–" when unknown. */
export function rank(value) {
  return value > 0 ? `#${whole(value)}` : "–";
}

/** A RoPE theta as `theta_text` in models/architecture.py writes it: "1e4", "5e5", "5000". */
export function thetaText(theta) {
  return theta >= 1e-3 && theta < 1e4 ? String(theta) : theta.toExponential().replace("e+", "e");
}

/** A model's name for captions: of a folder or hub id the last part. */
export function modelName(name) {
  return String(name).replace(/\/+$/, "").split("/").pop();
}
