// Around the field for the next question: Undo, and a warning before a question that will not fit.

import { make } from "./dom.js";
import { page, listen, put } from "./wire.js";
import { act } from "./tab.js";

const MOST_TOKENS_A_CHARACTER = 3; // on the safe side: only a question that may be too long is counted by the server
const PAUSE = 400; // milliseconds without a key before a question is counted

const field = () => document.querySelector("#wb-question textarea");

export function undo(element) {
  const button = make("button", { type: "button", class: "wb-undo", text: "Undo", title: "Take the last question back", on: { click: () => act({ kind: "undo" }) } });
  element.replaceChildren(make("div", { class: "wb" }, button));
  const paint = () => { button.disabled = !page.state || page.state.busy || !page.state.columns.some((data) => data.messages.length); };
  listen("state", paint);
  listen("compose", (text) => {
    const area = field();
    area.value = text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  });
  paint();
}

export function composer(element) {
  const line = make("p", { class: "wb-caption wb-fits", role: "status" });
  element.replaceChildren(make("div", { class: "wb" }, line));
  let timer = 0;
  let turn = 0;
  const check = async () => {
    const mine = ++turn;
    const text = field() ? field().value : "";
    const longest = Number(document.querySelector("#wb-settings input[type=number]")?.value) || 0;
    const close = (data) => data.context && data.used + text.length * MOST_TOKENS_A_CHARACTER + longest > data.context;
    if (!text.trim() || !page.state || !page.state.columns.some(close)) return put(line, "");
    const found = await act({ kind: "fits", text, longest });
    if (mine === turn) put(line, found.fits || "");
  };
  document.addEventListener("input", (event) => {
    if (event.target !== field()) return;
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE);
  });
  listen("state", () => { if (line.textContent && !(field() && field().value.trim())) { turn++; put(line, ""); } });
}
