// What the model would have written instead of the selected token of a reply, each a place to go on from.

import { make } from "./dom.js";
import { short, visible, percent } from "./data.js";

/** A line under the strip; `go({run, token, instead})` continues from an alternative. Returns {element, show(payload, token)}. */
export function alternatives(go) {
  const element = make("div", { class: "wb-alternatives", role: "group", "aria-label": "Continue from another token" });
  element.hidden = true;
  let shown = "";
  function show(payload, token) {
    const found = payload && !payload.live && token !== null && token >= payload.prompt_length ? payload.alternatives[token] : null;
    const others = (found || []).filter(([, , id]) => id !== undefined && id !== payload.ids[token]);
    element.hidden = !others.length;
    const now = others.length ? `${payload.run}/${token}` : "";
    if (now === shown) return;
    shown = now;
    element.replaceChildren();
    if (!others.length) return;
    element.append(make("span", { class: "wb-caption", text: "continue from here with" }));
    for (const [piece, logprob, id] of others) {
      const share = percent(Math.exp(logprob));
      element.append(make("button", { type: "button", class: "wb-chip", "aria-label": `Continue with ${visible(piece)}, ${share}`, title: "Another version: the reply up to here, then this token, then the model goes on", on: { click: () => go({ run: payload.run, token, instead: id }) } },
        make("span", { class: "wb-piece", text: short(piece, 14) }), make("span", { class: "wb-index", text: share })));
    }
  }
  return { element, show };
}
