// The architecture switches of a column: window and theta of the next reply, folded away under one button.
// Policies of the KV cache will be a third row here, once a model can be asked with one.

import { make, choice } from "./dom.js";
import { whole } from "./data.js";
import { put } from "./wire.js";
import { act } from "./tab.js";

const CUSTOM = "custom";

const powers = (theta) => (theta >= 1e4 && Math.log10(theta) % 1 === 0 ? `1e${Math.log10(theta)}` : whole(theta));

/** A choice with a field of its own for other numbers; `choose(value)` gets "own", "none" or a text. */
function row(title, options, value, custom, hint, choose) {
  const field = make("input", { type: "text", inputmode: "numeric", class: "wb-switch-field", "aria-label": `${title}, custom`, placeholder: hint });
  field.value = custom;
  field.hidden = value !== CUSTOM;
  const send = () => { if (field.value.trim()) choose(field.value.trim()); };
  field.addEventListener("change", send);
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); field.blur(); } });
  const picker = choice(title, [...options, [CUSTOM, CUSTOM, "A number of your own"]], value, (next) => {
    field.hidden = next !== CUSTOM;
    if (next === CUSTOM) field.focus();
    else choose(next);
  });
  return make("div", { class: "wb-switch-row" }, make("span", { class: "wb-caption", text: title }), picker.element, field);
}

/** {button, panel, set(data)}: the button for a column's head, and the panel under it. */
export function switches() {
  const panel = make("div", { class: "wb-switches" });
  panel.hidden = true;
  const words = make("span", {});
  const button = make("button", { type: "button", class: "wb-switch-open", title: "Switches: ask with another window or theta", "aria-expanded": "false", on: { click: () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
  } } }, make("span", { class: "wb-hidden", text: "Switches: " }), words);
  let drawn = "";
  const set = (data) => {
    const { own, window, theta, model } = data;
    const seen = JSON.stringify([own, window, theta, model]);
    put(words, [window ? `window ${whole(window)}` : window === null ? "no window" : "", theta ? `θ ${powers(theta)}` : ""].filter(Boolean).join(" · "));
    button.hidden = own.theta === undefined || own.theta === null; // before the model is loaded its own ones are not known
    if (seen === drawn || button.hidden) return;
    drawn = seen;
    const apply = (change) => act({ kind: "switch", model, window: asked(window, own.window), theta: theta === own.theta ? "own" : String(theta), ...change });
    const windows = [["none", "none", "Every token reads all before it"]];
    if (own.window !== null) windows.unshift(["own", whole(own.window), "The model's own window, in tokens"]);
    const thetas = [...new Set([own.theta, 1e4, 1e6])].sort((a, b) => a - b).map((value) => [value === own.theta ? "own" : String(value), powers(value), value === own.theta ? "The model's own RoPE theta" : "RoPE theta"]);
    const windowNow = asked(window, own.window);
    const thetaNow = theta === own.theta ? "own" : String(theta);
    const known = (options, now) => (options.some(([value]) => value === now) ? now : CUSTOM);
    panel.replaceChildren(
      row("window", windows, known(windows, windowNow === "own" && own.window === null ? "none" : windowNow), window === null ? "" : String(window), "tokens", (value) => apply({ window: value })),
      row("theta", thetas, known(thetas, thetaNow), String(theta), "such as 5e4", (value) => apply({ theta: value })));
  };
  return { button, panel, set };
}

function asked(window, own) {
  if (window === own) return "own";
  return window === null ? "none" : String(window);
}
