// A page of sections, one shown at a time; the address names it (#claims). The server's side is sections.py.
// A section: {id, title, hint, draw(element, host), loads: whether drawing it needs the models' weights}; host: {models, ask(name, request), job(name, request, told), upload}.
// `draw` runs once, when the section is first shown; what it throws is a sentence.

import { make } from "./dom.js";
import { key } from "./tab.js";
import { job } from "./job.js";

export function sections(element, server, upload, title, parted) {
  const ask = async (name, request = {}) => {
    let found;
    try {
      found = await server[name]({ tab: await key(), ...request });
    } catch {
      throw new Error("The server did not answer. Is it still running?");
    }
    if (found.error) throw new Error(found.error);
    return found;
  };
  const host = { models: [], ask, job: (name, request, told) => job(server, name, request, told), upload };
  const known = ask("page_models").then((found) => { host.models = found.models; });
  const tabs = make("div", { class: "wb-tabs wb-sections", role: "tablist", "aria-label": "Sections" });
  const panels = make("div");
  element.replaceChildren(make("div", { class: "wb wb-sectioned" }, make("h2", { class: "wb-hidden", text: title }), tabs, panels));
  const parts = parted.map((section) => {
    const button = make("button", { type: "button", role: "tab", id: `wb-tab-${section.id}`, "aria-controls": `wb-section-${section.id}`, text: section.title, on: { click: () => show(section.id, true) } });
    const body = make("div", { class: "wb-section-body" });
    const note = make("p", { class: "wb-message", role: "status" });
    const panel = make("section", { class: "wb-panel wb-card-plain", role: "tabpanel", id: `wb-section-${section.id}`, "aria-labelledby": `wb-tab-${section.id}` },
      make("p", { class: "wb-section-hint wb-message", text: section.hint }), note, body);
    panel.hidden = true;
    tabs.append(button);
    panels.append(panel);
    return { section, button, panel, body, note, drawn: false };
  });

  async function show(id, mine = false) {
    const part = parts.find((one) => one.section.id === id) || parts[0];
    for (const one of parts) {
      one.panel.hidden = one !== part;
      one.button.setAttribute("aria-selected", String(one === part));
      one.button.tabIndex = one === part ? 0 : -1;
    }
    part.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (mine) history.replaceState(null, "", `${location.pathname}${location.search}#${part.section.id}`);
    if (part.drawn) return;
    part.drawn = true;
    try {
      part.note.textContent = "Loading…";
      await known;
      if (part.section.loads) {
        const missing = (await ask("page_models")).models.filter((model) => !model.dtype).map((model) => model.title);
        if (missing.length) part.note.textContent = `Loading ${missing.join(" and ")}. The first time takes a while…`;
      }
      await part.section.draw(part.body, host);
      part.note.textContent = "";
    } catch (error) {
      part.drawn = false; // shown again, it tries again
      part.note.textContent = error.message;
    }
  }

  tabs.addEventListener("keydown", (event) => {
    const now = parts.findIndex((one) => one.button === document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: parts.length - 1 }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    const next = parts[(to + parts.length) % parts.length];
    next.button.focus();
    show(next.section.id, true);
  });
  addEventListener("hashchange", () => show(location.hash.slice(1)));
  show(location.hash.slice(1));
}
