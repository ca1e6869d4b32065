// The Runs page: what this tab has kept and what was recorded, as a list; one run, or two side by side, opened under it.
// A run: {run, mine, kind, origin, made, model, question, reply, tokens, new, settings, bytes} (apps/studio/run_facts.py).

import { make, tip } from "./dom.js";
import { bytes, whole, modelName } from "./data.js";
import { draw as drawTokens } from "./tokens.js";
import { counterpart, opposite } from "./alignment.js";
import { draw as drawInspector } from "./inspector.js";
import { linked, fitting, mirror, unlink } from "./permalink.js";
import { key, keyed } from "./tab.js";
import { fetched } from "./kept.js";

const FILES = [
  ["inspection", "Inspection file", "Everything of it; opens here, in another workbench and with workbench.open"],
  ["html", "HTML report", "One page with every view that needs no server"],
  ["ipynb", "Notebook", "A Jupyter notebook that makes the run again and shows each panel"],
  ["py", "Python", "A program that makes the run again"],
];
const SOURCES = { chat: "asked here", file: "from a file", recorded: "recorded" };

/** The time of a run: today's by the clock, others by the day. */
function when(made) {
  if (!made) return "";
  const date = new Date(1000 * made);
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** What the server said of an upload that it refused ("HTTP 507: {\"detail\": a sentence}"), "" when it said nothing. */
function refusal(error) {
  try {
    return JSON.parse(/\{.*\}/s.exec(error.message)[0]).detail;
  } catch {
    return "";
  }
}

export function runs(element, given, upload) {
  const server = keyed(given);
  let shelf = { runs: [], gone: [], next: "", each: 0, held: 0 };
  let chosen = []; // ids ticked for comparison
  let shown = []; // ids opened
  const ask = async (name, request = {}) => {
    const found = await server[name]({ tab: await key(), ...request });
    if (found.error) throw new Error(found.error);
    return found;
  };

  const search = make("input", { type: "search", class: "wb-search", placeholder: "Search questions, replies, models", "aria-label": "Search the runs", on: { input: () => list() } });
  const file = make("input", { type: "file", class: "wb-hidden", accept: ".inspection,.safetensors", tabindex: "-1", "aria-label": "A file of an inspection" });
  const opener = make("button", { type: "button", class: "wb-button", text: "Open a file…", title: "An .inspection file made anywhere: by workbench inspect, by Inspection.save, or recorded on a GPU", on: { click: () => file.click() } });
  const compare = make("button", { type: "button", class: "wb-button", text: "Compare two", disabled: true, on: { click: () => act(() => open(chosen)) } });
  const note = make("p", { class: "wb-message", role: "status" });
  const warning = make("div", { class: "wb-warning", role: "status" });
  const rows = make("tbody");
  const held = make("p", { class: "wb-caption" });
  const table = make("table", { class: "wb-runs" }, make("caption", { class: "wb-hidden", text: "Saved and recorded runs, newest first" }),
    make("thead", {}, make("tr", {}, ...["Compare", "Made", "Model", "Question and reply", "Tokens", "Actions"].map((text, i) => make("th", { scope: "col", class: i === 0 ? "wb-narrow" : "" }, make("span", { class: i === 0 || i === 5 ? "wb-hidden" : "", text }))))), rows);
  const empty = make("p", { class: "wb-message", text: "No run fits the search." });
  const view = make("section", { class: "wb-run-view", "aria-label": "The opened run" });
  view.hidden = true;
  element.replaceChildren(make("div", { class: "wb wb-runs-page" },
    make("div", { class: "wb-card-plain" },
      make("div", { class: "wb-head-line" }, make("h2", { text: "Runs" }), make("div", { class: "wb-runs-tools" }, search, compare, opener, file)),
      held, warning, note, table, empty),
    view));

  /** Does `work`; what goes wrong is a sentence. */
  async function act(work, said = "") {
    note.textContent = said;
    try {
      await work();
      if (note.textContent === said) note.textContent = "";
    } catch (error) {
      note.textContent = error.message;
    }
  }

  async function refresh() {
    shelf = await ask("listed");
    chosen = chosen.filter((id) => shelf.runs.some((run) => run.run === id));
    warn();
    list();
  }

  /** What had to go, and what will be next. */
  function warn() {
    warning.replaceChildren();
    const next = shelf.runs.find((run) => run.run === shelf.next);
    if (shelf.gone.length) {
      const names = shelf.gone.slice(0, 3).map((run) => `“${run.question}” (${modelName(run.model)}, ${when(run.made)})`).join(", ");
      const rest = shelf.gone.length > 3 ? ` and ${shelf.gone.length - 3} more` : "";
      warning.append(make("p", {}, `${shelf.gone.length > 1 ? "These runs" : "This run"} had to make room and can no longer be opened: ${names}${rest}. `, make("button", { type: "button", class: "wb-more", text: "Understood", on: { click: () => act(async () => { await ask("seen"); await refresh(); }) } })));
    }
    if (next) warning.append(make("p", {}, `There is no room for more: the next run takes the place of “${next.question}” (${modelName(next.model)}, ${when(next.made)}). `, make("button", { type: "button", class: "wb-more", text: "Save its file first", on: { click: () => take([next.run], "inspection") } })));
    warning.hidden = !warning.childElementCount;
  }

  function list() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fit = shelf.runs.filter((run) => words.every((word) => `${run.question} ${run.reply} ${run.model} ${run.settings} ${run.kind} ${SOURCES[run.origin]}`.toLowerCase().includes(word)));
    rows.replaceChildren(...fit.map(row));
    table.hidden = !fit.length;
    empty.hidden = fit.length > 0;
    const mine = shelf.runs.filter((run) => run.mine).length;
    opener.hidden = !shelf.largest;
    const recorded = shelf.runs.filter((run) => run.origin === "recorded").length;
    held.textContent = `${mine} of ${shelf.each} kept for this tab, ${bytes(shelf.held)} of the server's memory${recorded ? `; ${whole(recorded)} recorded ones come with the workbench` : ""}. What was asked here stays when the tab closes, until newer runs need the room or the server stops; a file keeps it.`;
    compare.disabled = chosen.length !== 2;
    compare.textContent = chosen.length === 2 ? "Compare these two" : "Compare two";
  }

  function row(run) {
    const label = `${modelName(run.model)}: ${run.question}`;
    const tick = make("input", { type: "checkbox", "aria-label": `Compare ${label}`, on: { change: () => {
      chosen = tick.checked ? [...chosen, run.run].slice(-2) : chosen.filter((id) => id !== run.run);
      list();
    } } });
    tick.checked = chosen.includes(run.run);
    const text = make("button", { type: "button", class: "wb-run-open", title: "Open it here", on: { click: () => act(() => open([run.run])) } },
      make("span", { class: "wb-run-question", dir: "auto", text: run.question || "(no question)" }), make("span", { class: "wb-run-reply", dir: "auto", text: run.reply || "nothing was written" }));
    return make("tr", { class: shown.includes(run.run) ? "wb-on" : "", dataset: { run: run.run } },
      make("td", { class: "wb-narrow" }, tick),
      make("td", { class: "wb-run-made" }, make("span", { text: when(run.made) }), make("span", { class: "wb-caption", text: `${run.kind}, ${SOURCES[run.origin] || run.origin}` })),
      make("td", {}, make("span", { class: "wb-badge", text: modelName(run.model), title: run.model }), make("span", { class: "wb-caption wb-block-line", text: run.settings })),
      make("td", { class: "wb-run-text" }, text),
      make("td", { class: "wb-run-tokens" }, make("span", { text: `${whole(run.tokens)} + ${whole(run.new)}` }), make("span", { class: "wb-caption", text: bytes(run.bytes) })),
      make("td", { class: "wb-run-actions" }, menu(run, label)));
  }

  function menu(run, label) {
    const list = make("div", { class: "wb-menu", role: "menu", "aria-label": `Take away ${label}` });
    list.hidden = true;
    const button = make("button", { type: "button", class: "wb-action", text: "save", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `Save ${label}`, on: { click: () => toggle(list.hidden) } });
    const items = FILES.map(([format, name, hint]) => make("button", { type: "button", role: "menuitem", tabindex: "-1", title: hint, text: name, on: { click: () => { toggle(false); button.focus(); take([run.run], format); } } }));
    const holder = make("span", { class: "wb-menu-holder" }, button, list);
    const outside = (event) => { if (!holder.contains(event.target)) toggle(false); };
    function toggle(on) {
      list.hidden = !on;
      button.setAttribute("aria-expanded", String(on));
      document.removeEventListener("pointerdown", outside, true);
      if (!on) return;
      tip.hide();
      document.addEventListener("pointerdown", outside, true);
      items[0].focus({ preventScroll: true });
    }
    holder.addEventListener("keydown", (event) => {
      if (list.hidden) return;
      const at = items.indexOf(document.activeElement);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
      if (event.key === "Escape") { toggle(false); button.focus(); } else if (to !== undefined) items[(to + items.length) % items.length].focus();
      else return;
      event.preventDefault();
    });
    list.append(...items);
    const parts = [holder];
    if (run.mine) {
      const drop = make("button", { type: "button", class: "wb-action", text: "delete", "aria-label": `Delete ${label}` });
      let sure = 0;
      drop.addEventListener("click", () => {
        if (!sure) {
          drop.textContent = "really delete?";
          sure = setTimeout(() => { sure = 0; drop.textContent = "delete"; }, 4000);
          return;
        }
        clearTimeout(sure);
        act(async () => {
          await ask("remove", { run: run.run });
          if (shown.includes(run.run)) close();
          await refresh();
        });
      });
      parts.push(drop);
    }
    return make("div", { class: "wb-run-buttons" }, ...parts);
  }

  function take(ids, format) {
    return act(async () => {
      const found = await ask("export", { runs: ids, format });
      fetched(found);
      note.textContent = `${found.name} is on its way.`;
    }, "Writing the file…");
  }

  function close() {
    shown = [];
    view.hidden = true;
    view.replaceChildren();
    unlink();
  }

  const answers = (kind) => (run, request) => server.answer({ run, kind, ...request });

  /** Opens one run, or two side by side, under the list; `link` is a selection to begin with. */
  async function open(ids, link = null) {
    const parts = await Promise.all(ids.map(async (id) => {
      const found = await server.answer({ run: id, kind: "open" });
      if (found.error) throw new Error(found.error);
      return { id, open: found };
    }));
    shown = ids;
    const known = ids.map((id, i) => {
      const model = parts[i].open.tokens.model;
      return { run: id, title: modelName(model), tone: "ab"[i] };
    });
    if (known.length > 1 && known[0].title === known[1].title) known.forEach((run, i) => { run.title = `${run.title} · ${"AB"[i]}`; });
    const source = {
      open: async (run) => (parts.find((part) => part.id === run) || { open: await server.answer({ run, kind: "open" }) }).open,
      layer: (run, layer) => server.answer({ run, kind: "layer", layer }),
      row: (run, token, layer) => server.answer({ run, kind: "row", token, layer }),
      lens: (run, token) => server.answer({ run, kind: "lens", token }),
      next: (run, token) => server.answer({ run, kind: "next", token }),
      data: answers("data"), code: answers("code"), page: answers("page"),
    };
    if (server.difference) source.difference = (run, other, request) => server.difference({ ...request, run, other });
    const strips = new Map();
    const inspectorBox = make("div");
    let pair = null; // how the tokens of the two belong together
    const mark = (selection) => {
      for (const [id, strip] of strips) {
        strip.select(selection);
        if (pair) strip.peer(id === selection.run ? null : opposite(pair, selection.run, selection.token));
      }
    };
    const mirrored = () => mirror(inspector.selection, inspector.tab, ids.find((id) => id !== inspector.selection.run));
    let inspector = null;
    const columns = parts.map(({ id, open: found }, i) => {
      const strip = make("div");
      const facts = shelf.runs.find((run) => run.run === id);
      const bound = Object.fromEntries(["data", "code", "page"].map((kind) => [kind, async (request) => {
        const answer = await source[kind](id, request);
        if (answer.error) throw new Error(answer.error);
        return answer;
      }]));
      const prompt = found.tokens.prompt_length;
      strips.set(id, drawTokens(strip, found.tokens, { source: bound, select: (part) => { mark(part); inspector.select(part); setTimeout(mirrored); }, selection: { token: i ? null : Math.min(prompt, found.tokens.tokens.length - 1) } }));
      return make("div", { class: "wb-card-plain" },
        make("h3", {}, make("span", { class: `wb-badge wb-tone-${known[i].tone}`, text: known[i].title }), make("span", { class: "wb-caption", text: facts ? `${when(facts.made)} ${facts.settings}` : "" })),
        facts ? make("p", { class: "wb-run-said", dir: "auto", text: facts.question }) : null, facts ? make("p", { class: "wb-run-said wb-run-answered", dir: "auto", text: facts.reply }) : null, strip);
    });
    view.replaceChildren(make("div", { class: "wb-run-bar" }, make("h2", { text: ids.length > 1 ? "Two runs" : "The run" }), make("button", { type: "button", class: "wb-action", text: "close", on: { click: () => { close(); list(); } } })),
      make("div", { class: "wb-run-grid" }, make("div", { class: "wb-run-columns" }, ...columns), make("div", { class: "wb-card-plain" }, inspectorBox)));
    view.hidden = false;
    const first = parts[0].open.tokens;
    const start = { run: ids[0], token: Math.min(first.prompt_length, first.tokens.length - 1), layer: null, ...(link ? { difference: link.difference && ids.length > 1, ...fitting(link, parts[0].open) } : { difference: ids.length > 1 && Boolean(source.difference) }) };
    inspector = drawInspector(inspectorBox, known, { source, selection: start, tab: link ? link.tab : null, select: (selection) => { mark(selection); setTimeout(mirrored); }, turned: () => setTimeout(mirrored), preferred: (run, selection) => (pair ? counterpart(pair, run, selection) : selection.token) });
    mark(start);
    if (ids.length === 2 && source.difference) {
      source.difference(ids[0], ids[1], { part: "aligned" }).then((found) => {
        if (found.error || shown !== ids) return;
        pair = found;
        mark(inspector.selection);
      });
    }
    mirrored();
    list();
    if (!link) view.scrollIntoView({ block: "start", behavior: "auto" });
  }

  file.addEventListener("change", () => {
    const [given] = file.files;
    file.value = "";
    if (given) bring(given);
  });
  const bring = (given) => act(async () => {
    let sent;
    try {
      sent = await upload(given);
    } catch (error) {
      throw new Error(`${given.name} could not be sent: ${refusal(error) || "it is larger than this server takes, or the connection broke."}`);
    }
    const found = await ask("open", { path: sent.path });
    await refresh();
    await open([found.run]);
  }, `Reading ${given.name}…`);
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    const [given] = event.dataTransfer.files;
    if (given && !opener.hidden) bring(given);
  });

  act(async () => {
    await refresh();
    const link = linked();
    if (!link) return;
    try {
      const beside = link.with && link.with !== link.run ? await server.answer({ run: link.with, kind: "open" }) : null;
      await open(beside && !beside.error ? [link.run, link.with] : [link.run], link);
      if (beside && beside.error) note.textContent = `The second run of the link cannot be opened. ${beside.error}`;
    } catch (error) {
      unlink();
      throw new Error(`The link leads to a run that cannot be opened. ${error.message}`);
    }
  });
}
