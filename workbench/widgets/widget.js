// The views in a notebook: token strips over the inspector, data from the kernel as the views ask for it, and the selection in step
// with Python. model: runs [{name, tone, summary, tokens, layers, heads}], selection {run: name, token, layer, head: its place in the model or null},
// tab, difference, parts: "tokens" (the strips) and "tabs" (all four views, not `tab` alone). ask(request) resolves to a payload or
// {error: sentence} (runview.py); spread(selection) tells linked widgets.

import { make } from "./dom.js";
import { counterpart, opposite } from "./alignment.js";
import { draw as drawTokens, modeBar } from "./tokens.js";
import { draw as drawInspector } from "./inspector.js";
import { sourceOf, taken } from "./source.js";

let drawn = 0;

/** Draws the widget of `model` into `element`; returns {destroy}. */
export function start(model, element, ask, spread) {
  const own = `wb${++drawn}run`;
  const runs = model.get("runs").map((run, i) => ({ ...run, run: `${own}${i}`, title: run.name }));
  const byId = (id) => runs.find((run) => run.run === id);
  const byName = (name) => runs.find((run) => run.name === name);
  const two = runs.length === 2;
  const parts = model.get("parts");
  const source = sourceOf(ask, (id) => byId(id).name, two);
  const strips = new Map();
  let pair = null; // how the tokens of the two runs belong together
  let telling = false;

  /** The heads that the views count: of one run, or those of both. */
  const headsOf = (selection) => (selection.difference ? runs[0].heads.filter((head) => runs[1].heads.includes(head)) : byId(selection.run).heads);

  /** The model's selection as the views know it, heads by their place among the captured ones. */
  function read() {
    const { run, token, layer, head } = model.get("selection");
    const found = { run: byName(run).run, token, layer, difference: two && model.get("difference") };
    return { ...found, head: head === null ? -1 : headsOf(found).indexOf(head) };
  }

  function written(selection) {
    const head = Number.isInteger(selection.head) && selection.head >= 0 ? headsOf(selection)[selection.head] : null;
    return { run: byId(selection.run).name, token: selection.token, layer: selection.layer, head: head ?? null };
  }

  function mark(selection) {
    for (const [run, strip] of strips) {
      strip.select(selection);
      strip.peer(pair && run !== selection.run ? opposite(pair, selection.run, selection.token) : null);
    }
  }

  /** A choice made here: marked, and told to Python. */
  function tell(selection) {
    mark(selection);
    telling = true;
    model.set("selection", written(selection));
    model.set("difference", Boolean(selection.difference));
    telling = false;
    model.save_changes();
    spread(model.get("selection"));
  }

  function pick(part) {
    const merged = { ...inspector.selection, ...part };
    tell(merged);
    inspector.select(merged);
  }

  /** What Python has set. */
  function follow() {
    if (telling) return;
    const now = inspector.selection;
    const wanted = read();
    if (JSON.stringify(written(wanted)) === JSON.stringify(written(now)) && wanted.difference === now.difference) return;
    mark(wanted);
    inspector.select(wanted);
  }

  const bar = two && parts.includes("tokens") ? modeBar("probability", (mode) => { for (const strip of strips.values()) strip.colour(mode); }) : null;
  const columns = make("div", { class: `wb-look-runs${two ? " wb-look-two" : ""}` });
  const box = make("div", { class: "wb-look-inside" });
  const card = make("div", { class: `wb wb-look-card${parts.includes("tabs") ? "" : " wb-look-one"}` }, bar, parts.includes("tokens") ? columns : null, box);
  element.replaceChildren(card);

  for (const run of parts.includes("tokens") ? runs : []) {
    const place = make("div");
    columns.append(make("section", { "aria-label": run.name },
      make("p", { class: "wb-look-head" }, make("span", { class: `wb-badge wb-tone-${run.tone}`, text: run.name }), make("span", { class: "wb-caption", text: run.summary })),
      place));
    source.open(run.run).then((found) => {
      if (found.error) return place.replaceChildren(make("p", { class: "wb-message", text: found.error }));
      const strip = drawTokens(place, found.tokens, { bar: !two, mode: bar ? bar.dataset.mode : undefined, source: taken(source, run.run), selection: null, select: pick });
      strips.set(run.run, strip);
      mark(inspector.selection);
    });
  }

  const inspector = drawInspector(box, runs, {
    source,
    selection: read(),
    tab: model.get("tab"),
    hint: parts.includes("tokens") ? undefined : "",
    select: tell,
    preferred: (run, selection) => (pair ? counterpart(pair, run, selection) : selection.token),
    turned: (tab) => {
      model.set("tab", tab);
      model.save_changes();
    },
  });
  if (two) {
    source.difference(runs[0].run, runs[1].run, { part: "aligned" }).then((found) => {
      if (found.error) return;
      pair = found;
      mark(inspector.selection);
    });
  }

  /** Where there is no strip to walk along, the card takes the arrow keys: left and right a token, up and down a layer. */
  function step(event) {
    const { run, token, layer } = inspector.selection;
    const { tokens, layers } = byId(run);
    const to = { ArrowLeft: ["token", token - 1], ArrowRight: ["token", token + 1], Home: ["token", 0], End: ["token", tokens - 1], ArrowUp: ["layer", layer + 1], ArrowDown: ["layer", layer - 1] }[event.key];
    if (event.target !== card || !to) return;
    event.preventDefault();
    const [part, value] = to;
    if (value >= 0 && value < (part === "token" ? tokens : layers)) pick({ [part]: value });
  }
  if (!parts.includes("tokens")) {
    card.tabIndex = 0;
    card.setAttribute("role", "group");
    card.setAttribute("aria-label", `${runs.map((run) => run.name).join(" and ")}; arrow keys: left and right a token, up and down a layer`);
    card.addEventListener("keydown", step);
  }

  const turn = () => { if (model.get("tab") !== inspector.tab) inspector.turn(model.get("tab")); };
  const events = { "change:selection": follow, "change:difference": follow, "change:tab": turn };
  for (const [name, listener] of Object.entries(events)) model.on(name, listener);
  return {
    destroy() {
      for (const [name, listener] of Object.entries(events)) model.off(name, listener);
      for (const strip of strips.values()) strip.destroy();
      inspector.destroy();
    },
  };
}
