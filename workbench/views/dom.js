// Building page elements from text that nobody has to trust: strings only ever become text nodes.

/** A new element; `props` may hold class, text, dataset, style, on (event -> listener) and attributes. */
export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** A new SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

let wanted = 0; // pixels a CSS pixel, while a figure is made

/** Runs `work` with canvases drawn at `density` pixels a CSS pixel instead of the screen's. */
export function atDensity(density, work) {
  wanted = density;
  try {
    return work();
  } finally {
    wanted = 0;
  }
}

/** Gives a canvas `width` x `height` CSS pixels at the screen's own resolution; returns its 2D context. */
export function sized(canvas, width, height) {
  const scale = wanted || window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.imageSmoothingEnabled = false;
  return context;
}

let bubble = null;

/** One tooltip for the page, beside the pointer or under an element; lines are [label, value] or plain text. */
export const tip = {
  show(x, y, title, lines = []) {
    if (!bubble) {
      bubble = make("div", { class: "wb-tip", role: "tooltip" });
      document.body.append(bubble);
    }
    bubble.replaceChildren(make("div", { class: "wb-tip-title", text: title }));
    for (const line of lines) {
      if (Array.isArray(line)) bubble.append(make("div", { class: "wb-tip-line" }, make("span", { text: line[0] }), make("b", { text: line[1] })));
      else bubble.append(make("div", { class: "wb-tip-note", text: line }));
    }
    bubble.style.display = "block";
    const box = bubble.getBoundingClientRect();
    const left = Math.min(Math.max(6, x + 14), window.innerWidth - box.width - 8);
    const below = y + 18 + box.height < window.innerHeight;
    bubble.style.left = `${left}px`;
    bubble.style.top = `${below ? y + 18 : Math.max(4, y - box.height - 12)}px`;
  },
  hide() {
    if (bubble) bubble.style.display = "none";
  },
};

/** Runs `draw` when the element has a width, again after its width changed and when it comes back into the page, which may have
 * been drawn for while it was out; returns the function that ends it. */
export function onWidth(element, draw) {
  let last = 0;
  let pending = 0;
  const observer = new ResizeObserver(() => {
    const width = Math.round(element.clientWidth);
    if (width === last) return;
    last = width;
    cancelAnimationFrame(pending);
    if (width) pending = requestAnimationFrame(draw);
  });
  observer.observe(element);
  return () => observer.disconnect();
}

/** A row of buttons of which one is on; `choose(value)` is called on a change. Returns {element, set}. */
export function choice(label, options, value, choose) {
  const group = make("div", { class: "wb-choice", role: "radiogroup", "aria-label": label });
  const buttons = new Map();
  const set = (next) => {
    for (const [key, button] of buttons) {
      button.setAttribute("aria-checked", String(key === next));
      button.tabIndex = key === next ? 0 : -1;
    }
  };
  for (const [key, text, hint] of options) {
    const button = make("button", { type: "button", role: "radio", text, title: hint, on: { click: () => { set(key); choose(key); } } });
    buttons.set(key, button);
    group.append(button);
  }
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const keys = [...buttons.keys()];
    const now = keys.findIndex((key) => buttons.get(key).getAttribute("aria-checked") === "true");
    const next = keys[(now + step + keys.length) % keys.length];
    buttons.get(next).focus();
    buttons.get(next).click();
  });
  set(value);
  return { element: group, set };
}

/** A switch with a text; `change(on)` is called on a change. */
export function toggle(text, on, change, hint) {
  const box = make("input", { type: "checkbox", on: { change: () => change(box.checked) } });
  box.checked = on;
  return make("label", { class: "wb-toggle", title: hint }, box, make("span", { text }));
}
