// The inspector: one selected token of one run, seen through the four views, or of two runs, through what differs between them. The
// host gives the runs and a source of data; a view is drawn when its tab is first opened and redrawn from then on.
// runs: [{run, model, title, tone}] ; source.open(run) -> {attention, lens, cache, next, tokens}; source.layer(run, layer),
// source.row(run, token, layer), source.lens(run, token), source.next(run, token) as the views describe them;
// source.difference(run, other, {part: "open" | "layer" | "next", ...}) as difference.py says. options.measure(pair): see differencenext.js.
// options.hint: what to say over the tabs, "" for nothing.

import { make, choice } from "./dom.js";
import { visible, whole } from "./data.js";
import { draw as attention } from "./attention.js";
import { draw as lens } from "./lens.js";
import { draw as cache } from "./cache.js";
import { draw as next } from "./next.js";
import { VIEWS, sentence, where as whereInBoth } from "./difference.js";

const DIFFERENCE = "difference";
const HINT = "Click any token to look inside.";
const TABS = [["attention", "Attention", attention], ["lens", "Logit lens", lens], ["cache", "KV cache", cache], ["next", "Next token", next]];

let drawn = 0; // inspectors of this page: each names its tabs in its own way

export function draw(element, runs, options = {}) {
  const own = ++drawn;
  const source = options.source;
  let selection = { run: null, model: null, token: null, layer: null, head: null, query: null, key: null, difference: false, ...(options.selection || {}) };
  let opened = null; // the payloads of selection.run, or the pair's
  let subject = null; // what `opened` is of: a run, or two
  let active = TABS.some(([name]) => name === options.tab) ? options.tab : "attention";
  let ticket = 0;
  const views = new Map();
  const cells = new Map();
  const where = make("div", { class: "wb-where", "aria-live": "polite" });
  const switcher = make("div", { class: "wb-models" });
  const tabs = make("div", { class: "wb-tabs", role: "tablist", "aria-label": "Views of the selected token" });
  const idle = options.hint ?? HINT;
  const hint = make("p", { class: "wb-hint", text: idle });
  const parting = make("div", { "aria-live": "polite" });
  element.classList.add("wb", "wb-inspector");
  const buttons = new Map();
  for (const [name, title] of TABS) {
    const button = make("button", { type: "button", role: "tab", id: `wb-tab-${own}-${name}`, "aria-controls": `wb-panel-${own}-${name}`, text: title, on: { click: () => open(name) } });
    buttons.set(name, button);
    tabs.append(button);
    cells.set(name, make("div", { class: "wb-panel", role: "tabpanel", id: `wb-panel-${own}-${name}`, "aria-labelledby": `wb-tab-${own}-${name}` }));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = TABS.map(([name]) => name);
    const target = names[(names.indexOf(active) + step + names.length) % names.length];
    open(target);
    buttons.get(target).focus();
  });
  element.replaceChildren(make("div", { class: "wb-inspector-head" }, where, switcher), hint, parting, tabs, ...cells.values());

  const answer = (promise) => promise.then((found) => {
    if (found && found.error) throw new Error(found.error);
    return found;
  });

  /** The two runs that can be compared, in the order of their columns; null without. */
  function pair() {
    const current = runs.filter((run) => run.current !== false);
    return source.difference && current.length === 2 ? current.map((run) => run.run) : null;
  }

  /** The two runs that the selection asks to compare; null when it looks at one. */
  const asked = () => (selection.difference && pair() && pair().includes(selection.run) ? pair() : null);

  /** What the selection looks at: a run, or both as "a|b". */
  const wanted = () => (asked() ? asked().join("|") : selection.run);

  function boundToBoth([a, b]) {
    return {
      layer: (layer) => answer(source.difference(a, b, { part: "layer", layer })),
      code: (request) => answer(source.difference(a, b, { part: "code", ...request })),
      exact: (side, token) => answer(source.difference(a, b, { part: "next", side, token })),
      row: (run, token, layer) => answer(source.row(run, token, layer)),
      lens: (run, token) => answer(source.lens(run, token)),
      next: (run, token) => answer(source.next(run, token)),
    };
  }

  function bound(run) {
    return {
      layer: (layer) => answer(source.layer(run, layer)),
      row: (token, layer) => answer(source.row(run, token, layer)),
      lens: (token) => answer(source.lens(run, token)),
      next: (token) => answer(source.next(run, token)),
      ...Object.fromEntries(["data", "code", "page"].filter((name) => source[name]).map((name) => [name, (request) => answer(source[name](run, request))])),
    };
  }

  function open(name) {
    if (name !== active && options.turned) options.turned(name);
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
    if (known && known.of === opened) {
      if (known.at !== key()) known.view.select(selection);
      known.at = key();
      return;
    }
    if (known) known.view.destroy();
    cells.get(active).className = "wb-panel"; // views of one run and of two name their cell differently
    const both = opened.difference;
    const view = both
      ? VIEWS[active](cells.get(active), both, { source: boundToBoth([both.run, both.other]), selection, select: choose, measure: options.measure })
      : drawView(cells.get(active), opened[active], { source: bound(selection.run), selection, select: choose });
    views.set(active, { of: opened, at: key(), view });
  }

  const key = () => `${selection.run}/${selection.token}/${selection.layer}/${selection.head}`;

  function describe() {
    where.replaceChildren();
    const run = runs.find((entry) => entry.run === selection.run);
    if (!run || !opened || selection.token === null) return;
    if (opened.difference) return where.append(...whereInBoth(opened.difference, selection));
    const piece = opened.tokens.tokens[selection.token];
    where.append(make("span", { class: "wb-where-piece", text: visible(piece) }), make("span", { class: "wb-where-text", text: `position ${whole(selection.token)} of ${whole(opened.tokens.tokens.length)} tokens` }));
  }

  function drawSwitch() {
    const focused = switcher.contains(document.activeElement); // an arrow key has chosen: the next one goes on from there
    switcher.replaceChildren();
    const groups = runs.filter((run) => run.current !== false);
    if (groups.length < 2) {
      if (groups.length) switcher.append(make("span", { class: `wb-badge wb-tone-${groups[0].tone}`, text: groups[0].title }));
      return;
    }
    const shown = groups.map((run) => [run.run, run.title, run.title]);
    if (pair()) shown.push([DIFFERENCE, "difference", "What differs between the two"]);
    const now = asked() ? DIFFERENCE : selection.run;
    const picker = choice("Model to inspect", shown, now, (run) => choose(run === DIFFERENCE ? { difference: true } : { run, difference: false, ...(run === selection.run ? {} : { token: null }) }));
    for (const [i, button] of [...picker.element.children].entries()) if (groups[i]) button.classList.add(`wb-tone-${groups[i].tone}`);
    switcher.append(picker.element);
    if (focused) switcher.querySelector("[aria-checked=true]")?.focus({ preventScroll: true });
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
    selection = merged;
    if (!merged.run) return;
    const both = asked();
    if (!opened || subject !== wanted()) {
      const found = await (both ? source.difference(both[0], both[1], { part: "open" }) : source.open(merged.run));
      if (mine !== ticket) return;
      hint.textContent = found.error || idle;
      if (found.error) {
        selection.difference = false;
        drawSwitch();
        return;
      }
      // The pieces of the tokens travel once.
      if (!both) for (const [name] of TABS) if (!found[name].tokens) found[name].tokens = found.tokens.tokens;
      opened = both ? { difference: found } : found;
      subject = wanted();
      parting.replaceChildren(...(both ? [sentence(found, choose)] : []));
      drawSwitch();
    }
    const length = both ? opened.difference.lengths[both.indexOf(selection.run)] : opened.tokens.tokens.length;
    if (selection.token !== null && selection.token >= length) selection.token = length - 1;
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
      if (opened && opened.difference && subject !== wanted()) set(selection); // the other one is gone, or new
    },
    select: (part) => set({ ...selection, ...part }),
    /** Forgets what was opened of a run that has grown. */
    refresh(run) {
      if (subject !== null && subject.split("|").includes(run)) opened = null;
    },
    /** Turns to a tab by its name; others are ignored. */
    turn: (name) => cells.has(name) && open(name),
    get selection() {
      return selection;
    },
    get tab() {
      return active;
    },
    destroy() {
      for (const { view } of views.values()) view.destroy();
      element.replaceChildren();
    },
  };
}
