// The conversations of this tab, and files: export what was said, import what was exported.

import { make } from "./dom.js";
import { page, listen, tell } from "./wire.js";
import { act } from "./tab.js";

const LARGEST = 8 * 2 ** 20; // bytes of a file, as the server has it

/** What a conversation is called: its number and first question. */
function name(thread) {
  return thread.recorded ? `Recorded: ${thread.title}` : `${thread.number}. ${thread.title}`;
}

async function read(file) {
  if (file.size > LARGEST) return tell("say", `${file.name} is too large: at most 8 MiB can be imported.`);
  await act({ kind: "import", text: await file.text() });
}

export function menu(element) {
  const picker = make("select", { class: "wb-threads", "aria-label": "Conversations of this tab", on: { change: () => act({ kind: "thread", number: Number(picker.value) }).then(paint) } });
  const input = make("input", { type: "file", accept: ".json,application/json", class: "wb-hidden", tabindex: "-1", "aria-label": "Conversation file" });
  input.addEventListener("change", async () => {
    if (input.files[0]) await read(input.files[0]);
    input.value = "";
  });
  const exporting = make("button", { type: "button", class: "wb-more", text: "Export", title: "All versions with their settings, as JSON", on: { click: () => act({ kind: "export" }) } });
  const importing = make("button", { type: "button", class: "wb-more", text: "Import", title: "An exported conversation, or a list of messages", on: { click: () => input.click() } });
  element.replaceChildren(make("div", { class: "wb wb-menu-line" }, picker, exporting, importing, input));
  let drawn = "";
  const paint = () => {
    const state = page.state;
    if (!state) return;
    picker.hidden = state.threads.length < 2;
    const seen = JSON.stringify(state.threads);
    if (seen !== drawn) {
      drawn = seen;
      picker.replaceChildren(...state.threads.map((thread) => make("option", { value: thread.number, text: name(thread) })));
    }
    picker.value = String(state.number);
  };
  listen("state", paint);
  paint();
}
