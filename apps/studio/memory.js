// What a model needs before any of it is loaded: bytes by part and by length, and the GPUs that hold it.

import { make, svg, toggle } from "./dom.js";
import { bytes, percent, whole } from "./data.js";
import { save } from "./files.js";
import { field, heading, sheet, takeaway } from "./sheet.js";

const TONES = ["var(--wb-b)", "var(--wb-a)", "rgb(var(--wb-tint-entropy))", "var(--wb-muted)"];
const PAUSE = 160;

/** One bar of all parts, and what each is. */
function stack(parts, total) {
  let at = 0;
  const pieces = parts.map(([what, size], i) => {
    const piece = svg("rect", { x: `${(100 * at) / total}%`, y: 0, width: `${(100 * size) / total}%`, height: 26, fill: TONES[i] });
    at += size;
    return piece;
  });
  const names = parts.map(([what, size, text], i) => make("li", {}, make("i", { style: { background: TONES[i] } }), make("span", { text: `${what} ` }), make("b", { text: `${text} · ${bytes(size)}` }), make("span", { class: "wb-caption", text: ` ${percent(size / total)}` })));
  return make("div", { class: "wb-stack" }, svg("svg", { width: "100%", height: 26, role: "img", "aria-label": parts.map(([what, , text]) => `${what} ${text}`).join(", ") }, ...pieces), make("ul", {}, ...names));
}

/** KV cache by length of text: rolling against full. */
function growth(plans) {
  const [width, height, left, bottom, top] = [420, 190, 62, 30, 10];
  const lines = plans.flatMap((plan, i) => [{ name: plan.name, key: "kv_cache", tone: TONES[i ? 0 : 1], rows: plan.by_length }]);
  const [longest, most] = [Math.max(...lines.flatMap((one) => one.rows.map((row) => row.tokens))), Math.max(...plans.flatMap((plan) => plan.by_length.map((row) => row.kv_cache_full)))];
  const x = (tokens) => left + (tokens / longest) * (width - left - 14);
  const y = (size) => height - bottom - (size / most) * (height - bottom - top);
  const word = (text, at, up, anchor, fill = "var(--wb-muted)") => svg("text", { x: at, y: up, "text-anchor": anchor, text, fill, "font-size": 11 });
  const grid = [0, 0.5, 1].flatMap((share) => [svg("line", { x1: left, x2: width - 14, y1: y(share * most), y2: y(share * most), stroke: "var(--wb-line)" }), word(bytes(share * most), left - 6, y(share * most) + 4, "end")]);
  const drawn = lines.flatMap((one) => [svg("polyline", { points: one.rows.map((row) => `${x(row.tokens)},${y(row[one.key])}`).join(" "), fill: "none", stroke: one.tone, "stroke-width": 2 }), ...one.rows.map((row) => svg("circle", { cx: x(row.tokens), cy: y(row[one.key]), r: 2.6, fill: one.tone }))]);
  const key = lines.map((one) => make("li", {}, make("i", { style: { background: one.tone } }), make("span", { text: `${one.name}: ${plans.find((plan) => plan.name === one.name).window ? "rolling" : "all tokens"}` })));
  const said = lines.map((one) => `${one.name} ${bytes(one.rows.at(-1)[one.key])}`).join(", ");
  return make("figure", { class: "wb-curve-box wb-stack" }, svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "wb-curve", role: "img", "aria-label": `KV cache at ${longest} tokens: ${said}` }, ...grid, ...drawn, word("0", left, height - 12, "middle"), word(`${whole(longest)} tokens`, width - 14, height - 12, "end")), make("ul", {}, ...key));
}

export const memory = {
  id: "memory",
  title: "Memory",
  hint: "What a model needs, from its shape alone: no weights are loaded, so the 7B pair can be planned on any machine.",
  async draw(element, host) {
    const known = await host.ask("memory_choices");
    const option = ([value, text]) => make("option", { value, text });
    const model = make("select", {}, ...known.models.map(option), option(["own", "a config.json of your own"]));
    const format = make("select", {}, ...known.formats.map((one) => option([one, one])));
    const bits = make("select", {}, option(["", "as the activations"]), ...known.kv_bits.map((one) => option([one, `${one} bits`])));
    const length = make("input", { type: "number", min: 1, max: 32768, step: 1, value: 32768 });
    const slider = make("input", { type: "range", min: 0, max: 1000, value: 1000, "aria-label": "Tokens of prompt and reply, on a slider" });
    const config = make("textarea", { rows: 5, placeholder: "{\"model_type\": \"mistral\", \"hidden_size\": …}", spellcheck: "false" });
    const pasted = make("label", { class: "wb-field wb-wide" }, make("span", { class: "wb-field-name", text: "config.json, pasted" }), config);
    const [out, failed] = [make("div", { class: "wb-memory-out" }), make("p", { class: "wb-message", role: "alert" })];
    model.value = "v0.2";
    format.value = "bfloat16";
    let context = 32768;
    let capture = false;
    let asked = 0;
    let timer = 0;
    const request = (name, tokens) => ({ model: name, config: config.value, tokens, format: format.value, kv_bits: bits.value ? Number(bits.value) : null, capture });

    /** The plan; a text longer than the model's context is cut to it. */
    async function plan(name, tokens) {
      const found = await host.ask("memory_plan", request(name, null));
      context = name === model.value ? found.context : context;
      return tokens === null || tokens >= found.context ? found : host.ask("memory_plan", request(name, tokens));
    }

    async function update() {
      const mine = ++asked;
      pasted.hidden = model.value !== "own";
      try {
        const tokens = Math.round(Number(length.value));
        if (!(tokens >= 1)) throw new Error("The text has no length; expected a number of tokens, 1 or more.");
        const main = await plan(model.value, tokens);
        const pair = await Promise.all(["v0.1", "v0.2"].map((name) => host.ask("memory_plan", request(name, null))));
        if (mine !== asked) return;
        failed.textContent = "";
        length.max = String(context);
        if (tokens > context) length.value = String(context);
        slider.value = String(Math.round((1000 * Math.log(main.tokens)) / Math.log(context)));
        paint(main, pair);
      } catch (error) {
        if (mine !== asked) return;
        failed.textContent = error.message;
        if (model.value === "own") out.replaceChildren();
      }
    }

    function paint(main, pair) {
      const lengths = main.by_length.map((row) => ({ ...row }));
      const size = { kind: "number", show: (value) => bytes(value) };
      const cards = main.cards.map((card) => ({ ...card }));
      const reach = main.reach ? `Window ${whole(main.window)}: information reaches back ${whole(main.reach)} positions through all layers.` : "No window: every token is kept and seen.";
      out.replaceChildren(
        heading(`${main.name}, ${whole(main.tokens)} tokens: ${main.total[1]} (${bytes(main.total[0])})`, takeaway("memory", lengths),
          make("button", { type: "button", class: "wb-action", text: "code", title: "The Python that plans the same", on: { click: () => save("memory.py", main.code, "text/x-python") } })),
        stack(main.parts, main.total[0]),
        make("p", { class: "wb-caption", text: `${main.extra.map(([what, , text]) => `${what}: ${text}`).join(" · ")}. The last two are never made here. ${reach}` }),
        make("p", { class: "wb-caption", text: `Parameters: ${main.parameters.filter(([, count]) => count).map(([part, count, share]) => `${part} ${whole(count)} (${percent(share)})`).join(", ")}.` }),
        heading("KV cache of the pair by length of text"), growth(pair),
        heading(`${main.name} by length of text`),
        sheet("Bytes by length", [{ name: "tokens", kind: "number", show: (value) => whole(value) }, { name: "weights", ...size }, { name: "kv_cache", title: "KV cache", ...size }, { name: "kv_cache_full", title: "without a window", ...size }, { name: "activations", ...size }, { name: "eager_scores", title: "eager scores, one layer", ...size }], lengths),
        heading("GPUs", takeaway("gpus", cards)),
        sheet("GPUs and the longest text on each", [{ name: "card", title: "GPU" }, { name: "memory_gib", title: "GiB", kind: "number", show: (value) => value.toFixed(0) }, { name: "fits", title: "holds this", show: (fits) => make("span", { class: `wb-badge ${fits ? "wb-good" : ""}`, text: fits ? "yes" : "no" }) }, { name: "longest_tokens", title: "longest text (tokens)", kind: "number", show: (value) => (value ? whole(value) : "weights do not fit") }], cards),
        make("p", { class: "wb-caption", text: "Activations and what a process takes for itself are estimates; weights and cache follow from shape and format. Q8_0 and Q4_K_M are llama.cpp's files, for comparison: this page does not run them." }));
    }

    const soon = () => { clearTimeout(timer); timer = setTimeout(update, PAUSE); };
    for (const input of [model, format, bits]) input.addEventListener("change", update);
    for (const input of [length, config]) input.addEventListener("input", soon);
    slider.addEventListener("input", () => { length.value = String(Math.max(1, Math.round(context ** (Number(slider.value) / 1000)))); soon(); });
    element.replaceChildren(make("div", { class: "wb-fields" }, field("Model", model), field("Tokens of prompt and reply", length), make("span", { class: "wb-slider" }, slider), field("Weights", format), field("KV cache", bits),
      toggle("Capture", false, (on) => { capture = on; update(); }, "Add what the default capture holds at most"), pasted), failed, out);
    await update();
  },
};
