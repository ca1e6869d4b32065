// The place of the inspector: it shows the selected token of the columns' runs and asks the server for their insides.

import { make } from "./dom.js";
import { draw as drawInspector } from "./inspector.js";
import { page, listen, tell } from "./wire.js";

/** The place of `token` of the run `from` in the run `to`: the same index while the ids agree, else the same distance
 * from the start of the reply. */
function counterpart(from, to, token) {
  if (!from || !to || token === null) return to ? to.prompt_length : token;
  if (token < Math.min(from.prompt_length, to.prompt_length)) return token;
  return Math.min(to.tokens.length - 1, to.prompt_length + token - from.prompt_length);
}

export function inspect(element, server) {
  const ask = (run, request) => server.answer({ run, ...request });
  page.ask = ask;
  const source = {
    open: (run) => ask(run, { kind: "open" }),
    layer: (run, layer) => ask(run, { kind: "layer", layer }),
    row: (run, token, layer) => ask(run, { kind: "row", token, layer }),
    lens: (run, token) => ask(run, { kind: "lens", token }),
    next: (run, token) => ask(run, { kind: "next", token }),
    ...Object.fromEntries(["data", "code", "page"].map((kind) => [kind, (run, request) => ask(run, { kind, ...request })])),
  };
  const box = make("div", {});
  const notice = make("p", { class: "wb-message", role: "status" });
  element.replaceChildren(make("div", { class: "wb wb-card-plain" }, box, notice));
  const runs = () => (page.state ? page.state.columns : []).filter((data) => data.run).map(({ run, title, tone }) => ({ run, title, tone }));
  const stripOf = (run) => page.strips.map((strip) => strip()).find((payload) => payload && payload.run === run);
  const inspector = drawInspector(box, runs(), {
    source,
    select: (selection) => tell("select", { selection, from: "inspector" }),
    preferred: (run, selection) => counterpart(stripOf(selection.run), stripOf(run), selection.token),
  });
  let listed = "";
  listen("state", () => {
    const key = runs().map((run) => run.run).join(" ");
    if (key !== listed) inspector.update(runs());
    listed = key;
  });
  listen("select", ({ selection, from, live }) => {
    notice.textContent = live ? "This reply is still being written; its insides open when it ends." : "";
    if (from === "inspector" || live || !selection.run) return;
    inspector.select(selection);
  });
  if (page.state && page.state.selection.run) inspector.select(page.state.selection);
}
