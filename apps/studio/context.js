// Context length: its sections in their order.

import { sections } from "./sections.js";
import { retrieval } from "./retrieval.js";
import { positions } from "./positions.js";
import { reach } from "./reach.js";
import { heads } from "./heads.js";
import { cachelab } from "./cachelab.js";

const SECTIONS = [retrieval, positions, reach, heads, cachelab];

export function context(element, server, upload) {
  sections(element, server, upload, "Context length", SECTIONS);
}
