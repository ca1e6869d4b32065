// The recorded exchanges, offered beside the examples. props.value: {exchanges: [{id, title, models, runs, here}]}.

import { make } from "./dom.js";
import { act } from "./tab.js";
import { page, listen } from "./wire.js";

/** Where an exchange of other models than the page's can be looked into. */
function address(exchange) {
  const [run, other] = exchange.runs;
  return `/runs?run=${encodeURIComponent(run)}${other ? `&with=${encodeURIComponent(other)}` : ""}`;
}

export function recordings(element, props) {
  const exchanges = (props.value && props.value.exchanges) || [];
  if (!exchanges.length) return;
  const list = make("div", { class: "wb-menu wb-recordings", role: "menu", "aria-label": "Recorded exchanges" });
  list.hidden = true;
  const button = make("button", { type: "button", class: "wb-recordings-button", text: "Recorded exchanges", "aria-haspopup": "menu", "aria-expanded": "false", on: { click: () => show(list.hidden) } });
  const items = exchanges.map((one) => {
    const parts = [make("span", { text: one.title }), make("span", { class: "wb-caption", text: `recorded from ${one.models.join(" and ")}${one.here ? "" : ", opens on the Runs page"}` })];
    const item = one.here
      ? make("button", { type: "button", role: "menuitem", tabindex: "-1", on: { click: () => { show(false); act({ kind: "recorded", id: one.id }); } } }, ...parts)
      : make("a", { role: "menuitem", tabindex: "-1", href: address(one) }, ...parts);
    return item;
  });
  const holder = make("span", { class: "wb wb-menu-holder" }, button, list);
  const outside = (event) => { if (!holder.contains(event.target)) show(false); };

  function show(on) {
    list.hidden = !on;
    button.setAttribute("aria-expanded", String(on));
    document.removeEventListener("pointerdown", outside, true);
    if (!on) return;
    document.addEventListener("pointerdown", outside, true);
    items[0].focus({ preventScroll: true });
  }

  holder.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") { show(false); button.focus(); } else if (to !== undefined) items[(to + items.length) % items.length].focus();
    else return;
    event.preventDefault();
  });
  page.recordings = exchanges.length;
  listen("recordings", () => { button.scrollIntoView({ block: "nearest" }); show(true); });
  list.append(...items);
  element.replaceChildren(holder);
}
