// Prompt lab: a conversation as the reference and as each chat template encodes it, token by token, and what that costs.

import { make, tip } from "./dom.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";

const PAUSE = 300; // ms without typing before the server is asked
const ROLES = ["user", "assistant", "system"];
const known = (value) => value !== null && value !== undefined;
const number = (value) => (known(value) ? value.toFixed(3).replace("-", "−") : "–");
const signed = (value) => (known(value) && value > 0 ? `+${number(value)}` : number(value));

export const promptlab = {
  id: "promptlab",
  title: "Prompt lab",
  hint: "The models were trained on conversations encoded message by message. Chat templates A, B and C write one text instead, which gives other ids. Here is where, and what it costs in loss.",
  async draw(element, host) {
    const start = await host.ask("promptlab_known");
    const model = make("select", { on: { change: () => soon(0) } }, ...host.models.map((one) => make("option", { value: one.model, text: one.title })));
    const talk = editor(start.example, start.most, () => soon(PAUSE));
    const said = make("p", { class: "wb-message", role: "status" });
    const shown = make("div");
    let asked = 0;
    let timer = 0;
    function soon(pause) {
      clearTimeout(timer);
      timer = setTimeout(paint, pause);
    }
    async function paint() {
      const mine = ++asked;
      let found = null;
      let error = "";
      try {
        found = await host.ask("promptlab_forms", { model: model.value, messages: talk.messages() });
      } catch (failed) {
        error = failed.message;
      }
      if (mine !== asked) return; // a later one is on its way
      said.textContent = error;
      if (found) showForms(shown, found);
      shown.hidden = !found;
    }
    const over = make("select", {}, make("option", { value: "this", text: "this conversation" }), make("option", { value: "shipped", text: `${start.shipped} held-out chats of the twins' language` }));
    const costs = make("div");
    const run = runner("What it costs in loss", (told) => host.job("promptlab_start", { over: over.value, messages: talk.messages() }, told), (found) => showCosts(costs, found));
    element.replaceChildren(
      ...(host.models.length > 1 ? [make("div", { class: "wb-fields" }, field("Tokenizer and own template of", model))] : []),
      talk.element, said, shown,
      heading("What it costs"), make("div", { class: "wb-fields" }, field("Measured on", over, "By every model of this page.")), run.element, costs);
    await paint();
  },
};

/** Rows of role and text: {element, messages()}; `changed()` is called on every change. */
function editor(example, most, changed) {
  const list = make("ol", { class: "wb-talk" });
  const rows = [];
  const add = make("button", { type: "button", class: "wb-action", text: "Add message", on: { click: () => {
    const last = rows.at(-1);
    row(last && last.role.value === "user" ? "assistant" : "user", "").text.focus();
    changed();
  } } });
  const count = () => {
    add.disabled = rows.length >= most;
    rows.forEach((one, i) => {
      one.role.setAttribute("aria-label", `Role of message ${i}`);
      one.text.setAttribute("aria-label", `Text of message ${i}`);
      one.remove.setAttribute("aria-label", `Remove message ${i}`);
    });
  };
  function row(role, content) {
    const made = {
      role: make("select", { on: { change: changed } }, ...ROLES.map((one) => make("option", { value: one, text: one, selected: one === role }))),
      text: make("textarea", { rows: 1, dir: "auto", spellcheck: "false", on: { input: () => { fit(); changed(); } } }),
      remove: make("button", { type: "button", class: "wb-action", text: "Remove", on: { click: () => {
        const at = rows.indexOf(made);
        rows.splice(at, 1);
        made.item.remove();
        count();
        (rows[Math.min(at, rows.length - 1)]?.remove || add).focus();
        changed();
      } } }),
    };
    const fit = () => { made.text.rows = Math.min(8, made.text.value.split("\n").length); };
    made.text.value = content;
    made.item = make("li", { class: "wb-field" }, made.role, made.text, made.remove);
    fit();
    rows.push(made);
    list.append(made.item);
    count();
    return made;
  }
  for (const message of example) row(message.role, message.content);
  return {
    element: make("div", {}, heading("Conversation", make("span", { class: "wb-actions" }, add)), list),
    messages: () => rows.map((one) => ({ role: one.role.value, content: one.text.value })),
  };
}

const agreement = (form) => (form.refused ? "refused" : form.agrees === true ? "yes" : form.agrees === false ? "no" : "–");

function showForms(host, found) {
  const rows = found.forms.map((form) => ({
    form: form.name, way: form.way, agrees: agreement(form), tokens: form.refused ? null : form.ids.length, first: form.first,
    piece: known(form.first) ? form.there[0] : null, reference: known(form.first) ? form.there[1] : null, refused: form.refused,
    ids: form.ids.join(" "),
  }));
  const same = new Map(); // forms with the same ids share a line
  for (const form of found.forms) if (!form.refused) same.set(form.ids.join(" "), [...(same.get(form.ids.join(" ")) || []), form]);
  const badge = (value) => make("span", { class: `wb-badge ${value === "yes" ? "wb-good" : value === "no" || value === "refused" ? "wb-bad" : ""}`, text: value });
  const refused = [...new Set(rows.map((row) => row.refused).filter(Boolean))];
  host.replaceChildren(
    heading("Forms", takeaway("prompt-forms", rows)),
    sheet("Forms of the conversation", [
      { name: "form" }, { name: "agrees", title: "the reference's ids", show: badge },
      { name: "tokens", kind: "number", show: (value) => (known(value) ? String(value) : "–") },
      { name: "first", title: "first differs at token", kind: "number", show: (value) => (known(value) ? String(value) : "–") },
      { name: "piece", title: "piece there", kind: "code", show: (value) => (value === "" ? "(end)" : value ?? "–") },
      { name: "reference", title: "the reference's", kind: "code", show: (value) => (value === "" ? "(end)" : value ?? "–") },
    ], rows, true),
    ...refused.map((text) => make("p", { class: "wb-message", text: `${rows.filter((row) => row.refused === text).map((row) => row.form).join(" and ")}: ${text}` })),
    ...(found.note ? [make("p", { class: "wb-message", text: found.note })] : []),
    ...(found.warnings.length ? [heading("Warnings"), make("ul", { class: "wb-found" }, ...found.warnings.map((text) => make("li", { dir: "auto", text })))] : []),
    heading("Tokens"),
    make("p", { class: "wb-caption", text: "▁ is a space. Tinted: lies differently in the reference; framed: the first difference. The pointer or the arrow keys show ids. Metaspace: the same template behind a tokenizer that puts no ▁ before a space." }),
    make("div", { class: "wb-lab" }, ...[...same.values()].map(tokens)),
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })));
}

let lines = 0;

/** One line of tokens for forms that agree; ids on hover, and with the arrow keys. */
function tokens(forms) {
  const [form] = forms;
  const name = forms.map((one) => one.name).join(" = ");
  const line = `wb-lab-${lines++}`;
  const other = new Set(form.other.flatMap(([low, high]) => Array.from({ length: high - low }, (_, i) => low + i)));
  const spans = form.pieces.map((piece, i) => make("span", {
    class: `wb-token wb-unknown${other.has(i) ? " wb-other" : ""}${form.first === i ? " wb-first" : ""}`, role: "option", id: `${line}-${i}`, "aria-selected": "false",
    "aria-label": `${piece}, token ${i}, id ${form.ids[i]}${form.first === i ? ", the first difference" : ""}`, text: piece, dataset: { at: i },
  }));
  const strip = make("div", { class: "wb-strip", role: "listbox", tabindex: "0", "aria-label": `Tokens of ${name}`, "aria-orientation": "horizontal" }, ...spans);
  let now = -1;
  const point = (at, x, y) => tip.show(x, y, form.pieces[at], [["id", String(form.ids[at])], ["token", String(at)], ...(form.first === at ? [`The reference has ${form.there[1] || "nothing"} here.`] : [])]);
  const go = (at) => {
    if (now >= 0) spans[now].setAttribute("aria-selected", "false");
    if (now >= 0) spans[now].classList.remove("wb-on");
    now = Math.max(0, Math.min(spans.length - 1, at));
    spans[now].setAttribute("aria-selected", "true");
    spans[now].classList.add("wb-on");
    strip.setAttribute("aria-activedescendant", spans[now].id);
    spans[now].scrollIntoView({ block: "nearest" });
    const box = spans[now].getBoundingClientRect();
    point(now, box.left, box.bottom);
  };
  strip.addEventListener("keydown", (event) => {
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (event.key === "Escape") tip.hide();
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  });
  strip.addEventListener("focus", () => { if (strip.matches(":focus-visible")) go(now < 0 ? form.first ?? 0 : now); });
  strip.addEventListener("blur", () => tip.hide());
  strip.addEventListener("pointermove", (event) => {
    const at = event.target.dataset?.at;
    if (at === undefined) tip.hide();
    else point(Number(at), event.clientX, event.clientY);
  });
  strip.addEventListener("pointerleave", () => tip.hide());
  return make("div", {}, make("p", { class: "wb-lab-name" }, make("b", { text: name }), ` ${form.ids.length} tokens`), strip);
}

/** One row a form and what is scored, the models beside each other; the reference is what they are measured against. */
function showCosts(host, found) {
  const single = found.over === "this";
  const models = [...new Set(found.rows.map((row) => row.model))];
  const scored = single ? "answer" : "scored";
  const rows = new Map();
  for (const row of found.rows) {
    if (row.form === "reference") continue;
    const key = JSON.stringify([row.form, row[scored]]);
    if (!rows.has(key)) rows.set(key, { form: row.form, scored: row[scored], chats: row.conversations });
    rows.get(key)[row.model] = single ? row.difference : row;
  }
  const name = (value) => (value === "all" || value === "answers" ? "all answers" : value === "reply" ? "reply" : `message ${value}`);
  const interval = (one) => `${signed(one.nats)} (${known(one.low) ? `${signed(one.low)} to ${signed(one.high)}` : "no interval"})`;
  const columns = [
    { name: "form" }, { name: "scored", show: name },
    ...(single ? [] : [{ name: "chats", kind: "number", show: String }]),
    ...models.map((model) => ({ name: model, kind: "number", show: (value) => (!known(value) ? "–" : single ? signed(value) : interval(value)) })),
  ];
  const all = [...rows.values()];
  const whole = all.filter((row) => typeof row.scored === "string");
  const each = all.filter((row) => typeof row.scored !== "string");
  host.replaceChildren(
    heading(single ? "Nats of this conversation, less the reference's" : "Nats a chat, less the reference's, with 95 % intervals", takeaway("prompt-costs", found.rows)),
    sheet("What each form costs", columns, whole, true),
    ...(each.length ? [make("details", { class: "wb-own" }, make("summary", { text: "Each answer" }), sheet("What each form costs each answer", columns, each, true))] : []),
    make("p", { class: "wb-caption", text: `${found.note} Negative: less probable.${single ? " One conversation has no interval; the held-out chats have." : " Intervals: bootstrap over chats."}` }),
    ...found.left_out.map((text) => make("p", { class: "wb-message", text: `Left out. ${text}` })),
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })));
}
