// Compare & facts: its sections in their order.

import { sections } from "./sections.js";
import { differences } from "./differences.js";
import { claims } from "./claims.js";
import { facts } from "./facts.js";
import { promptlab } from "./promptlab.js";
import { memory } from "./memory.js";
import { which } from "./which.js";
import { behaviour } from "./behaviour.js";
import { guardrails } from "./guardrails.js";

const SECTIONS = [differences, which, facts, claims, promptlab, memory, behaviour, guardrails];

export function compare(element, server, upload) {
  sections(element, server, upload, "Compare & facts", SECTIONS);
}
