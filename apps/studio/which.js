// Which change is responsible: weights, window and theta of both models in every combination, effects and cells.

import { make, svg, onWidth } from "./dom.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";

const MEASURES = [
  ["loss", "loss", "Nats a token of texts that are read"],
  ["retrieval", "retrieval", "Right answers to questions about long texts, and the answer's log-probability"],
  ["kl", "KL", "How far each combination's next-token distributions are from those of one model itself"],
];
const ROW = 26;
const LABEL = 172;

const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(3).replace("-", "−"));
const signed = (value) => (value > 0 ? `+${number(value)}` : number(value));
const place = (where) => (where === "all" ? "all tokens" : `${where} tokens`);

export const which = {
  id: "which",
  title: "Which change",
  hint: "Two models differ in weights, window and theta. Here all eight combinations of the three are measured, and the effects say which of them is responsible.",
  async draw(element, host) {
    const known = await host.ask("which_known");
    if (known.models.length < 2) {
      element.replaceChildren(make("p", { class: "wb-message", text: "This needs two models. Start the page with two." }));
      return;
    }
    const boxes = MEASURES.map(([name, label, hint]) => [name, make("input", { type: "checkbox", checked: name !== "kl" }), label, hint]);
    const most = make("select", {}, make("option", { value: String(known.few), text: `${known.few} of each` }), make("option", { value: "", text: "all" }));
    const reference = make("select", {}, ...["a", "b"].map((side, i) => make("option", { value: side, text: host.models[i].title })));
    const texts = make("textarea", { spellcheck: "false", placeholder: "A text; a line of --- parts several" });
    const questions = make("textarea", { spellcheck: "false", placeholder: '{"prompt": "…", "answer": "…"} in each line; "messages" for a chat' });
    const request = () => ({
      measures: boxes.filter(([, box]) => box.checked).map(([name]) => name), most: most.value ? Number(most.value) : null,
      reference: reference.value, texts: texts.value, questions: questions.value,
    });
    const shown = make("div");
    let drawn = null; // items in what is shown: what came before is not drawn again
    const run = runner("Measure", (told) => { drawn = null; return host.job("which_start", request(), told); }, (found, over) => {
      if (!over && found.measured === drawn) return;
      drawn = found.measured;
      show(shown, found);
    });
    element.replaceChildren(
      make("div", { class: "wb-fields" },
        make("fieldset", { class: "wb-checks" }, make("legend", { class: "wb-field-name", text: "Measures" }),
          ...boxes.map(([, box, label, hint]) => make("label", { title: hint }, box, make("span", { text: label })))),
        field("Texts and questions", most),
        field("KL to", reference)),
      make("details", { class: "wb-own" }, make("summary", { text: "Your own texts and questions" }),
        make("p", { class: "wb-caption", text: `Left empty: ${known.shipped.texts} long chats and ${known.shipped.questions} questions in the twins' language, whose facts were never trained on.` }),
        make("div", { class: "wb-fields" }, wide(field("Texts", texts)), wide(field("Questions", questions)))),
      run.element, shown);
  },
};

function wide(node) {
  node.classList.add("wb-wide");
  return node;
}

/** Draws a result, finished or not, with the outcome that was shown before it. */
function show(host, found) {
  const key = (one) => `${one.outcome}|${one.where}`;
  const usable = found.sentences.filter((one) => found.effects.some((row) => key(row) === key(one) && row.estimate !== null));
  if (!usable.length) {
    host.replaceChildren(make("p", { class: "wb-message", text: found.sentence }));
    return;
  }
  const before = host.dataset.shown;
  const last = Math.max(...usable.map((one, i) => (one.outcome === usable[0].outcome ? i : 0)));
  let chosen = usable.find((one) => key(one) === before) || usable[last];
  const body = make("div", { class: "wb-which" });
  const select = make("select", { on: { change: () => { chosen = usable[select.selectedIndex]; host.dataset.shown = key(chosen); draw(); } } },
    ...usable.map((one) => make("option", { text: `${found.titles[one.outcome]}, ${place(one.where)}`, selected: one === chosen })));
  const names = found.factors.map((one) => one.name);
  const notes = [...(found.finished ? [] : [`Unfinished: ${found.measured} of ${found.planned} items were measured.`]), ...found.notes];

  function draw() {
    const effects = found.effects.filter((row) => key(row) === key(chosen));
    const cells = found.cells.filter((row) => key(row) === key(chosen));
    const unit = found.units[chosen.outcome];
    const left = make("div", { class: "wb-figure" });
    const right = make("div", { class: "wb-figure" });
    body.replaceChildren(
      make("p", { class: "wb-finding", text: chosen.sentence }),
      make("div", { class: "wb-which-two" },
        make("div", {}, heading(`Effects, b less a (${unit})`), left), make("div", {}, heading(`Cells (${unit})`), right)),
      make("p", { class: "wb-caption", text: `Orange: a, ${found.factors[0].a} as it is; blue: b, ${found.factors[0].b}. Filled: main effect; open: interaction; grey: the interval does not leave 0 out. Lines: 95 % intervals over items (t; of shares Wilson's), each by itself. A main effect is the mean change from a to b over all settings of the others.` }),
      heading("Effects", takeaway("effects", found.effects)),
      sheet("Effects", [
        { name: "effect" },
        { name: "estimate", kind: "number", show: signed },
        { name: "low", title: "95 % from", kind: "number", show: signed },
        { name: "high", title: "to", kind: "number", show: signed },
        { name: "n", title: "items", kind: "number", show: String },
        { name: "sure", title: "told from 0", show: (sure) => (sure ? "yes" : "no") },
      ], effects),
      heading("Cells", takeaway("cells", found.cells)),
      sheet("Cells", [
        ...names.map((name) => ({ name })),
        { name: "mean", kind: "number", show: number },
        { name: "low", title: "95 % from", kind: "number", show: number },
        { name: "high", title: "to", kind: "number", show: number },
        { name: "n", title: "items", kind: "number", show: String },
      ], cells),
      make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })));
    onWidth(left, () => left.replaceChildren(effectsPicture(effects, left.clientWidth, unit)));
    onWidth(right, () => right.replaceChildren(cellsPicture(cells, names, right.clientWidth, unit)));
  }

  host.replaceChildren(
    make("div", { class: "wb-fields" }, field("Outcome", select)),
    ...notes.map((text) => make("p", { class: "wb-message", text })), body);
  draw();
}

/** The scale of a picture: [low, high] widened to hold 0 and every value. */
function scale(values, from, to) {
  const known = [0, ...values.filter((value) => value !== null && Number.isFinite(value))];
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (high - low < 1e-9) [low, high] = [low - 1, high + 1];
  const room = (high - low) * 0.06;
  [low, high] = [low < 0 ? low - room : low, high > 0 ? high + room : high];
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function frame(width, rows, title) {
  return svg("svg", { width, height: rows * ROW + 8, viewBox: `0 0 ${width} ${rows * ROW + 8}`, role: "img", "aria-label": title });
}

const line = (x1, y1, x2, y2, stroke, wide = 1) => svg("line", { x1, y1, x2, y2, stroke, "stroke-width": wide });
const words = (x, y, text, fill = "var(--wb-ink)", anchor = "start") => svg("text", { x, y, fill, "text-anchor": anchor, "font-size": 12, text });

function effectsPicture(rows, width, unit) {
  const label = Math.min(LABEL, width * 0.55);
  const x = scale(rows.flatMap((row) => [row.estimate, row.low, row.high]), label + 6, width - 54);
  const picture = frame(width, rows.length, `Effects in ${unit}: ${rows.map((row) => `${row.effect} ${number(row.estimate)}`).join(", ")}`);
  picture.append(line(x(0), 0, x(0), rows.length * ROW, "var(--wb-line)", 2));
  rows.forEach((row, i) => {
    const y = i * ROW + ROW / 2 + 2;
    const shade = row.sure ? "var(--wb-b)" : "var(--wb-muted)";
    picture.append(words(0, y + 4, row.effect.replaceAll(" x ", " × ")));
    if (row.low !== null) picture.append(line(x(row.low), y, x(row.high), y, shade, 2));
    const open = row.effect.includes(" x ");
    picture.append(svg("circle", { cx: x(row.estimate), cy: y, r: 5, fill: open ? "var(--wb-surface)" : shade, stroke: shade, "stroke-width": 2 }));
    picture.append(words(width, y + 4, signed(row.estimate), row.sure ? "var(--wb-ink)" : "var(--wb-muted)", "end"));
  });
  return picture;
}

function cellsPicture(rows, names, width, unit) {
  const spelled = (row) => names.map((name) => row[name]).join(" · ");
  const label = Math.min(LABEL + 30, width * 0.5);
  const x = scale(rows.flatMap((row) => [row.mean, row.low, row.high]), label + 6, width - 54);
  const picture = frame(width, rows.length, `Cells in ${unit}: ${rows.map((row) => `${spelled(row)} ${number(row.mean)}`).join(", ")}`);
  const own = ["a".repeat(names.length), "b".repeat(names.length)];
  rows.forEach((row, i) => {
    const y = i * ROW + ROW / 2 + 2;
    const side = own.indexOf(row.cell);
    const shade = side < 0 ? "var(--wb-muted)" : `var(--wb-${"ab"[side]})`;
    const [from, to] = [x(0), x(row.mean)].sort((one, other) => one - other);
    picture.append(svg("rect", { x: from, y: y - 7, width: Math.max(1, to - from), height: 14, fill: shade, opacity: side < 0 ? 0.45 : 1 }));
    if (row.low !== null) picture.append(line(x(row.low), y, x(row.high), y, "var(--wb-ink)", 1.5));
    const text = words(0, y + 4, spelled(row));
    if (side >= 0) text.setAttribute("font-weight", "650");
    picture.append(text, words(width, y + 4, number(row.mean), "var(--wb-ink)", "end"));
  });
  picture.append(line(x(0), 0, x(0), rows.length * ROW, "var(--wb-line)", 2));
  return picture;
}
