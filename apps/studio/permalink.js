// The address of the page says what is selected: ?run=…&token=…&layer=…&head=…&tab=…&with=… (another run beside it). It is read
// once when the page opens, mirrored from then on, and copied by "share".

import { make } from "./dom.js";
import { copy } from "./actions.js";

const NUMBERS = ["token", "layer", "head"];
const RUN = /^[\w.-]{1,120}$/;

/** {run, with, token, layer, head, tab, difference} of the page's address, null without a run; what makes no sense is left out. */
export function linked() {
  const query = new URLSearchParams(location.search);
  const run = query.get("run");
  if (run === null) return null;
  const found = { run: RUN.test(run) ? run : "", tab: query.get("tab"), difference: query.get("difference") === "1" };
  if (RUN.test(query.get("with") || "")) found.with = query.get("with");
  for (const name of NUMBERS) {
    const text = query.get(name);
    if (text !== null && /^-?\d{1,7}$/.test(text) && Number(text) >= (name === "head" ? -1 : 0)) found[name] = Number(text);
  }
  return found;
}

/** What of a link fits a run with `open`, its opening payloads: no token, layer or head that the run has not. */
export function fitting(found, open) {
  const most = { token: open.tokens.tokens.length, layer: open.attention.layers, head: open.attention.heads };
  return Object.fromEntries(NUMBERS.filter((name) => found[name] !== undefined && found[name] < most[name]).map((name) => [name, found[name]]));
}

/** Writes a selection into the address; other parameters stay. */
export function mirror(selection, tab, other) {
  const address = new URL(location.href);
  const parts = { run: selection.run, with: other, token: selection.token, layer: selection.layer, head: selection.head, tab: tab === "attention" ? null : tab, difference: selection.difference ? 1 : null };
  for (const [name, value] of Object.entries(parts)) {
    if (value === null || value === undefined || value === "") address.searchParams.delete(name);
    else address.searchParams.set(name, value);
  }
  if (address.href !== location.href) history.replaceState(history.state, "", address);
}

/** No selection in the address any more. */
export function unlink() {
  mirror({}, null, null);
}

let current = () => {};

/** `write` brings the address up to date; "share" calls it first. */
export function keep(write) {
  current = write;
}

/** A button that copies the address. */
export function share() {
  const shown = make("span", { class: "wb-hidden", role: "status" });
  const button = make("button", { type: "button", class: "wb-action wb-share", text: "share", title: "Copy a link to what is selected; it works as long as this server keeps the run" });
  let timer = 0;
  button.addEventListener("click", async () => {
    current();
    shown.textContent = location.href;
    const done = await copy(location.href, shown);
    button.textContent = done ? "link copied" : "press Ctrl-C";
    shown.textContent = button.textContent;
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = "share"; }, 2500);
  });
  return make("span", {}, button, shown);
}
