// The token strip: every true id of a run, <s> and </s> included, coloured by how sure the model was of it.
// Payload: {run, model, prompt_length, tokens: [piece], ids: [int], roles: [str], logprob: [nats|null],
//           rank: [int|null], entropy: [nats|null], alternatives: [[[piece, logprob, id], ...]|null]}; index = position.

import { make, tip, choice, onWidth } from "./dom.js";
import { visible, percent, nats, rank, whole, modelName } from "./data.js";
import { onTheme } from "./theme.js";
import { minimap } from "./minimap.js";
import { actions, fileName } from "./actions.js";
import { tokenTables, tokenArrays } from "./tables.js";

const BLOCK = 128; // tokens a block; far blocks are skipped by the browser's layout
const WINDOW = 2048; // more tokens than this: a line of all of them, and only a window around the selection in the page
const STEP = 512; // what "earlier" and "later" move the window by
const TINTS = { probability: "tint", surprise: "tint-warm", entropy: "tint-entropy" };
export const MODES = [
  ["probability", "probability", "more colour: the model gave this token a higher probability"],
  ["surprise", "surprise", "more colour: the token was less expected (-log p, up to 8 nats)"],
  ["entropy", "entropy", "more colour: the model was less decided before this token (up to 5 nats)"],
];

function strength(payload, i, mode) {
  if (mode === "entropy") {
    const value = payload.entropy[i];
    return value === null || value === undefined ? null : Math.min(1, value / 5);
  }
  const value = payload.logprob[i];
  if (value === null || value === undefined) return null;
  return mode === "probability" ? Math.exp(value) : Math.min(1, -value / 8);
}

function kind(payload, i) {
  const piece = payload.tokens[i];
  if (payload.roles[i] === "special" || piece === "<s>" || piece === "</s>") return "special";
  if (payload.roles[i] === "control") return "control";
  if (i < payload.prompt_length) return "given";
  return i < payload.prompt_length + (payload.given || 0) ? "generated wb-begun" : "generated";
}

/** What the tokens' colour means, as a choice with its scale; `choose(mode)` is called on a change. Returns an element. */
export function modeBar(mode, choose) {
  const legend = make("span", { class: "wb-legend" }, make("span", { text: "low" }), make("i", { class: "wb-legend-bar" }), make("span", { text: "high" }));
  const bar = make("div", { class: "wb-strip-bar", dataset: { mode } });
  const modes = choice("Colour tokens by", MODES, mode, (next) => {
    bar.dataset.mode = next;
    choose(next);
  });
  bar.append(make("span", { class: "wb-caption", text: "token colour" }), modes.element, legend);
  return bar;
}

/** Draws the strip; `options.select({run, model, token})` is called on a click or an arrow key. A host that colours
 * several strips at once passes options.bar false, draws one `modeBar` itself and calls `colour(mode)`. */
export function draw(element, payload, options = {}) {
  let mode = options.mode || "probability";
  let selected = options.selection ? options.selection.token : null;
  let peer = null;
  let first = 0;
  let end = 0;
  let map = null; // of a text that does not fit into the page
  let painting = 0; // a timer: the map is to be painted
  const spans = new Map();
  const strip = make("div", { class: "wb-strip", role: "listbox", tabindex: "0", "aria-label": `Tokens, ${payload.model || "model"}` });
  const colour = (next) => {
    mode = next;
    element.dataset.mode = next;
    for (const [i, span] of spans) paint(span, i);
    paintMap();
  };
  const own = actions({
    name: "tokens", title: "the tokens", body: element, repaint: paintMap,
    tables: [["tokens", "every token with its probability"]],
    at: () => ({ token: selected ?? 0 }),
    words: () => ({
      title: `Tokens, coloured by ${mode}`,
      caption: `${modelName(payload.model)}, ${payload.tokens.length} tokens; ${MODES.find(([name]) => name === mode)[2]}. Underlined: generated.`,
      file: fileName(payload, "tokens"),
    }),
    local: () => ({ tables: tokenTables(payload), arrays: tokenArrays(payload) }),
  }, options.source);
  element.classList.add("wb-tokens");
  element.dataset.mode = mode;
  const bar = options.bar === false ? null : modeBar(mode, colour);
  if (bar) bar.append(own.element);
  element.replaceChildren(...(bar ? [bar, own.note, strip] : [strip, make("div", { class: "wb-strip-foot" }, own.element), own.note]));

  function paint(span, i) {
    const value = strength(payload, i, mode);
    span.style.setProperty("--p", value === null ? 0 : value.toFixed(3));
    span.classList.toggle("wb-unknown", value === null);
  }

  function token(i) {
    const piece = payload.tokens[i];
    const span = make("span", { class: `wb-token wb-${kind(payload, i)}`, role: "option", id: `wb-${payload.run}-${i}`, dataset: { i }, "aria-selected": String(i === selected), text: visible(piece) });
    if (piece === "<0x0A>" || piece === "\n") span.classList.add("wb-break");
    if (i === selected) span.classList.add("wb-on");
    if (i === peer) span.classList.add("wb-peer");
    paint(span, i);
    spans.set(i, span);
    return span;
  }

  function paintMap() {
    if (map) map.paint(element.clientWidth, payload.tokens.length, first, end, selected, payload.prompt_length, TINTS[mode]);
  }

  /** The window around token `middle`; everything when it fits. */
  function bounds(middle) {
    const total = payload.tokens.length;
    if (total <= WINDOW) return [0, total];
    const low = Math.max(0, Math.min(total - WINDOW, middle - WINDOW / 2));
    return [low, Math.min(total, low + WINDOW)];
  }

  const more = (turn) => make("button", { type: "button", class: "wb-more", on: { click: turn } });
  const earlier = more(() => {
    const edge = first;
    rebuild(edge - STEP);
    reveal(spans.get(edge - 1));
  });
  const later = more(() => {
    const edge = end;
    rebuild(edge + STEP);
    reveal(spans.get(edge));
  });

  function rebuild(middle) {
    spans.clear();
    strip.replaceChildren();
    const total = payload.tokens.length;
    [first, end] = bounds(middle ?? selected ?? total - 1);
    append(first, end);
    edges();
    paintMap();
    active();
  }

  /** Names the selected token to a screen reader, as long as it is in the page. */
  function active() {
    const span = spans.get(selected);
    if (span) strip.setAttribute("aria-activedescendant", span.id);
    else strip.removeAttribute("aria-activedescendant");
  }

  /** Buttons for what lies before and after the window, and the line of all tokens where there is any. */
  function edges() {
    const total = payload.tokens.length;
    earlier.textContent = `earlier ${whole(first)} tokens`;
    later.textContent = `later ${whole(total - end)} tokens`;
    if (first === 0) earlier.remove();
    else if (!earlier.isConnected) strip.prepend(earlier);
    if (end === total) later.remove();
    else if (!later.isConnected) strip.append(later);
    if (Boolean(map) === total > WINDOW) return;
    if (map) map.element.remove();
    map = total > WINDOW ? minimap((i) => strength(payload, i, mode), pick) : null;
    if (map) strip.before(map.element);
  }

  /** Takes whole blocks out at the front of a window that has grown at its end. */
  function shed() {
    for (const block of [...strip.querySelectorAll(":scope > .wb-block")]) {
      if (end - first <= WINDOW) return;
      for (const span of block.children) spans.delete(Number(span.dataset.i));
      first += block.childElementCount;
      block.remove();
    }
    active();
  }

  function append(low, high) {
    for (let i = low; i < high; i++) {
      let block = strip.lastElementChild;
      if (!block || !block.classList.contains("wb-block") || block.childElementCount >= BLOCK) {
        block = make("span", { class: "wb-block" });
        strip.append(block);
      }
      block.append(token(i));
    }
  }

  function mark(i) {
    if (i === selected && spans.get(i)?.classList.contains("wb-on")) return;
    const old = spans.get(selected);
    if (old) {
      old.classList.remove("wb-on");
      old.setAttribute("aria-selected", "false");
    }
    selected = i;
    if (i !== null && i !== undefined && !spans.has(i) && i < payload.tokens.length) rebuild();
    paintMap();
    const span = spans.get(i);
    active();
    if (!span) return;
    span.classList.add("wb-on");
    span.setAttribute("aria-selected", "true");
    reveal(span);
    requestAnimationFrame(() => reveal(span)); // far blocks have a guessed height until they are laid out
  }

  /** Marks the token that stands for the one selected in another strip; null for none. */
  function markPeer(i) {
    const old = spans.get(peer);
    if (old) old.classList.remove("wb-peer");
    peer = i;
    const span = spans.get(i);
    if (!span) return;
    span.classList.add("wb-peer");
    reveal(span);
  }

  /** Scrolls the strip, never the page, until the token is in sight. */
  function reveal(span) {
    const down = span.getBoundingClientRect().top - strip.getBoundingClientRect().top;
    if (down < 2 || down > strip.clientHeight - 22) strip.scrollTop += down - strip.clientHeight / 2;
  }

  function pick(i) {
    if (i < 0 || i >= payload.tokens.length) return;
    mark(i);
    if (options.select) options.select({ run: payload.run, model: payload.model, token: i });
  }

  function describe(i) {
    const lines = [["id", String(payload.ids[i])], ["position", whole(i)], ["part", i < payload.prompt_length ? payload.roles[i] : i < payload.prompt_length + (payload.given || 0) ? "given to begin with" : "generated"]];
    if (payload.logprob[i] !== null && payload.logprob[i] !== undefined) {
      lines.push(["probability", percent(Math.exp(payload.logprob[i]))], ["rank", rank(payload.rank[i])], ["entropy before", nats(payload.entropy[i])]);
    } else lines.push("no probability was captured for this token");
    for (const [piece, logprob] of (payload.alternatives[i] || []).slice(0, 3)) lines.push([`could be ${visible(piece)}`, percent(Math.exp(logprob))]);
    return lines;
  }

  strip.addEventListener("click", (event) => {
    const span = event.target.closest(".wb-token");
    if (span) pick(Number(span.dataset.i));
  });
  strip.addEventListener("keydown", (event) => {
    const last = payload.tokens.length - 1;
    const now = selected ?? peer ?? -1; // where the other model's token stands, when that is the chosen one
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, PageDown: now + 10, PageUp: now - 10, ArrowDown: now + 10, ArrowUp: now - 10, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    pick(Math.min(last, Math.max(0, next)));
  });
  strip.addEventListener("pointermove", (event) => {
    const span = event.target.closest(".wb-token");
    if (!span) return tip.hide();
    const i = Number(span.dataset.i);
    tip.show(event.clientX, event.clientY, visible(payload.tokens[i]), describe(i));
  });
  strip.addEventListener("pointerleave", () => tip.hide());
  const stops = [onWidth(element, paintMap), onTheme(paintMap)];
  rebuild();
  if (selected !== null && selected !== undefined) mark(selected);
  else strip.scrollTop = 1e7; // the reply, not the first of a thousand prompt tokens

  return {
    colour,
    /** Takes a longer or another payload; a longer one of the same run only adds its new tokens, and a window that
     * stands at the end goes along. */
    update(next) {
      const known = payload.tokens.length;
      const grown = next.run === payload.run && next.tokens.length >= known;
      payload = next;
      if (!grown) return rebuild();
      if (next.tokens.length === known) return;
      if (end === known) {
        end = next.tokens.length;
        append(known, end); // what is there keeps its values while a reply grows
        shed();
        strip.scrollTop = 1e7;
      }
      edges();
      if (!map || painting) return;
      painting = setTimeout(() => { // the line of a long text changes by a hair: once a second is plenty
        painting = 0;
        paintMap();
      }, 1000);
    },
    select(selection) {
      mark(selection && selection.run === payload.run ? selection.token : null);
    },
    peer: markPeer,
    destroy() {
      for (const stop of stops) stop();
      clearTimeout(painting);
      tip.hide();
      element.replaceChildren();
    },
  };
}
