// The tab: its key, which the server knows it by, and what it asks of the server besides replies.

import { save } from "./files.js";
import { tell } from "./wire.js";

const NAME = "workbench-tab";
let mine = null;
let sure = null;
let server = null;

function kept() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null; // a browser may forbid storage; a reload then begins anew
  }
}

function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
  try {
    sessionStorage.setItem(NAME, text);
  } catch {
    // see above
  }
  return text;
}

let known = null;

/** Whether this tab has been here before, so that the server may know it. */
export function returning() {
  known ??= kept() !== null;
  return known;
}

function own() {
  returning();
  mine ||= kept() || fresh();
  return mine;
}

/** Holds the key as long as this page lives; false when another page holds it. */
function hold(key) {
  return new Promise((done) => {
    navigator.locks.request(`${NAME}-${key}`, { ifAvailable: true }, (lock) => {
      done(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

async function claim() {
  if (!navigator.locks) return own(); // a page that came by plain http from another machine
  for (let i = 0; i < 20; i++) {
    if (await hold(own())) return mine;
    await new Promise((go) => setTimeout(go, 50)); // the page that a reload leaves holds it for a moment
  }
  mine = fresh(); // a duplicated tab: the browser has copied the other one's key
  await hold(mine);
  return mine;
}

/** The tab's key: unguessable, the same after a reload and on every page of the app, another one in every tab. */
export function key() {
  sure ||= claim();
  return sure;
}

/** The functions of the server with the tab's key put to what they are asked: runs are shown to their own tab. */
export function keyed(server) {
  return new Proxy(server, { get: (all, name) => (typeof all[name] === "function" ? async (request) => all[name]({ tab: await key(), ...request }) : all[name]) });
}

export function serve(given) {
  server = given;
}

/** Asks the server for what needs no model (apps/studio/actions.py) and does what it answers; resolves to the answer. */
export async function act(request) {
  let found;
  try {
    found = await server.act({ key: await key(), ...request });
  } catch {
    found = { error: "The server did not answer. Is it still running?" };
  }
  if (found.state) tell("take", found.state);
  if (found.error || found.say) tell("say", found.error || found.say);
  if (found.text) tell("compose", found.text);
  if (found.file) save(found.file.name, found.file.text, "application/json");
  return found;
}
