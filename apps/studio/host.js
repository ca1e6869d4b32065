// The place of the inspector: it shows the selected token of the columns' runs and asks the server for their insides.

import { make } from "./dom.js";
import { counterpart, opposite } from "./alignment.js";
import { draw as drawInspector } from "./inspector.js";
import { page, listen, tell } from "./wire.js";
import { linked, fitting, mirror, unlink, keep } from "./permalink.js";
import { keyed, returning } from "./tab.js";

const PATIENCE = 2500; // milliseconds that a link waits for the tab's own state

export function inspect(element, given) {
  const server = keyed(given);
  const ask = (run, request) => server.answer({ run, ...request });
  page.ask = ask;
  const source = {
    open: (run) => ask(run, { kind: "open" }),
    layer: (run, layer) => ask(run, { kind: "layer", layer }),
    row: (run, token, layer) => ask(run, { kind: "row", token, layer }),
    lens: (run, token) => ask(run, { kind: "lens", token }),
    next: (run, token) => ask(run, { kind: "next", token }),
    difference: (run, other, request) => server.difference({ ...request, run, other }),
    ...Object.fromEntries(["data", "code", "page"].map((kind) => [kind, (run, request) => ask(run, { kind, ...request })])),
  };
  const box = make("div", {});
  const notice = make("p", { class: "wb-message", role: "status" });
  element.replaceChildren(make("div", { class: "wb wb-card-plain" }, box, notice));
  const runs = () => (page.state ? page.state.columns : []).filter((data) => data.run).map(({ run, run_title: title, tone }) => ({ run, title, tone }));
  let pair = null; // how the tokens of the two runs belong together
  /** Learns that of the runs shown now, and marks in the other strip what stands for the selected token. */
  async function align() {
    const shown = runs().map((run) => run.run);
    if (shown.length !== 2) return (pair = null);
    if (!pair || pair.run !== shown[0] || pair.other !== shown[1]) {
      const found = await source.difference(shown[0], shown[1], { part: "aligned" });
      if (shown.join() !== runs().map((run) => run.run).join()) return;
      pair = found.error ? null : found;
    }
    mark(inspector.selection);
  }

  function mark({ run, token }) {
    const known = pair && (run === pair.run || run === pair.other) && token !== null && token !== undefined;
    tell("peer", known ? { run: run === pair.run ? pair.other : pair.run, token: opposite(pair, run, token) } : null);
  }

  const inspector = drawInspector(box, runs(), {
    source,
    select: (selection) => tell("select", { selection, from: "inspector" }),
    turned: () => setTimeout(mirrored),
    preferred: (run, selection) => (pair ? counterpart(pair, run, selection) : selection.token),
    measure: ({ run, other }) => tell("measure", { run, other }),
  });
  let listed = "";
  listen("state", () => {
    const key = runs().map((run) => run.run).join(" ");
    if (key === listed) return;
    inspector.update(runs());
    listed = key;
    align();
  });
  listen("measured", ({ run, other }) => {
    inspector.refresh(run);
    if (runs().some((shown) => shown.run === other)) inspector.select({});
  });
  listen("select", ({ selection, from, live }) => {
    notice.textContent = live ? "This reply is still being written; its insides open when it ends." : "";
    if (!live) mark(selection);
    if (from === "inspector" || live || !selection.run) return;
    inspector.select(selection);
  });

  const mirrored = () => {
    const { selection } = inspector;
    mirror(selection, inspector.tab, runs().map((run) => run.run).find((run) => run !== selection.run));
  };
  let link = linked();
  let moved = false; // the address stays plain until something was chosen
  listen("select", ({ from, live }) => {
    moved ||= from !== "state";
    if (!live && !link && (moved || location.search)) setTimeout(mirrored);
  });
  keep(mirrored);

  /** Shows what the address asks for: a run of these columns here, another one on the Runs page. */
  async function follow() {
    const asked = link;
    const found = asked.run ? await ask(asked.run, { kind: "open" }) : { error: "It names no run." };
    link = null;
    if (!found.error && !runs().some((run) => run.run === asked.run)) return location.replace(`/runs${location.search}`);
    if (found.error) {
      unlink();
      notice.textContent = `The link leads to a run that cannot be opened. ${found.error}`;
      return;
    }
    tell("select", { selection: { run: asked.run, difference: asked.difference, ...fitting(asked, found) }, from: "link" });
    inspector.turn(asked.tab);
  }

  if (link) {
    const began = page.state ? page.state.made : 0; // what every tab sees first; one that was here before gets its own later
    let followed = false;
    const once = () => {
      if (followed) return;
      followed = true;
      follow();
    };
    listen("state", (state) => { if (!returning() || (began && state.made !== began)) setTimeout(once); });
    setTimeout(once, page.state && !returning() ? 0 : PATIENCE);
  }
  if (page.state && page.state.selection.run) inspector.select(page.state.selection);
  align();
}
