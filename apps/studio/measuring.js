// Measuring two runs exactly: a line that tells how far it is, with a way to stop it. Value (measure_events.py): {id, run, other, share, said}.
// Wire: hears "measure" {run, other}; tells "measured" {run, other} when the numbers are there.

import { make } from "./dom.js";
import { key } from "./tab.js";
import { listen, put, tell } from "./wire.js";

/** Draws the line; `start(request)` and `halt(request)` trigger the events. */
export function measuring(element, props, watch, start, halt) {
  const said = make("span", { role: "status" });
  const stop = make("button", { type: "button", class: "wb-button", text: "Stop" });
  const line = make("div", { class: "wb wb-measuring", hidden: true }, said, stop);
  let id = null; // of the measurement under way
  element.replaceChildren(line);
  stop.addEventListener("click", async () => {
    put(said, "Stopping…");
    halt({ id, tab: await key() });
  });

  function show(text, busy) {
    put(said, text);
    stop.hidden = !busy;
    line.hidden = !text;
  }

  listen("measure", async ({ run, other }) => {
    if (id) return show("A measurement is under way; stop it first.", true);
    id = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
    show("Waiting for the models…", true);
    start({ id, run, other, tab: await key() });
  });
  watch("value", () => {
    const value = props.value;
    if (!value || value.id !== id) return;
    if (value.share === null) {
      id = null;
      return show(value.said, false);
    }
    if (value.share < 1) return show(value.said || `Both models read the texts: ${Math.round(100 * value.share)} %`, true);
    id = null;
    show("", false);
    tell("measured", { run: value.run, other: value.other });
  });
}
