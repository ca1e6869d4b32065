// The token strip in a notebook, also of a reply that is being written. model: runs [{name, summary}], selection {run, token}, mode;
// live: whether tokens are being added; begun: the payload (tokens.js) as far as it was when `grown`, {from, lists}, began, both null
// while nothing is added: then the whole is asked for (strip.py).

import { make } from "./dom.js";
import { draw, modeBar } from "./tokens.js";
import { sourceOf, taken } from "./source.js";

const LISTS = ["tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives"];

let drawn = 0;

/** Draws the widget of `model` into `element`; returns {destroy}. */
export function start(model, element, ask, spread) {
  const own = `wb${++drawn}strip`;
  const source = sourceOf(ask, () => model.get("runs")[0].name, false);
  const head = make("p", { class: "wb-look-head" });
  const bar = make("div");
  const place = make("div");
  let strip = null;
  let version = 0; // a payload that was asked for replaces what has grown
  let telling = false;
  element.replaceChildren(make("section", { class: "wb wb-look-card" }, head, bar, place));

  /** What the state holds of a reply that is being written; null when none is. */
  function growing() {
    const begun = model.get("begun");
    if (!begun) return null;
    const grown = model.get("grown");
    const more = grown && grown.from === begun.tokens.length ? Object.fromEntries(LISTS.map((name) => [name, begun[name].concat(grown[name])])) : {};
    return { ...begun, ...more };
  }

  function mark() {
    if (strip) strip.select({ run: `${own}v${version}`, token: model.get("selection").token });
  }

  function show(payload) {
    payload.run = `${own}v${version}`;
    if (strip) strip.update(payload);
    else strip = draw(place, payload, { bar: false, mode: model.get("mode"), source: taken(source, own), selection: null, select: pick });
  }

  async function update() {
    const payload = growing();
    if (payload) return show(payload);
    const found = await ask({ kind: "open", run: model.get("runs")[0].name });
    if (growing()) return;
    if (found.error) {
      if (!strip) place.replaceChildren(make("p", { class: "wb-message", text: found.error }));
      return;
    }
    version++;
    show(found.tokens);
    mark();
  }

  function pick({ token }) {
    telling = true;
    model.set("selection", { ...model.get("selection"), token });
    telling = false;
    model.save_changes();
    spread(model.get("selection"));
  }

  function describe() {
    const [run] = model.get("runs");
    head.replaceChildren(make("span", { class: `wb-badge wb-tone-${run.tone}`, text: run.name }), make("span", { class: "wb-caption", text: run.summary }));
    element.dataset.tokens = run.tokens;
    element.dataset.live = model.get("live");
  }

  function colour() {
    bar.replaceChildren(modeBar(model.get("mode"), (mode) => {
      model.set("mode", mode);
      model.save_changes();
    }));
    if (strip) strip.colour(model.get("mode"));
  }

  const turned = () => { if (bar.firstChild.dataset.mode !== model.get("mode")) colour(); else if (strip) strip.colour(model.get("mode")); };
  const events = { "change:begun": update, "change:grown": update, "change:runs": describe, "change:live": describe, "change:mode": turned, "change:selection": () => { if (!telling) mark(); } };
  for (const [name, listener] of Object.entries(events)) model.on(name, listener);
  describe();
  colour();
  update().then(mark);
  return {
    destroy() {
      for (const [name, listener] of Object.entries(events)) model.off(name, listener);
      if (strip) strip.destroy();
    },
  };
}
