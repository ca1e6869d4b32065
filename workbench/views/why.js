// Why a question was answered, or not: which heads read the needle, and how the right tokens rank from layer to layer.

import { make } from "./dom.js";
import { short, rank } from "./data.js";
import { shade, inkOn, onTheme } from "./theme.js";
import { sheet } from "./sheet.js";
import { headMap } from "./headmap.js";

const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);

/** The lens: a row a layer, a column a token of the right answer, its rank in the cell. */
function lens(found, where) {
  const cells = [];
  const paint = () => { for (const [cell, part] of cells) Object.assign(cell.style, { background: shade(part), color: inkOn(part) }); };
  const head = make("tr", {}, make("th", { scope: "col", text: "layer" }), ...found.pieces.map((piece, i) => make("th", { scope: "col", class: found.told[i] ? "wb-told" : "", text: short(piece, 9), title: found.told[i] ? "stands in the needle" : "does not stand in the needle" })));
  const body = found.rank.map((row, layer) => make("tr", {}, make("th", { scope: "row", text: layer === 0 ? "embedding" : String(layer) }), ...row.map((place, i) => {
    const cell = make("td", { text: rank(place), title: `log-probability ${found.logprob[layer][i].toFixed(2)} nats` });
    cells.push([cell, 1 / place]);
    return cell;
  })));
  paint();
  onTheme(paint);
  return make("div", { class: "wb-sheet-frame", tabindex: "0", role: "region", "aria-label": `Rank of the right token by layer, ${where}` },
    make("table", { class: "wb-ranks" }, make("caption", { class: "wb-hidden", text: "Rank of the right token by layer" }), make("thead", {}, head), make("tbody", {}, ...body)));
}

/** What `questions.mechanism` packs of one answer, with its code where the host knows it; `where` tells it from others for screen readers. */
export function mechanism(found, where) {
  return make("div", { class: "wb-why" },
    make("p", { class: "wb-finding", text: found.said }),
    make("div", { class: "wb-why-maps" },
      headMap("attention on the needle while the answer is written", found.needle_mass),
      headMap("answer's tokens looked up in the needle", found.copied)),
    make("div", { class: "wb-why-maps" },
      found.heads.length ? make("div", {}, make("h3", { text: "Heads that read the needle" }), sheet(`Heads that read the needle, ${where}`, [
        { name: "layer", show: String }, { name: "head", kind: "number", show: String }, { name: "copied", title: "looked up", kind: "number", show: share }, { name: "needle_mass", title: "on the needle", kind: "number", show: share },
      ], found.heads)) : null,
      make("div", {}, make("h3", { text: "Rank of the right token by layer" }), lens(found, where),
        make("p", { class: "wb-caption", text: `Logit lens: the layer's output through the last norm and the unembedding. Underlined: tokens that stand in the needle. ${found.settles === null ? "It does not settle." : `It settles at layer ${found.settles}.`}` }))),
    found.code ? make("details", { class: "wb-own" }, make("summary", { text: "code" }), make("pre", { class: "wb-plain-code", text: found.code })) : null);
}
