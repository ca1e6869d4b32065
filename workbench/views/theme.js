// Colour of every view: sequential ramps with steadily changing lightness (readable with any colour
// vision and in grey print), and the one place that knows whether the page is light or dark.

const LIGHT = [[250, 250, 248], [219, 231, 240], [168, 201, 224], [104, 160, 201], [52, 112, 168], [24, 66, 121], [9, 28, 64]];
const DARK = [[27, 30, 36], [27, 52, 88], [52, 84, 113], [93, 117, 121], [141, 150, 115], [197, 186, 96], [255, 235, 112]];

// Orange to blue through the paper: apart for any colour vision, and nothing where there is no difference.
const LIGHT_SIDES = [[122, 52, 4], [185, 92, 14], [229, 141, 46], [250, 202, 143], [250, 250, 248], [158, 203, 226], [74, 146, 196], [26, 96, 158], [7, 48, 92]];
const DARK_SIDES = [[255, 205, 140], [236, 152, 66], [168, 100, 34], [84, 56, 33], [26, 29, 34], [28, 62, 90], [44, 112, 163], [92, 166, 219], [180, 222, 255]];

const tables = new Map();

function ramp(anchors) {
  const table = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (anchors.length - 1);
    const k = Math.min(Math.floor(at), anchors.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(anchors[k][c] + (at - k) * (anchors[k + 1][c] - anchors[k][c]));
  }
  return table;
}

/** True when the page around the views is dark (Gradio's body class, a data-theme attribute, JupyterLab). */
export function isDark() {
  const root = document.documentElement;
  const body = document.body;
  if (root.dataset.theme) return root.dataset.theme === "dark";
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  return body.classList.contains("dark") || root.classList.contains("dark");
}

/** 256 RGB triples, from "nothing" (the paper) to "all of it"; 768 bytes. */
export function sequential() {
  const key = isDark() ? "dark" : "light";
  if (!tables.has(key)) tables.set(key, ramp(key === "dark" ? DARK : LIGHT));
  return tables.get(key);
}

/** 256 RGB triples from "more in the first" through "no difference" (128, the paper) to "more in the second". */
export function diverging() {
  const key = isDark() ? "dark sides" : "light sides";
  if (!tables.has(key)) {
    const anchors = isDark() ? DARK_SIDES : LIGHT_SIDES;
    const table = ramp(anchors);
    table.set(anchors[4], 3 * 128); // exactly the paper
    tables.set(key, table);
  }
  return tables.get(key);
}

/** Black or white, whichever reads better on a colour: at least 4.58 : 1 (WCAG 2's contrast). */
export function legible(r, g, b) {
  const linear = [r, g, b].map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05;
  return light / 0.05 > 1.05 / light ? "#000000" : "#ffffff";
}

/** CSS colour and ink of a difference in units of the largest shown, [-1, 1], square-root scaled as the maps are. */
export function tint(part) {
  const i = 3 * (128 + Math.round(127 * Math.sign(part) * Math.sqrt(Math.min(1, Math.abs(part)))));
  const [r, g, b] = diverging().slice(i, i + 3);
  return { background: `rgb(${r} ${g} ${b})`, color: legible(r, g, b) };
}

/** CSS colour of a share in [0, 1] on the sequential ramp, square-root scaled as the maps are. */
export function shade(share) {
  const table = sequential();
  const i = 3 * Math.round(255 * Math.sqrt(Math.min(1, Math.max(0, share))));
  return `rgb(${table[i]} ${table[i + 1]} ${table[i + 2]})`;
}

/** Ink that reads on `shade(share)`. */
export function inkOn(share) {
  const i = 3 * Math.round(255 * Math.sqrt(Math.min(1, Math.max(0, share))));
  return legible(...sequential().slice(i, i + 3));
}

/** The value of a `--wb-*` colour at this moment. */
export function color(name) {
  return getComputedStyle(document.body).getPropertyValue(`--wb-${name}`).trim() || "#888";
}

const listeners = new Set();
let watching = false;

/** Calls `callback` after each change between light and dark; returns the function that ends it. */
export function onTheme(callback) {
  if (!watching) {
    watching = true;
    let last = isDark();
    const check = () => {
      if (isDark() === last) return;
      last = !last;
      requestAnimationFrame(() => { for (const listener of listeners) listener(); }); // JupyterLab has no layout while it changes
    };
    const observer = new MutationObserver(check);
    const filter = { attributes: true, attributeFilter: ["class", "data-theme", "data-jp-theme-light"] };
    observer.observe(document.documentElement, filter);
    observer.observe(document.body, filter);
  }
  listeners.add(callback);
  return () => listeners.delete(callback);
}
