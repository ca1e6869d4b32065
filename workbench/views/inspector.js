// The inspector: one selected token of one run, seen through the four views. The host gives the runs and a source of data;
// a view is drawn when its tab is first opened and redrawn from then on.
// runs: [{run, model, title, tone}] ; source.open(run) -> {attention, lens, cache, next, tokens}; source.layer(run, layer),
// source.row(run, token, layer), source.lens(run, token), source.next(run, token) as the views describe them.

import { make, choice } from "./dom.js";
import { visible, whole } from "./data.js";
import { draw as attention } from "./attention.js";
import { draw as lens } from "./lens.js";
import { draw as cache } from "./cache.js";
import { draw as next } from "./next.js";

const TABS = [["attention", "Attention", attention], ["lens", "Logit lens", lens], ["cache", "KV cache", cache], ["next", "Next token", next]];

export function draw(element, runs, options = {}) {
  const source = options.source;
  let selection = { run: null, model: null, token: null, layer: null, head: null, query: null, key: null, ...(options.selection || {}) };
  let opened = null; // the payloads of selection.run
  let active = "attention";
  let ticket = 0;
  const views = new Map();
  const cells = new Map();
  const where = make("div", { class: "wb-where", "aria-live": "polite" });
  const switcher = make("div", { class: "wb-models" });
  const tabs = make("div", { class: "wb-tabs", role: "tablist", "aria-label": "Views of the selected token" });
  const hint = make("p", { class: "wb-hint", text: "Click any token to look inside." });
  element.classList.add("wb", "wb-inspector");
  const buttons = new Map();
  for (const [name, title] of TABS) {
    const button = make("button", { type: "button", role: "tab", id: `wb-tab-${name}`, "aria-controls": `wb-panel-${name}`, text: title, on: { click: () => open(name) } });
    buttons.set(name, button);
    tabs.append(button);
    cells.set(name, make("div", { class: "wb-panel", role: "tabpanel", id: `wb-panel-${name}`, "aria-labelledby": `wb-tab-${name}` }));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = TABS.map(([name]) => name);
    const target = names[(names.indexOf(active) + step + names.length) % names.length];
    open(target);
    buttons.get(target).focus();
  });
  element.replaceChildren(make("div", { class: "wb-inspector-head" }, where, switcher), hint, tabs, ...cells.values());

  function bound(run) {
    const answer = (promise) => promise.then((found) => {
      if (found && found.error) throw new Error(found.error);
      return found;
    });
    return {
      layer: (layer) => answer(source.layer(run, layer)),
      row: (token, layer) => answer(source.row(run, token, layer)),
      lens: (token) => answer(source.lens(run, token)),
      next: (token) => answer(source.next(run, token)),
      ...Object.fromEntries(["data", "code", "page"].filter((name) => source[name]).map((name) => [name, (request) => answer(source[name](run, request))])),
    };
  }

  function open(name) {
    active = name;
    for (const [key, button] of buttons) {
      button.setAttribute("aria-selected", String(key === name));
      button.tabIndex = key === name ? 0 : -1;
      cells.get(key).hidden = key !== name;
    }
    show();
  }

  /** Draws the open tab for the selection; a view that belongs to another run is replaced. */
  function show() {
    if (!opened) return;
    const [, , drawView] = TABS.find(([name]) => name === active);
    const known = views.get(active);
    if (known && known.run === selection.run) {
      if (known.at !== key()) known.view.select(selection);
      known.at = key();
      return;
    }
    if (known) known.view.destroy();
    views.set(active, { run: selection.run, at: key(), view: drawView(cells.get(active), opened[active], { source: bound(selection.run), selection, select: choose }) });
  }

  const key = () => `${selection.token}/${selection.layer}/${selection.head}`;

  function describe() {
    where.replaceChildren();
    const run = runs.find((entry) => entry.run === selection.run);
    if (!run || !opened || selection.token === null) return;
    const piece = opened.tokens.tokens[selection.token];
    where.append(make("span", { class: "wb-where-piece", text: visible(piece) }), make("span", { class: "wb-where-text", text: `position ${whole(selection.token)} of ${whole(opened.tokens.tokens.length)} tokens` }));
  }

  function drawSwitch() {
    switcher.replaceChildren();
    const groups = runs.filter((run) => run.current !== false);
    if (groups.length < 2) {
      if (groups.length) switcher.append(make("span", { class: `wb-badge wb-tone-${groups[0].tone}`, text: groups[0].title }));
      return;
    }
    const picker = choice("Model to inspect", groups.map((run) => [run.run, run.title, run.title]), selection.run, (run) => choose({ run, token: null }));
    for (const [i, button] of [...picker.element.children].entries()) button.classList.add(`wb-tone-${groups[i].tone}`);
    switcher.append(picker.element);
  }

  /** A choice made inside the inspector: merged, drawn, and told to the host. */
  function choose(part) {
    if (part.run && part.run !== selection.run && (part.token === null || part.token === undefined)) {
      part = { ...part, token: options.preferred ? options.preferred(part.run, selection) : selection.token };
    }
    const merged = { ...selection, ...part };
    if (options.select) options.select(merged);
    return set(merged);
  }

  async function set(merged) {
    const mine = ++ticket;
    const other = merged.run !== selection.run || !opened;
    selection = merged;
    if (!merged.run) return;
    if (other) {
      const found = await source.open(merged.run);
      if (mine !== ticket) return;
      if (found.error) {
        hint.textContent = found.error;
        return;
      }
      // The pieces of the tokens travel once.
      for (const [name] of TABS) if (!found[name].tokens) found[name].tokens = found.tokens.tokens;
      opened = found;
      drawSwitch();
    }
    if (selection.token !== null && selection.token >= opened.tokens.tokens.length) selection.token = opened.tokens.tokens.length - 1;
    describe();
    show();
  }

  drawSwitch();
  open(active);
  if (selection.run) set(selection);

  return {
    /** New runs to choose from; keeps the selection when its run is still there. */
    update(list) {
      runs = list;
      drawSwitch();
    },
    select: (part) => set({ ...selection, ...part }),
    /** Forgets what was opened of a run that has grown. */
    refresh(run) {
      if (run === selection.run) opened = null;
    },
    get selection() {
      return selection;
    },
    destroy() {
      for (const { view } of views.values()) view.destroy();
      element.replaceChildren();
    },
  };
}
