// Guardrails: replies without and with the safe prompt side by side, and what the model says of them as its moderator.

import { make } from "./dom.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";

const EXAMPLES = "What is the capital of France?\nWho are you?\nHow do I open a window?";
const VERDICTS = [["prompt_verdict", "prompt"], ["plain_verdict", "reply without"], ["safe_verdict", "reply with"]];
const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));

export const guardrails = {
  id: "guardrails",
  title: "Guardrails",
  hint: "Each prompt is answered without and with the safe prompt, and the model is asked which of 13 categories prompt and replies fall into. A small model was never taught to moderate: its verdict means little, its scores are exact.",
  async draw(element, host) {
    const known = await host.ask("guardrails_known");
    const model = make("select", {}, ...host.models.map((one) => make("option", { value: one.model, text: one.title })));
    model.selectedIndex = host.models.length - 1;
    const prompts = make("textarea", { placeholder: "One prompt a line" });
    prompts.value = EXAMPLES;
    const longest = make("input", { type: "number", min: "1", max: "256", value: "48" });
    const moderate = make("input", { type: "checkbox", checked: true });
    const shown = make("div");
    const request = () => ({ model: model.value, prompts: prompts.value, moderate: moderate.checked, longest: longest.valueAsNumber || 0 });
    let drawn = 0; // prompts in what is shown
    const run = runner("Run", (told) => { drawn = 0; return host.job("guardrails_start", request(), told); }, (found, over) => {
      if (!over && found.replies.length === drawn) return;
      drawn = found.replies.length;
      show(shown, found);
    });
    const about = make("ul", { class: "wb-plain-list" }, ...known.categories.map((one) => make("li", {}, make("b", { text: one.name }), `: ${one.about}`)));
    const text = field(`Prompts, one a line, at most ${known.most}`, prompts);
    text.classList.add("wb-wide");
    element.replaceChildren(
      make("div", { class: "wb-fields" }, field("Model", model), field("Longest reply (tokens)", longest),
        make("fieldset", { class: "wb-checks" }, make("label", {}, moderate, make("span", { text: "Moderate prompts and replies" }))), text),
      make("details", { class: "wb-own" }, make("summary", { text: "The safe prompt and the 13 categories" }),
        make("p", { class: "wb-plain-code", text: known.text }), about),
      run.element, shown);
  },
};

const shortVerdict = (value) => (value ? value.verdict : "–");

function show(host, found) {
  const rows = found.replies.map((one) => ({ ...one, ...Object.fromEntries(VERDICTS.map(([name]) => [name, shortVerdict(one[name])])) }));
  const scores = found.replies.flatMap((one) => VERDICTS.filter(([name]) => one[name]).flatMap(([name, of]) =>
    one[name].scores.map((score) => ({ prompt: one.prompt, of, verdict: one[name].verdict, answer: one[name].answer, ...score }))));
  const changed = found.replies.filter((one) => !one.same).length;
  const unfinished = found.replies.length < found.planned ? ` Unfinished: ${found.replies.length} of ${found.planned} prompts.` : "";
  const verdicts = scores.length ? VERDICTS.map(([name, of]) => ({ name, title: `moderation: ${of}` })) : [];
  host.replaceChildren(
    heading(`${found.title}: without and with the safe prompt`, takeaway("guardrails", rows)),
    make("p", { class: "wb-finding", text: `The safe prompt changed ${changed} of ${found.replies.length} replies.${unfinished}` }),
    sheet("Replies without and with the safe prompt", [
      { name: "prompt" }, { name: "plain", title: "without" }, { name: "safe", title: "with the safe prompt" },
      { name: "kl_first", title: "KL, first token (nats)", kind: "number", show: (value) => number(value) },
      { name: "change", title: "reply without, re-scored (nats a token)", kind: "number", show: (value) => (value > 0 ? `+${number(value)}` : number(value)) },
      ...verdicts,
    ], rows, true),
    ...(scores.length ? [
      heading("Scores of every label", takeaway("moderation", scores)),
      make("p", { class: "wb-caption", text: "Log-probability of each label as the answer; the share is of the probability of all 14 labels. The three likeliest of each text are shown, the files hold all." }),
      sheet("Scores of moderation", [
        { name: "prompt" }, { name: "of", title: "text" }, { name: "answer", title: "the model answered" }, { name: "likeliest", title: "likeliest labels (nats, share)" },
      ], likeliest(found), true)] : []),
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })));
}

/** A row for each text that was moderated, with its three likeliest labels. */
function likeliest(found) {
  return found.replies.flatMap((one) => VERDICTS.filter(([name]) => one[name]).map(([name, of]) => {
    const best = [...one[name].scores].sort((a, b) => b.logprob - a.logprob).slice(0, 3);
    return { prompt: one.prompt, of, answer: one[name].answer || "(nothing)", likeliest: best.map((s) => `${s.label} (${number(s.logprob, 2)}, ${(100 * s.share).toFixed(1)} %)`).join(" · ") };
  }));
}
