// The switches of a column: window, theta and cache policy of the next reply, folded away under one button.

import { make, choice } from "./dom.js";
import { thetaText, whole } from "./data.js";
import { page, put } from "./wire.js";
import { act } from "./tab.js";

const CUSTOM = "custom";

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

/** A choice of cache policy with a field for its budget; `now` is how the present one is said, "" for the model's own. */
function cacheRow(now, choose) {
  const [name, setting = ""] = now.split("=");
  const policies = page.state.policies;
  const picker = make("select", { class: "wb-switch-select", "aria-label": "cache policy" },
    make("option", { value: "own", text: "the model's own" }),
    ...policies.map((one) => make("option", { value: one.name, text: `${one.name}: ${one.title.toLowerCase()}` })));
  picker.value = name || "own";
  const usual = policies.find((one) => one.name === name)?.setting || "";
  const field = make("input", { type: "text", class: "wb-switch-field", "aria-label": "cache budget", title: "Tokens that each layer and key-value head keeps: a number, or a share such as 25%" });
  field.value = setting;
  field.hidden = !usual;
  picker.addEventListener("change", () => {
    const chosen = policies.find((one) => one.name === picker.value);
    choose(chosen ? [chosen.name, chosen.setting].filter(Boolean).join("=") : "own");
  });
  field.addEventListener("change", () => choose(`${name}=${field.value.trim()}`));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); field.blur(); } });
  return make("div", { class: "wb-switch-row" }, make("span", { class: "wb-caption", text: "cache" }), picker, field);
}

/** {button, panel, set(data)}: the button for a column's head, and the panel under it. */
export function switches() {
  const panel = make("div", { class: "wb-switches" });
  panel.hidden = true;
  const words = make("span", {});
  const button = make("button", { type: "button", class: "wb-switch-open", title: "Switches: ask with another window, theta or cache", "aria-expanded": "false", on: { click: () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
  } } }, make("span", { class: "wb-hidden", text: "Switches: " }), words);
  let drawn = "";
  const set = (data) => {
    const { own, window, theta, model, cache } = data;
    const seen = JSON.stringify([own, window, theta, model, cache]);
    put(words, [window ? `window ${whole(window)}` : window === null ? "no window" : "", theta ? `θ ${thetaText(theta)}` : "", cache ? `cache ${cache}` : ""].filter(Boolean).join(" · "));
    button.hidden = own.theta === undefined || own.theta === null; // before the model is loaded its own ones are not known
    if (seen === drawn || button.hidden) return;
    drawn = seen;
    const apply = (change) => act({ kind: "switch", model, window: asked(window, own.window), theta: theta === own.theta ? "own" : String(theta), cache: cache || "own", ...change });
    const windows = [["none", "none", "Every token reads all before it"]];
    if (own.window !== null) windows.unshift(["own", whole(own.window), "The model's own window, in tokens"]);
    const thetas = [...new Set([own.theta, 1e4, 1e6])].sort((a, b) => a - b).map((value) => [value === own.theta ? "own" : String(value), thetaText(value), value === own.theta ? "The model's own RoPE theta" : "RoPE theta"]);
    const windowNow = asked(window, own.window);
    const thetaNow = theta === own.theta ? "own" : String(theta);
    const known = (options, now) => (options.some(([value]) => value === now) ? now : CUSTOM);
    panel.replaceChildren(
      row("window", windows, known(windows, windowNow === "own" && own.window === null ? "none" : windowNow), window === null ? "" : String(window), "tokens", (value) => apply({ window: value })),
      row("theta", thetas, known(thetas, thetaNow), thetaText(theta), "such as 5e4", (value) => apply({ theta: value })),
      cacheRow(cache, (value) => apply({ cache: value })));
  };
  return { button, panel, set };
}

function asked(window, own) {
  if (window === own) return "own";
  return window === null ? "none" : String(window);
}
