// The cache laboratory: caches that keep less, what they cost and lose, and which tokens of a text each of them kept.

import { make } from "./dom.js";
import { bytes, percent, whole } from "./data.js";
import { keptText } from "./keptmap.js";
import { modelSelect } from "./modelchoice.js";
import { field, heading, sheet, takeaway } from "./sheet.js";
import { runner } from "./job.js";

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const signed = (value) => (value > 0 ? `+${number(value)}` : number(value));
const between = (low, high, show) => (low === null || low === undefined ? "" : `${show(low)} to ${show(high)}`);
const BUDGETED = ["rolling", "received", "norm", "snapkv"];
const CHECKED = ["sinks", "received", "snapkv", "4bit"];

/** A policy as the server reads it. */
function said(name, budget, sinks) {
  if (BUDGETED.includes(name)) return `${name}=${budget}`;
  return name === "sinks" ? `sinks=${sinks}+${budget}` : name;
}

export const cachelab = {
  id: "cache",
  title: "Cache",
  hint: "A key-value cache may keep fewer tokens, or fewer bits of each. Here it does: what that saves in bytes, what it costs in the loss of the text that follows and in answers to questions, and which tokens stayed.",
  loads: true,
  async draw(element, host) {
    const known = await host.ask("cache_known");
    const boxes = known.policies.filter((one) => one.name !== "full").map((one) => [one.name, make("input", { type: "checkbox", checked: CHECKED.includes(one.name) }), one.title]);
    const count = (value, min, max) => make("input", { type: "number", value, min, max, class: "wb-suite-number" });
    const model = modelSelect(known.models);
    model.value = known.models.filter((one) => one.plain).at(-1).id;
    const budget = make("input", { type: "text", value: "25%", class: "wb-suite-number" });
    const sinks = count(4, 0, 64);
    const length = count(Math.min(1024, known.context), 1, known.context);
    const cases = count(4, 0, known.most.cases);
    const follow = count(64, 1, known.most.follow);
    const task = make("select", {}, ...known.tasks.map(([name, title]) => make("option", { value: name, text: title })));
    const text = make("textarea", { spellcheck: "false", placeholder: `Left empty: ${known.texts} long chats in the twins' language` });
    const own = field("A text or conversation to read", text);
    own.classList.add("wb-wide");
    const request = () => ({
      model: model.value, policies: ["full", ...boxes.filter(([, box]) => box.checked).map(([name]) => said(name, budget.value.trim(), sinks.value))],
      text: text.value, length: length.valueAsNumber, cases: cases.valueAsNumber, follow: follow.valueAsNumber, task: task.value,
    });
    const table = make("div");
    const tokens = make("div");
    const run = runner("Measure", (told) => host.job("cache_start", request(), told), (found) => {
      draw(table, found);
      if (found.prompts.length) map(tokens, found);
    });
    element.replaceChildren(
      make("div", { class: "wb-fields" },
        field("Model", model),
        field("Budget", budget, "Tokens of each layer and head, or a share."),
        field("Sinks", sinks),
        make("fieldset", { class: "wb-checks" }, make("legend", { class: "wb-field-name", text: "Beside the full cache" }),
          ...boxes.map(([, box, title]) => make("label", {}, box, make("span", { text: title }))))),
      make("div", { class: "wb-fields" },
        field("Questions", task), field("how many", cases), field("Tokens of a prompt", length), field("Tokens that follow a text", follow)),
      make("details", { class: "wb-own" }, make("summary", { text: "Your own text" }), make("div", { class: "wb-fields" }, own)),
      run.element, table, tokens);
  },
};

function draw(host, found) {
  const text = { kind: "number" };
  host.replaceChildren(
    heading("What it saves and what it loses", takeaway("cache", found.table)),
    sheet("Policies", [
      { name: "policy", kind: "code" },
      { name: "tokens", title: "tokens kept", ...text, show: (value) => whole(Math.round(value)) },
      { name: "bytes", ...text, show: bytes },
      { name: "predicted", title: "foretold", ...text, show: (value, row) => (value === row.bytes ? "the same" : bytes(value)) },
      { name: "of_full", title: "of full", ...text, show: percent },
      { name: "loss", ...text, show: (value) => number(value) },
      { name: "loss_more", title: "more than full", ...text, show: (value, row) => (row.policy === "full" ? "–" : signed(value)) },
      { name: "low", title: "95 %", ...text, show: (low, row) => (row.policy === "full" ? "–" : between(low, row.high, signed)) },
      { name: "kl", title: "KL to full", ...text, show: (value) => number(value, 4) },
      { name: "right", ...text, show: (share, row) => (row.questions ? `${Math.round(share * row.questions)} of ${row.questions}` : "–") },
      { name: "right_low", title: "95 %", ...text, show: (low, row) => between(low, row.right_high, (value) => value.toFixed(2)) },
      { name: "logprob", title: "answer", ...text, show: (value) => number(value) },
    ], found.table),
    make("p", { class: "wb-caption wb-finding", text: "Tokens: stored in each layer and key-value head behind the prompt. Loss and KL: nats a token of the text that follows (intervals: bootstrap over texts). Right: questions answered (Wilson's interval). Answer: log-probability of the expected one, nats a token. Keys keep the positions they had in the text." }),
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })));
}

/** The prompt's own tokens, marked by whether the chosen policy kept them in the chosen layer. */
function map(host, found) {
  const option = ([value, text]) => make("option", { value, text });
  const prompt = make("select", {}, ...found.prompts.map((one, i) => option([i, one.title])));
  const policy = make("select", {});
  const text = keptText(false);

  function choices() {
    const policies = Object.keys(found.prompts[prompt.value].kept);
    const before = policy.value;
    policy.replaceChildren(...policies.map((name) => option([name, name])));
    policy.value = policies.includes(before) ? before : policies.find((name) => /^snapkv/.test(name)) || policies.at(-1);
    show();
  }

  function show() {
    const one = found.prompts[prompt.value];
    const strings = one.kept[policy.value];
    const digits = strings.map((string) => Array.from(string, (digit) => parseInt(digit, 36)));
    const counts = (layer) => (layer === null ? one.pieces.map((_, i) => digits.reduce((sum, row) => sum + (row[i] || 0), 0)) : digits[layer]);
    text.set({ name: policy.value, pieces: one.pieces, length: one.pieces.length, layers: strings.length, heads: one.heads, counts });
  }

  prompt.addEventListener("change", choices);
  policy.addEventListener("change", show);
  choices();
  host.replaceChildren(
    heading("Which tokens stayed"),
    make("div", { class: "wb-fields" }, field("Prompt", prompt), field("Policy", policy), ...text.fields.map(([name, select]) => field(name, select))), text.element);
}
