// On Chat & inspect, one line about what the server keeps: how many runs, which had to go, which will be next.

import { make } from "./dom.js";
import { modelName } from "./data.js";
import { page, listen } from "./wire.js";
import { key } from "./tab.js";

/** Fetches a file that the server has written to `path` for the visitor. */
export function fetched(file) {
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  const link = make("a", { href: new URL(`/gradio_api/file=${path}`, location.href).href, download: file.name });
  document.body.append(link);
  link.click();
  link.remove();
}

const named = (run) => `“${run.question}” (${modelName(run.model)})`;

export function kept(element, server) {
  const line = make("p", { class: "wb wb-kept", role: "status" });
  element.replaceChildren(line);
  let seen = "";

  async function look() {
    const tab = await key();
    const { runs, gone, next, each } = await server.listed({ tab });
    const mine = runs.filter((run) => run.mine).length;
    line.replaceChildren();
    if (mine) line.append(make("a", { href: "/runs", class: "wb-more", text: `${mine} of ${each} runs kept` }));
    if (gone.length) line.append(` ${named(gone[0])}${gone.length > 1 ? ` and ${gone.length - 1} more` : ""} had to make room and can no longer be opened.`, button("Understood", async () => { await server.seen({ tab }); await look(); }));
    const last = runs.find((run) => run.run === next);
    if (last) line.append(` The next run takes the place of ${named(last)}.`, button("Save its file first", async () => {
      const file = await server.export({ tab, run: next, format: "inspection" });
      if (file.error) line.append(` ${file.error}`);
      else fetched(file);
    }));
  }

  const button = (text, work) => make("button", { type: "button", class: "wb-more", text, on: { click: work } });
  listen("state", (state) => {
    const now = state.busy ? seen : state.columns.map((column) => column.run).join(" ");
    if (now === seen) return;
    seen = now;
    look();
  });
  if (page.state) {
    seen = page.state.columns.map((column) => column.run).join(" ");
    look();
  }
}
