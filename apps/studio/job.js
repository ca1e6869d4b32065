// Long work on the server: started, asked after twice a second, stopped. The server's side is jobs.py.

import { make } from "./dom.js";
import { key } from "./tab.js";

const PAUSE = 400;

/** Runs the job that the server function `name` starts for `request` ({"job": id} is its answer). `told(status)` hears
 * how far it is; the result comes when it is done. Returns {done: Promise, stop()}; a stopped job resolves to its result
 * so far, or to null. */
export function job(server, name, request, told = () => {}) {
  let id = null;
  let stopping = false;
  const halt = async () => { if (id) await server.job_halt({ tab: await key(), job: id }); };
  const run = async () => {
    const tab = await key();
    const started = await server[name]({ tab, ...request });
    if (started.error) throw new Error(started.error);
    id = started.job;
    if (stopping) await halt();
    for (let failures = 0; ;) {
      await new Promise((go) => setTimeout(go, PAUSE));
      let status;
      try {
        status = await server.job_status({ tab, job: id });
        failures = 0;
      } catch {
        if (++failures > 8) throw new Error("The server did not answer. Is it still running?");
        continue;
      }
      if (status.state === "failed") throw new Error(status.error);
      if (status.state === "stopped") {
        if (status.notice) told(status);
        return status.result || null;
      }
      told(status);
      if (status.state === "done") return status.result;
    }
  };
  return { done: run(), stop: () => { stopping = true; halt(); } };
}

/** A button that starts work and shows it: bar, words, Stop. `begin(told)` returns what `job` returns; `shown(result)`
 * gets the result (null: stopped before anything was there). Returns {element, start}. */
export function runner(label, begin, shown) {
  const start = make("button", { type: "button", class: "wb-button wb-go", text: label });
  const stop = make("button", { type: "button", class: "wb-button", text: "Stop" });
  const fill = make("i");
  const bar = make("span", { class: "wb-meter wb-job-bar", "aria-hidden": "true" }, fill);
  const said = make("span", { class: "wb-caption wb-digits", role: "status" });
  const failed = make("p", { class: "wb-message", role: "alert" });
  const element = make("div", { class: "wb-job" }, make("div", { class: "wb-job-line" }, start, stop, bar, said), failed);
  const busy = (on) => {
    start.disabled = on;
    stop.hidden = bar.hidden = !on;
    stop.disabled = false;
  };
  const told = (status) => {
    fill.style.width = `${100 * (status.share || 0)}%`;
    said.textContent = status.state === "waiting" ? `waiting for ${status.before === 1 ? "one computation" : `${status.before} computations`} before this one` : status.said || "";
    if (status.partial) shown(status.partial, false);
    if (status.notice) failed.textContent = status.notice;
  };
  let now = null;
  async function go() {
    failed.textContent = "";
    said.textContent = "starting…";
    fill.style.width = "0";
    busy(true);
    try {
      now = begin(told);
      const result = await now.done;
      said.textContent = result ? "" : "stopped";
      if (result) shown(result, true);
    } catch (error) {
      said.textContent = "";
      failed.textContent = error.message;
    } finally {
      now = null;
      busy(false);
    }
  }
  start.addEventListener("click", go);
  stop.addEventListener("click", () => { stop.disabled = true; said.textContent = "stopping…"; if (now) now.stop(); });
  busy(false);
  return { element, start: go };
}
