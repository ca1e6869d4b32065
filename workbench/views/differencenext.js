// Next-token probabilities of two runs side by side, and how far the whole distributions are apart.
// options.source.next(run, token) -> what the next-token view gets; options.source.exact(side, token) -> {measured: {kl: [a from b, b from a],
// entropy, rows: [[piece, id, logprob by a, logprob by b]], actual}|null}; options.measure() starts measuring, where a host can.

import { make } from "./dom.js";
import { nats, percent, short, visible } from "./data.js";
import { places, predicted, relation, texts } from "./alignment.js";
import { bars } from "./sidebyside.js";
import { actions } from "./actions.js";
import { nextOf, wordsOf } from "./differencetables.js";

export function draw(element, pair, options = {}) {
  const source = options.source || {};
  let selection = options.selection || {};
  let ticket = 0;
  const columns = make("div", { class: "wb-lists" });
  const message = make("p", { class: "wb-message", role: "status" });
  const exact = make("div", { class: "wb-exact" });
  let drawn = []; // [{place, rows, measured}] of the sections
  const own = actions({
    name: "next", title: "the next-token differences", body: element, repaint: () => {},
    tables: [["candidates", "the candidates with both probabilities"]],
    at: () => ({ token: selection.token ?? 0, layer: null, head: -1 }),
    words: () => wordsOf(pair, "next-token", selection),
    local: () => nextOf(pair, drawn),
  }, { code: source.code });
  element.classList.add("wb-next");
  element.replaceChildren(make("div", { class: "wb-head-line" }, message, own.element), own.note, columns, exact);

  async function load() {
    const mine = ++ticket;
    own.stale();
    const at = places(pair, selection.run, selection.token);
    if (at[0] === null && at[1] === null) return;
    const runs = [pair.run, pair.other];
    try {
      // The text that was measured: that of the selected run, where its own token has no counterpart.
      const side = selection.run === pair.other ? "b" : "a";
      const place = at["ab".indexOf(side)];
      const [kept, ...whole] = await Promise.all([
        Promise.all(predicted(pair, at).map((token, i) => (token === null ? null : source.next(runs[i], token)))),
        ...[place, place + 1].map((token) => (pair.measured ? source.exact(side, token) : { measured: null })),
      ]);
      if (mine !== ticket) return;
      const pieces = texts(pair);
      const name = `“${short(at[0] === null ? pieces[1][at[1]] : pieces[0][at[0]], 14)}”`;
      message.textContent = relation(pair, at, name);
      const before = kept.map((found) => found && found.before);
      const after = kept.map((found, i) => (at[i] === null ? null : found && found.after));
      drawn = [];
      columns.replaceChildren(
        section(`Instead of ${name}`, before, whole[0].measured, place, place === 0 ? "The first token is given, not predicted." : "Not captured before this token."),
        section(`After ${name}`, after, whole[1].measured, place + 1, "Not captured after this token.")
      );
      drawExact();
      element.dataset.drawn = `${pair.run}/${pair.other}/${selection.run}/${selection.token}/${pair.measured}`;
    } catch (error) {
      if (mine === ticket) message.textContent = error.message;
    }
  }

  /** `index` is the place of the token that is predicted, in the selected run's text. */
  function section(title, sides, measured, index, absent) {
    const box = make("section", { class: "wb-list" }, make("h2", { text: title }));
    if (!measured && !sides[0] && !sides[1]) {
      box.append(make("p", { class: "wb-message", text: absent }));
      return box;
    }
    const rows = measured ? measured.rows.map(([piece, id, p, q]) => ({ piece, id, known: [Math.exp(p), Math.exp(q)], bound: [null, null] })) : merged(sides);
    drawn.push({ place: index, rows, measured });
    const actual = [measured && measured.actual, ...sides.map((side) => side && side.actual && side.actual.id)];
    for (const row of rows.slice(0, 10)) {
      const printed = row.known.map((share, i) => (share !== null ? percent(share) : row.bound[i] === null ? "–" : `≤ ${percent(row.bound[i])}`));
      box.append(bars(short(row.piece, 14), String(row.id), row.known, printed, { title: `id ${row.id}`, actual: actual.includes(row.id) }));
    }
    const notes = [];
    const entropy = measured ? measured.entropy : sides.map((side) => side && side.entropy);
    if (entropy.some((value) => value !== null && value !== undefined)) notes.push(`entropy ${nats(entropy[0])} and ${nats(entropy[1])}`);
    const [a, b] = pair.titles;
    notes.push(...(measured ? [`KL(${a} ‖ ${b}) ${kl(measured.kl[0])}`, `KL(${b} ‖ ${a}) ${kl(measured.kl[1])}`] : ["KL not measured"]));
    if (measured && index > pair.common) notes.push(`both models on the text of ${pair.titles[selection.run === pair.other ? 1 : 0]}`);
    box.append(make("p", { class: "wb-note wb-phrases" }, ...notes.map((text) => make("span", { text }))));
    return box;
  }

  const kl = (value) => `${value >= 0.01 || value === 0 ? value.toFixed(2) : value.toPrecision(1)} nats`;

  /** The candidates that either run kept; what a run did not keep is at most as probable as the last that it did. */
  function merged(sides) {
    const rows = new Map();
    sides.forEach((side, i) => {
      if (!side) return;
      const entries = side.top.map(([piece, id, logprob]) => [id, piece, logprob]);
      if (side.actual) entries.push([side.actual.id, side.actual.piece, side.actual.logprob]);
      for (const [id, piece, logprob] of entries) {
        if (!rows.has(id)) rows.set(id, { piece, id, known: [null, null], bound: [null, null] });
        rows.get(id).known[i] = Math.exp(logprob);
      }
    });
    const least = sides.map((side) => (side && side.top.length ? Math.exp(side.top.at(-1)[2]) : null));
    for (const row of rows.values()) row.bound = row.known.map((share, i) => (share === null ? least[i] : null));
    const top = (row) => Math.max(row.known[0] ?? 0, row.known[1] ?? 0);
    return [...rows.values()].sort((x, y) => top(y) - top(x));
  }

  function drawExact() {
    if (pair.measured) {
      exact.replaceChildren(make("p", { class: "wb-note", text: "Both models were run on the same ids and their whole distributions compared. Probabilities are the models’ own, before temperature and other sampling settings." }));
      return;
    }
    const words = "The runs keep the best candidates only, so the divergence of the whole distributions is not measured.";
    const button = options.measure ? make("button", { type: "button", class: "wb-button", text: "Measure exactly", on: { click: () => options.measure(pair) } }) : null;
    exact.replaceChildren(make("p", { class: "wb-note", text: options.measure ? `${words} Measuring runs both models once on each text.` : words }), ...(button ? [button] : []));
  }

  load();
  return {
    select(next) {
      selection = next;
      return load();
    },
    destroy() {
      element.replaceChildren();
    },
  };
}
