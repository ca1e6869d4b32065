// Next-token probabilities on both sides of a token: what could have stood here, and what may come after it.
// Payload: {run, model, length, tokens}.
// options.source.next(token) -> {before: side|null, after: side|null}, side = {position (of the state that predicts),
//   top: [[piece, id, logprob], ...], actual: {piece, id, logprob, rank}|null, entropy (nats)|null}, with `note` when nothing was kept.

import { make } from "./dom.js";
import { visible, short, percent, nats, rank, modelName } from "./data.js";
import { actions, fileName } from "./actions.js";
import { nextTables, nextArrays } from "./tables.js";

export function draw(element, payload, options = {}) {
  const source = options.source || {};
  let token = options.selection ? options.selection.token : null;
  let ticket = 0;
  const columns = make("div", { class: "wb-lists" });
  const message = make("p", { class: "wb-message", role: "status" });
  let shown = { before: null, after: null };
  const own = actions({
    name: "next", title: "the next token panel", body: element, repaint: () => {},
    tables: [["candidates", "the likeliest tokens and their probabilities"]],
    at: () => ({ token: token ?? 0 }),
    words: () => ({
      title: `Next-token probabilities around token ${token}, “${visible(payload.tokens[token])}”`,
      caption: `${modelName(payload.model)}, ${payload.length} tokens.`,
      file: fileName(payload, "next", `token${token}`),
    }),
    local: () => ({ tables: nextTables(payload, shown, token ?? 0), arrays: nextArrays(payload, shown, token ?? 0) }),
  }, source);
  element.classList.add("wb-next");
  element.replaceChildren(make("div", { class: "wb-head-line" }, make("p", { class: "wb-facts", text: "What the model held likely here: the five best, and what came." }), own.element), own.note, columns, message);

  async function load() {
    const mine = ++ticket;
    own.stale();
    if (!source.next || token === null || token === undefined) return;
    try {
      const found = await source.next(token);
      if (mine !== ticket) return;
      shown = found;
      const piece = `“${short(payload.tokens[token], 14)}”`;
      columns.replaceChildren(
        side(`Instead of ${piece}`, found.before, token === 0 ? "The first token is given, not predicted." : "Not captured before this token."),
        side(`After ${piece}`, found.after, "Not captured after this token.")
      );
      message.textContent = found.note || "";
      element.dataset.drawn = `${payload.run}/${token}`;
    } catch (error) {
      if (mine === ticket) message.textContent = error.message;
    }
  }

  function side(title, found, absent) {
    const box = make("section", { class: "wb-list" }, make("h2", { text: title }));
    if (!found) {
      box.append(make("p", { class: "wb-message", text: absent }));
      return box;
    }
    const entries = found.top.map(([piece, id, logprob]) => ({ piece, id, logprob }));
    const inside = found.actual && entries.some((entry) => entry.id === found.actual.id);
    if (found.actual && !inside) entries.push({ ...found.actual, below: true });
    for (const entry of entries) {
      const share = Math.exp(entry.logprob);
      const actual = found.actual && entry.id === found.actual.id;
      box.append(make("div", { class: `wb-row wb-still${actual ? " wb-actual" : ""}`, title: `id ${entry.id}${actual ? ", the actual token" : ""}` },
        make("span", { class: "wb-piece", text: short(entry.piece, 14) }),
        make("span", { class: "wb-index", text: entry.below ? rank(found.actual.rank) : String(entry.id) }),
        make("span", { class: "wb-meter" }, make("i", { style: { width: `${Math.max(0.5, 100 * share)}%` } })),
        make("span", { class: "wb-value", text: percent(share) })));
    }
    const notes = [];
    if (found.actual) notes.push(`“${visible(found.actual.piece)}” came, ${rank(found.actual.rank)} with ${percent(Math.exp(found.actual.logprob))}`);
    if (found.entropy !== null && found.entropy !== undefined) notes.push(`entropy ${nats(found.entropy)}`);
    box.append(make("p", { class: "wb-note", text: notes.join(" · ") }));
    return box;
  }

  load();
  return {
    update(next) {
      payload = next;
      return load();
    },
    select(selection) {
      if (selection.token !== undefined) token = selection.token;
      return load();
    },
    destroy() {
      element.replaceChildren();
    },
  };
}
