// Opinions: which of two replies is better, whether a reply is good, and a word to whoever runs the page.

import { make, svg } from "./dom.js";
import { page, listen, put } from "./wire.js";
import { keyed } from "./tab.js";

const THUMB = "M2 7h2.500v7H2zM4.500 7l3-5.500c1.500 0 2 1 1.800 2L8.800 6H13c.8 0 1.300.7 1.100 1.500l-1.300 5.500c-.2.6-.6 1-1.300 1h-7";
const MOST = 500; // characters of a comment
const KEPT = "With each are kept: the time, model names, settings, and hashes of the weights and tokens; no address. A vote here is not blind: the names are in sight.";

const plain = (data) => (data.switched ? `${data.title} · ${data.switched}` : data.title);
/** The place of the reply whose tokens a column shows; -1 none. */
const open = (data) => (data.run ? data.messages.findIndex((message) => message.open) : -1);
const asked = (data, index) => JSON.stringify(data.messages.slice(0, index).filter((one) => one.role === "user").map((one) => one.text));

/** The replies in sight: [{run, title}], and whether they answer the same question. */
function replies(state) {
  const found = state.columns.map((data) => ({ data, at: open(data) })).filter((one) => one.at >= 0);
  const pair = found.length === 2 && asked(found[0].data, found[0].at) === asked(found[1].data, found[1].at);
  return { shown: found.map(({ data }) => ({ run: data.run, title: plain(data) })), pair };
}

export function opinions(element, given) {
  const server = keyed(given);
  const said = new Map(); // what was chosen, by the runs it is about
  const rows = make("div", { class: "wb-opinion-rows" });
  const text = make("input", { type: "checkbox" });
  const status = make("p", { class: "wb-caption wb-opinion-status", role: "status" });
  const why = make("form", { class: "wb-opinion-form", hidden: true });
  const field = make("input", { type: "text", class: "wb-opinion-field", maxlength: MOST, "aria-label": "Why? (optional)", placeholder: "Why? (optional)" });
  const note = make("textarea", { class: "wb-opinion-field", maxlength: MOST, rows: 2, "aria-label": "Tell us" });
  const telling = make("form", { class: "wb-opinion-form" }, note, make("button", { type: "submit", class: "wb-button", text: "Send" }));
  const withText = make("label", { class: "wb-opinion-text" }, text, make("span", { text: "Keep the conversation's text with it" }));
  const more = make("details", { class: "wb-own" }, make("summary", { text: "Tell us" }), telling, make("p", { class: "wb-caption", text: KEPT }));
  let last = null; // what a comment would be about
  element.replaceChildren(make("div", { class: "wb wb-opinions" }, rows, why, status, make("div", { class: "wb-opinion-rest" }, more, withText)));
  why.append(field, make("button", { type: "submit", class: "wb-button", text: "Send" }));

  /** Whether the server kept it. */
  async function send(opinion) {
    let found;
    try {
      found = await server.opinion({ choice: "", comment: "", runs: [], text: text.checked, ...opinion });
    } catch {
      found = { error: "The server did not answer. Is it still running?" };
    }
    status.textContent = found.error || found.kept;
    return !found.error;
  }
  async function choose(opinion, key) {
    if (!(await send(opinion))) return;
    said.set(key, opinion.choice);
    if (!last || last.key !== key) field.value = "";
    last = { ...opinion, key };
    paint();
  }
  why.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!last || !field.value.trim()) return;
    const { key, ...opinion } = last;
    if (await send({ ...opinion, comment: field.value })) field.value = "";
  });
  telling.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await send({ kind: "note", comment: note.value })) note.value = "";
  });

  function choices(label, name, list, opinion, key) {
    const buttons = list.map(([choice, content, title]) => make("button", {
      type: "button", class: typeof content === "string" ? "wb-button" : "wb-icon", "aria-pressed": String(said.get(key) === choice),
      "aria-label": title || null, title: title || null, on: { click: () => choose({ ...opinion, choice }, key) },
    }, content));
    return make("div", { class: "wb-opinion-row", role: "group", "aria-label": label }, make("span", { class: "wb-caption", text: name }), ...buttons);
  }
  const thumb = (down) => svg("svg", { viewBox: "0 0 16 16", width: 15, height: 15, "aria-hidden": "true", class: down ? "wb-thumb-down" : "" }, svg("path", { d: THUMB }));

  let drawn = "";
  function paint() {
    const state = page.state;
    const { shown, pair } = state && !state.busy ? replies(state) : { shown: [], pair: false };
    const now = JSON.stringify([shown, pair, [...said]]);
    if (now === drawn) return;
    drawn = now;
    const focused = [...rows.querySelectorAll("button")].indexOf(document.activeElement);
    const runs = shown.map((one) => one.run);
    const vote = pair ? choices("Which reply is better?", "Which reply is better?", [
      ["left", shown[0].title], ["right", shown[1].title], ["both", "Both good"], ["neither", "Neither"],
    ], { kind: "vote", runs }, runs.join(" ")) : null;
    const rated = shown.map(({ run, title }) => choices(`Rate the reply of ${title}`, title, [
      ["up", thumb(false), `Good reply of ${title}`], ["down", thumb(true), `Poor reply of ${title}`],
    ], { kind: "rating", runs: [run] }, run));
    rows.replaceChildren(...[vote, rated.length ? make("div", { class: "wb-opinion-rated" }, ...rated) : null].filter(Boolean));
    withText.hidden = !shown.length;
    if (focused >= 0) rows.querySelectorAll("button")[focused]?.focus();
    if (last && !last.runs.every((run) => runs.includes(run))) {
      last = null;
      put(status, "");
    }
    why.hidden = !last;
  }
  listen("state", paint);
  paint();
}
