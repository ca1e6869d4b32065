// One model's column: badge, messages, note and token strip.

import { make } from "./dom.js";
import { draw as drawTokens } from "./tokens.js";
import { page, put, tell } from "./wire.js";
import { entry } from "./message.js";
import { switches } from "./switches.js";
import { alternatives } from "./alternatives.js";

const COLUMNS = ["tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives"];

/** The rows of a block of lines; `known` is what the block in its place was read as, of which only what follows is read. */
function read(text, known) {
  if (known && known.text === text) return known;
  const longer = known && text.startsWith(known.text);
  const rows = text.slice(longer ? known.text.length : 0).split("\n").slice(0, -1).map((line) => JSON.parse(line));
  return { text, rows: longer ? known.rows.concat(rows) : rows };
}

/** The token view's payload of a strip (apps/studio/strip.py); `known`, the last one, is returned when nothing changed. */
function unfold(strip, known, model) {
  const blocks = strip.blocks.map((text, i) => read(text, known?.blocks[i]));
  const same = known && known.run === strip.run && known.blocks.length === blocks.length;
  if (same && blocks.every((block, i) => block === known.blocks[i])) return known;
  const { run, prompt_length, given, live } = strip;
  const payload = { run, model, prompt_length, given, live, blocks };
  const rows = blocks.flatMap((block) => block.rows);
  COLUMNS.forEach((name, i) => { payload[name] = rows.map((row) => row[i]); });
  return payload;
}

/** One model's column; `select(part)` is called when one of its tokens is chosen, `order(order)` asks its model. */
export function column(select, order) {
  const badge = make("span", { class: "wb-badge" });
  const switching = switches();
  const head = make("div", { class: "wb-column-head" }, badge, switching.button);
  const messages = make("div", { class: "wb-messages", tabindex: "0", role: "log", "aria-label": "Conversation" });
  const note = make("p", { class: "wb-column-note", role: "status" });
  const recorded = make("button", { type: "button", class: "wb-button wb-column-offer", text: "Open a recorded exchange", on: { click: () => tell("recordings") } });
  const strip = make("div", { class: "wb-column-strip" });
  const going = alternatives((from) => order({ kind: "continue", model: latest.model, ...from }));
  const element = make("section", { class: "wb-column" }, head, switching.panel, messages, note, recorded, strip, going.element);
  const shown = [];
  let latest = null; // what was drawn last
  let pinned = true; // the newest words stay in sight until somebody scrolls up
  messages.addEventListener("scroll", () => { pinned = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60; }, { passive: true });
  let tokens = null;
  let payload = null; // of the strip
  let marked = null; // the selected token, when it is one of this strip
  const ask = (kind) => async (request) => {
    if (payload.live) throw new Error("This reply is still being written; wait for its end.");
    const found = await page.ask(payload.run, { kind, ...request });
    if (found.error) throw new Error(found.error);
    return found;
  };
  const taking = { data: ask("data"), code: ask("code"), page: ask("page") };

  function drawHead(data) {
    element.dataset.model = data.model;
    const title = data.switched ? `${data.title} · ${data.switched}` : data.title;
    badge.className = `wb-badge wb-tone-${data.tone}`;
    put(badge, title);
    messages.setAttribute("aria-label", `Conversation with ${title}`);
    switching.set(data);
  }

  function drawStrip(data) {
    strip.hidden = !data.strip;
    const last = payload;
    if (data.strip) payload = unfold(data.strip, payload, data.model);
    if (data.strip && payload !== last) {
      if (tokens) tokens.update(payload);
      else tokens = drawTokens(strip, payload, { select, mode: page.mode, bar: false, source: taking });
    }
    going.show(data.strip && !page.state.busy ? payload : null, marked);
  }

  function draw(data) {
    latest = data;
    drawHead(data);
    while (shown.length > data.messages.length) shown.pop().element.remove();
    let changed = false;
    data.messages.forEach((message, i) => {
      if (!shown[i]) {
        shown[i] = entry(i, () => latest.model, order);
        messages.append(shown[i].element);
      }
      changed = shown[i].set(message) || changed;
    });
    if (changed && pinned) messages.scrollTop = 1e7;
    put(note, data.note || (data.messages.length ? "" : "Nothing said yet."));
    recorded.hidden = !(data.offers && page.recordings);
    drawStrip(data);
  }

  function mark(selection) {
    marked = payload && selection.run === payload.run ? selection.token : null;
    if (tokens) tokens.select(selection);
    going.show(latest && latest.strip && !page.state.busy ? payload : null, marked);
  }

  const peer = (found) => tokens && tokens.peer(found && payload && found.run === payload.run ? found.token : null);
  return { element, draw, mark, peer, payload: () => payload, colour: () => tokens && tokens.colour(page.mode) };
}
