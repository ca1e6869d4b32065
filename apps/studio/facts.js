// What each model is: stated by its files, loaded, found by probing; every tensor checked.

import { make, svg, toggle } from "./dom.js";
import { save } from "./files.js";
import { runner } from "./job.js";
import { field, heading, sheet, takeaway } from "./sheet.js";

const WORDS = { agree: ["agree", "wb-good"], DIFFER: ["differ", "wb-bad"] };

/** What one card says of one fact. */
function cell(fact) {
  if (!fact) return make("span", { class: "wb-caption", text: "–" });
  const line = (what, text) => text && make("div", {}, make("span", { class: "wb-caption", text: `${what} ` }), make("span", { dir: "auto", text }));
  const one = fact.stated && fact.stated === fact.loaded;
  const badge = WORDS[fact.mark] && make("span", { class: `wb-badge ${WORDS[fact.mark][1]}`, text: WORDS[fact.mark][0] });
  return make("div", {}, badge ? make("span", { class: "wb-fact-mark" }, badge) : null, one ? line("stated and loaded", fact.stated) : line("stated", fact.stated), one ? null : line("loaded", fact.loaded), line("probed", fact.probed));
}

/** Loss by value: points on equal steps, the stated value as a full one. Lower is better. */
function curve(probe) {
  const [width, height, left, top, bottom] = [420, 170, 46, 12, 34];
  const losses = probe.rows.map((row) => row.loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const x = (i) => left + 14 + (i * (width - left - 34)) / Math.max(1, losses.length - 1);
  const y = (loss) => top + (high === low ? 0.5 : (high - loss) / (high - low)) * (height - top - bottom);
  const word = (text, at, up, anchor) => svg("text", { x: at, y: up, "text-anchor": anchor, text, fill: "var(--wb-muted)", "font-size": 11 });
  const marks = probe.rows.map((row, i) => svg("circle", { cx: x(i), cy: y(row.loss), r: row.value === probe.stated ? 5 : 3.5, stroke: "var(--wb-b)", "stroke-width": 1.6, fill: row.value === probe.stated ? "var(--wb-b)" : "var(--wb-surface)" }));
  const names = probe.rows.map((row, i) => word(row.value, x(i), height - 16, "middle"));
  const line = svg("polyline", { points: losses.map((loss, i) => `${x(i)},${y(loss)}`).join(" "), fill: "none", stroke: "var(--wb-b)", "stroke-width": 1.4 });
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "wb-curve", role: "img", "aria-label": `Loss by ${probe.switch}: ${probe.rows.map((row) => `${row.value} ${row.loss.toFixed(3)}`).join(", ")}` },
    word(high.toFixed(3), left - 6, top + 4, "end"), word(low.toFixed(3), left - 6, height - bottom + 4, "end"), line, ...marks, ...names, word(`${probe.switch}; nats a token, lower is better`, width / 2 + left / 2, height - 2, "middle"));
  return make("figure", { class: "wb-curve-box" }, drawn, make("figcaption", { text: probe.said }));
}

/** All that the probes measured, a row a value. */
function measured(model, probes) {
  return probes.flatMap((probe) => probe.rows.map((row) => ({ model, switch: probe.switch, ...row, stated: row.value === probe.stated })));
}

export const facts = {
  id: "facts",
  title: "Facts",
  loads: true,
  hint: "What each model is: stated by its files, loaded into its modules, found by probing. What disagrees is marked.",
  async draw(element, host) {
    const { cards, texts, others } = await host.ask("fact_cards");
    const table = make("div");
    let apart = false;
    const rows = () => [...new Set(cards.flatMap((card) => card.facts.map((fact) => fact.fact)))].map((name) => {
      const found = cards.map((card) => card.facts.find((fact) => fact.fact === name));
      return { fact: name, apart: found.some((one) => (one?.loaded || one?.stated) !== (found[0]?.loaded || found[0]?.stated)), ...Object.fromEntries(cards.map((card, i) => [card.model, found[i]])) };
    });
    const flat = () => cards.flatMap((card) => card.facts.map((fact) => ({ model: card.title, ...fact })));
    const tools = make("span");
    const paint = () => {
      const wrong = cards.filter((card) => card.conflicts.length).map((card) => `${card.title}: ${card.conflicts.join(", ")}`);
      table.replaceChildren(make("p", { class: "wb-message", text: wrong.length ? `In conflict: ${wrong.join("; ")}.` : "No conflict between what is stated and what is loaded." }),
        sheet("Identity cards", [{ name: "fact" }, ...cards.map((card) => ({ name: card.model, title: card.title, show: cell }))], rows().filter((row) => !apart || row.apart), true));
      tools.replaceChildren(takeaway("facts", flat()));
    };
    /** A card that came from a job takes the place of the rows it knows more about. */
    const merge = (card) => {
      const now = cards.find((one) => one.model === card.model);
      for (const fact of card.facts) {
        const at = now.facts.findIndex((one) => one.fact === fact.fact);
        if (at < 0) now.facts.push(fact);
        else now.facts[at] = { ...fact, probed: fact.probed || now.facts[at].probed, mark: fact.probed || !now.facts[at].probed ? fact.mark : now.facts[at].mark };
      }
      now.conflicts = now.facts.filter((fact) => fact.mark === "DIFFER").map((fact) => fact.fact);
      paint();
    };
    paint();
    const models = () => make("select", {}, ...cards.map((card) => make("option", { value: card.model, text: card.title })));

    const [probed, own, curves] = [models(), make("textarea", { rows: 3, placeholder: `Empty: the ${texts} conversations that come with the workbench, held out from the twins' training.` }), make("div", { class: "wb-curves", "aria-live": "polite" })];
    const probing = runner("Probe theta and window", (told) => host.job("fact_probe", { model: probed.value, text: own.value }, told), (found) => {
      merge(found.card);
      curves.replaceChildren(...found.probes.map(curve), takeaway("probes", measured(found.card.title, found.probes)));
    });

    const [checked, against, tensors] = [models(), make("select", {}, make("option", { value: "", text: "the register beside its weights" }), ...others.map((name) => make("option", { value: name, text: name.split("/").pop() }))), make("div")];
    const checking = runner("Check every tensor", (told) => host.job("fact_tensors", { model: checked.value, against: against.value }, told), (found) => {
      merge(found.card);
      const odd = found.oddities.map((one) => make("li", { text: one }));
      const shown = found.rows.some((row) => row.state === "altered" || row.state === "added") ? found.rows.filter((row) => row.state !== "as published") : found.rows;
      const digits = (value) => (value === null ? "–" : value.toPrecision(4));
      const list = sheet("Tensors", [{ name: "tensor", kind: "code" }, { name: "state", title: "state" }, { name: "shape" }, { name: "dtype" }, { name: "rms", title: "root mean square", kind: "number", show: digits }, { name: "largest", kind: "number", show: digits }, { name: "sha256", kind: "code", show: (hash) => hash.slice(0, 12) }], shown, true);
      tensors.replaceChildren(make("p", { class: "wb-message wb-tensors-said", text: `${found.said[0].toUpperCase()}${found.said.slice(1)}.` }), odd.length ? make("ul", {}, ...odd) : make("p", { class: "wb-caption", text: "All numbers are finite; no tensor is all zeros, doubled or out of line." }),
        takeaway("tensors", found.rows), make("details", {}, make("summary", { text: `${shown.length} tensors` }), list));
    });

    const code = () => save("facts.py", `import workbench as wb\nfrom workbench.facts import identity, probe_texts, probe_theta, probe_window\n\nfor name in ${JSON.stringify(cards.map((card) => card.model))}:\n    model = wb.load(name)\n    texts = probe_texts()\n    card = identity(model, probes=[probe_theta(model, texts), probe_window(model, texts)])\n    print(card, card.table(), sep="\\n")\n`, "text/x-python");
    element.replaceChildren(
      heading("Identity", make("span", { class: "wb-actions" }, tools, make("button", { type: "button", class: "wb-action", text: "code", title: "The Python that finds the same", on: { click: code } }))),
      cards.length > 1 ? toggle("Only what differs between the two", false, (on) => { apart = on; paint(); }) : "", table,
      heading("Theta and window, from loss"),
      make("p", { class: "wb-message", text: "Neither is stored in the weights, but the weights work best under their own: the same texts are read under one value after another." }),
      make("div", { class: "wb-fields" }, field("Model", probed), make("label", { class: "wb-field wb-wide" }, make("span", { class: "wb-field-name", text: "Texts to read; a line of --- parts several" }), own)), probing.element, curves,
      heading("Every tensor"),
      make("p", { class: "wb-message", text: "Hashes of all stored tensors beside those of another checkpoint, and what looks wrong without one: numbers that are not finite, zeros, doubles, norms out of line." }),
      make("div", { class: "wb-fields" }, field("Model", checked), field("Compared with", against)), checking.element, tensors);
  },
};
