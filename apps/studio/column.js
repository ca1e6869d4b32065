// One model's column: badge, messages, note and token strip.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { draw as drawTokens } from "./tokens.js";
import { page, put } from "./wire.js";
import { grow, writeQuestion } from "./message.js";

const COLUMNS = ["tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives"];

/** The token view's payload of a strip (apps/studio/strip.py); `known` is the last one, of which a longer strip of the same
 * run is the continuation, so that only new lines are read. */
function unfold(strip, known, model) {
  const same = known && known.run === strip.run && strip.lines.length >= known.read;
  const payload = { run: strip.run, model, prompt_length: strip.prompt_length, live: strip.live, read: strip.lines.length };
  const rows = strip.lines.slice(same ? known.read : 0).split("\n").slice(0, -1).map((text) => JSON.parse(text));
  COLUMNS.forEach((name, i) => {
    const added = rows.map((row) => row[i]);
    payload[name] = same ? known[name].concat(added) : added;
  });
  return payload;
}

/** One model's column; `select(part)` is called when one of its tokens is chosen. */
export function column(select) {
  const head = make("div", { class: "wb-column-head" });
  const messages = make("div", { class: "wb-messages", tabindex: "0", role: "log", "aria-label": "Conversation" });
  const note = make("p", { class: "wb-column-note", role: "status" });
  const strip = make("div", { class: "wb-column-strip" });
  const element = make("section", { class: "wb-column" }, head, messages, note, strip);
  const shown = [];
  let pinned = true; // the newest words stay in sight until somebody scrolls up
  messages.addEventListener("scroll", () => { pinned = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60; }, { passive: true });
  let tokens = null;
  let payload = null; // of the strip
  const ask = (kind) => async (request) => {
    if (payload.live) throw new Error("This reply is still being written; wait for its end.");
    const found = await page.ask(payload.run, { kind, ...request });
    if (found.error) throw new Error(found.error);
    return found;
  };
  const taking = { data: ask("data"), code: ask("code"), page: ask("page") };
  let title = "";

  function draw(data) {
    element.dataset.model = data.model;
    if (title !== data.title + data.window + data.theta) {
      title = data.title + data.window + data.theta;
      const facts = [data.window ? `window ${whole(data.window)}` : data.window === null ? "no window" : "", data.theta ? `θ ${data.theta.toLocaleString("en").replaceAll(",", "\u2009")}` : ""];
      messages.setAttribute("aria-label", `Conversation with ${data.title}`);
      head.replaceChildren(make("span", { class: `wb-badge wb-tone-${data.tone}`, text: data.title }), make("span", { class: "wb-caption", text: facts.filter(Boolean).join(" · ") }));
    }
    let changed = false;
    while (shown.length > data.messages.length) shown.pop().box.remove();
    data.messages.forEach((message, i) => {
      if (!shown[i]) {
        const text = make("div", { class: "wb-text", dir: "auto" });
        const footer = make("div", { class: "wb-footer" });
        const box = make("div", {}, text, footer);
        messages.append(box);
        shown[i] = { box, text, footer, value: null };
      }
      const entry = shown[i];
      const name = `wb-message-box wb-${message.role}${message.live ? " wb-live" : ""}`;
      if (entry.box.className !== name) entry.box.className = name;
      if (entry.value !== message.text) {
        if (message.role === "user") writeQuestion(entry.text, message.text);
        else grow(entry.text, entry.value, message.text);
        changed = true;
      }
      entry.value = message.text;
      put(entry.footer, message.footer || "");
      if (message.footer) entry.footer.title = "Two models that share a device slow each other down: their speeds are no comparison.";
    });
    if (changed && pinned) messages.scrollTop = 1e7;
    put(note, data.note || (data.messages.length ? "" : "Nothing said yet."));
    if (!data.strip) {
      strip.hidden = true;
    } else {
      strip.hidden = false;
      if (payload && payload.run === data.strip.run && payload.read === data.strip.lines.length) return;
      payload = unfold(data.strip, payload, data.model);
      if (tokens) tokens.update(payload);
      else tokens = drawTokens(strip, payload, { select, mode: page.mode, bar: false, source: taking });
    }
  }

  return { element, draw, payload: () => payload, mark: (selection) => tokens && tokens.select(selection), colour: () => tokens && tokens.colour(page.mode) };
}
