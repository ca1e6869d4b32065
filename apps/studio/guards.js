// The two guardrails in the fold of settings: the safe prompt, and moderation by the models themselves. Off at first.

import { make } from "./dom.js";
import { page, listen } from "./wire.js";
import { act } from "./tab.js";

const CHOICES = [
  ["safe_prompt", "Safe prompt", "Mistral's safe prompt (44 tokens) is read before the conversation"],
  ["moderate", "Moderate questions and answers", "Each model is asked which of 13 categories the question and its answer fall into; nothing is held back"],
];

export function guards(element) {
  const boxes = CHOICES.map(([name, label, hint]) => {
    const box = make("input", { type: "checkbox", name, on: { change: send } });
    return [name, box, make("label", { title: hint }, box, make("span", { text: label }))];
  });
  async function send() {
    await act({ kind: "guard", ...Object.fromEntries(boxes.map(([name, box]) => [name, box.checked])) });
    paint(); // what was refused shows as it is
  }
  const paint = () => { for (const [name, box] of boxes) box.checked = Boolean(page.state?.guards?.[name]); };
  element.replaceChildren(make("div", { class: "wb" },
    make("fieldset", { class: "wb-guards" }, make("legend", { class: "wb-caption", text: "Guardrails" }), ...boxes.map(([, , label]) => label)),
    make("p", { class: "wb-caption", text: "Moderation is the model's own word. A small model was never taught it: read its scores, not its verdict." })));
  listen("state", paint);
  paint();
}
