// Retrieval heads: which heads look the needle up, and what is left of the answers without them and without others.

import { make } from "./dom.js";
import { whole } from "./data.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";
import { headMap } from "./headmap.js";
import { modelSelect, numbers } from "./modelchoice.js";

const share = (value) => (value === null ? "–" : value.toFixed(2));
const number = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));

function shown(found) {
  return [
    make("p", { class: "wb-finding", text: found.said }),
    make("div", { class: "wb-why-maps" }, headMap("score: answer's tokens looked up in the needle", found.score), headMap("attention on the needle", found.needle_mass)),
    heading("The first heads", takeaway("retrieval-heads", found.heads)),
    sheet("The first heads", [
      { name: "layer", show: String }, { name: "head", kind: "number", show: String }, { name: "score", kind: "number", show: share }, { name: "needle_mass", title: "on the needle", kind: "number", show: share }, { name: "items", title: "questions", kind: "number", show: String },
    ], found.heads),
    heading("By length", takeaway("heads-by-length", found.by_length)),
    sheet("By length", [
      { name: "length", title: "tokens", kind: "number", show: whole }, { name: "items", title: "questions", kind: "number", show: String }, { name: "answered", title: "known", kind: "number", show: share },
      { name: "settles", title: "from layer", kind: "number", show: (value) => (value === null ? "–" : value.toFixed(1)) }, { name: "needle_mass", title: "ten best heads on the needle", kind: "number", show: share }, { name: "score", kind: "number", show: share }, { name: "logprob", title: "nats a token", kind: "number", show: number },
    ], found.by_length),
    ...(found.ablation.length ? [
      heading("The same without them", takeaway("heads-ablation", found.ablation)),
      make("p", { class: "wb-finding", text: found.sentence }),
      sheet("The same without them", [
        { name: "silenced" }, { name: "heads", kind: "code", show: (value) => value || "–" }, { name: "below", title: "in earlier layers", kind: "number", show: String }, { name: "n", kind: "number", show: String },
        { name: "right", kind: "number", show: (value, row) => `${share(value)} (${share(row.low)} to ${share(row.high)})` }, { name: "logprob", title: "nats a token", kind: "number", show: number },
        { name: "p", title: "p (McNemar)", kind: "number", show: (value, row) => (row.heads ? (value < 0.001 ? "< 0.001" : value.toFixed(3)) : "–") },
      ], found.ablation),
      make("p", { class: "wb-caption", text: "Asked are other questions than those the heads were found on. Controls: as many heads at random with a score under 0.1; a head of an earlier layer may feed a found one." }),
    ] : []),
    make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })),
  ];
}

export const heads = {
  id: "heads",
  title: "Retrieval heads",
  hint: "A head that looks up the answer's next token in the needle is a retrieval head. Silenced, recall should go; as many others at random should not matter.",
  async draw(element, host) {
    const known = await host.ask("heads_known");
    const model = modelSelect(known.models);
    const plain = known.models.filter((one) => one.plain);
    model.value = plain.at(-1).id;
    const input = (value, min, max, step = 1) => make("input", { type: "number", class: "wb-suite-number", value, min, max, step });
    const lengths = make("input", { type: "text", inputmode: "numeric", value: [1 / 8, 1 / 4].map((part) => Math.round(known.context * part)).join(", ") });
    const task = make("select", {}, ...[["needle", "Needle in a haystack"], ["passkey", "Pass key"], ["multi-key", "Several keys, one asked"]].map(([value, text]) => make("option", { value, text })));
    const [cases, least, silence, controls, seed] = [input(2, 1, 20), input(0.5, 0.05, 1, 0.05), input(8, 0, 64), input(2, 0, 8), input(0, 0, 2 ** 53)];
    const out = make("div");
    let drawn = "";
    const run = runner("Look and silence", (told) => {
      drawn = "";
      let asked = null;
      try {
        asked = numbers(lengths.value, "Lengths");
      } catch (error) {
        return { done: Promise.reject(error), stop: () => {} };
      }
      return host.job("heads_start", { model: model.value, task: task.value, lengths: asked, cases: cases.valueAsNumber, least: least.valueAsNumber, silence: silence.valueAsNumber, controls: controls.valueAsNumber, seed: seed.valueAsNumber }, told);
    }, (found, over) => {
      const now = `${found.items} ${found.sentence}`;
      if (!over && now === drawn) return;
      drawn = now;
      out.replaceChildren(...shown(found));
    });
    element.replaceChildren(
      make("div", { class: "wb-fields" }, field("Model", model), field("Task", task), field("Lengths, tokens", lengths), field("Questions at each place", cases), field("Score of a found head", least), field("Silence at most", silence), field("Random draws", controls), field("Seed", seed)),
      run.element, out);
  },
};
