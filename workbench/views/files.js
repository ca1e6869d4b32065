// Files made in the browser: CSV and NPZ of what a panel shows, and handing a file to the visitor.

/** A text as a spreadsheet shall show it, never compute it: one that begins like a formula gets an apostrophe in front. */
export function guarded(text) {
  return /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
}

function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(value);
  return `"${guarded(String(value)).replaceAll('"', '""')}"`;
}

/** CSV of {columns: [names], rows: [[values]]}; texts are quoted, what is not known is empty. */
export function csv(table) {
  return [table.columns, ...table.rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

const KINDS = { float32: "<f4", int32: "<i4", uint8: "|u1", uint16: "<u2" };

/** One array as an NPY file: {dtype, shape, values: typed array}, or a list of texts. */
function npy(array) {
  let bytes;
  let kind;
  let shape;
  if (Array.isArray(array)) {
    const width = Math.max(1, ...array.map((text) => [...text].length));
    const codes = new Uint32Array(array.length * width);
    array.forEach((text, i) => [...text].forEach((letter, j) => { codes[i * width + j] = letter.codePointAt(0); }));
    [bytes, kind, shape] = [new Uint8Array(codes.buffer), `<U${width}`, [array.length]];
  } else {
    const { values } = array;
    [bytes, kind, shape] = [new Uint8Array(values.buffer, values.byteOffset, values.byteLength), KINDS[array.dtype], array.shape];
  }
  const text = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${shape.map((size) => `${size},`).join(" ")}), }`;
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n";
  const out = new Uint8Array(10 + header.length + bytes.length);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  out.set(new TextEncoder().encode(header), 10);
  out.set(bytes, 10 + header.length);
  return out;
}

let table = null;

function crc32(bytes) {
  if (!table) {
    table = Uint32Array.from({ length: 256 }, (_, n) => {
      let c = n;
      for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
      return c >>> 0;
    });
  }
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** An NPZ file: a ZIP (stored, not compressed) with one NPY file for each of `arrays` {name: array}. */
export function npz(arrays) {
  const parts = [];
  const index = [];
  let offset = 0;
  for (const [name, array] of Object.entries(arrays)) {
    const path = new TextEncoder().encode(`${name}.npy`);
    const data = npy(array);
    const common = new DataView(new ArrayBuffer(26)); // what the local header and the index say alike
    [[0, 20], [2, 0x0800], [4, 0], [6, 0], [8, 0x21]].forEach(([at, value]) => common.setUint16(at, value, true));
    [[10, crc32(data)], [14, data.length], [18, data.length]].forEach(([at, value]) => common.setUint32(at, value, true));
    common.setUint16(22, path.length, true);
    const head = new Uint8Array(common.buffer);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), head, path, data);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, 20, true);
    new Uint8Array(entry.buffer).set(head, 6);
    entry.setUint32(42, offset, true);
    index.push(new Uint8Array(entry.buffer), path);
    offset += 30 + path.length + data.length;
  }
  const size = index.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, index.length / 2, true);
  end.setUint16(10, index.length / 2, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...index, end], { type: "application/octet-stream" });
}

/** Hands a Blob, or a text of media type `type`, to the visitor as a file. */
export function save(name, content, type = "text/plain") {
  const blob = content instanceof Blob ? content : new Blob([content], { type: `${type};charset=utf-8` });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The Blob of a file that a host sends as {type, data: base64}. */
export function blobOf(file) {
  const text = atob(file.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Blob([bytes], { type: file.type });
}
