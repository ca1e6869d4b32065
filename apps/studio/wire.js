// What the parts of the page know together, and the wire between them.
// Events: "select": {selection, from, live}; "state": the page's state (apps/studio/state.py):
// {columns: [{model, title, tone, window, theta, dtype, device, context, kv_bytes_per_token, own: {window, theta}, cache, switched,
//   messages: [{role, text, footer, live, version, versions, open, inside}],
//   note, offers (the recorded exchanges are offered with it), strip: {run, prompt_length, given, blocks, live}, run, run_title, used, kv_bytes}],
// busy, guards: {safe_prompt, moderate}, recorded, selection, serial, number, threads: [{number, title, recorded}], policies: [{name, title, setting}], made}

/** `state` is the newest state; `strips` are functions that give the payload of each column's strip; `mode` is what the
 * colour of tokens means, in all columns; `recordings` is how many recorded exchanges are offered ("recordings" opens their list); `ask(run, request)` puts a view's question to the server. */
export const page = { state: null, strips: [], mode: "probability", ask: null, recordings: 0 };

const target = new EventTarget();

/** Calls `heard(detail)` at every event `name`. */
export function listen(name, heard) {
  target.addEventListener(name, (event) => heard(event.detail));
}

export function tell(name, detail) {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Sets a node's text only when it differs: a page that is written to ten times a second must not lay itself out in vain. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
