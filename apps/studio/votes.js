// Blind votes on a suite's answers: two answers side by side without names, buttons and keys; names and result when asked.

import { make } from "./dom.js";
import { sheet, takeaway, heading, field } from "./sheet.js";
import { runner } from "./job.js";

const CHOICES = [["1", "left", "Answer 1 is better"], ["2", "right", "Answer 2 is better"], ["3", "both good", "Both good"], ["0", "both bad", "Both bad"]];
const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
const within = (low, high) => (low === null ? "" : ` (${percent(low)} to ${percent(high)})`);
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** Whether two models answered `row`, and differently: only that can be voted on. */
function asks(row, models) {
  const [one, other] = models.map((name) => row.answers[name]);
  return one && other && !one.error && !other.error && JSON.stringify(one.answers) !== JSON.stringify(other.answers);
}

/** The question, turn by turn, above its two answers. */
function pair(ballot) {
  const said = (name, text) => make("div", { class: "wb-vote-answer" }, make("h4", { text: name }), make("p", { dir: "auto", text: text ?? "(not reached)" }));
  const several = ballot.turns.length > 1;
  return make("div", { class: "wb-vote-pair" },
    ballot.system ? make("p", { class: "wb-caption", text: `system: ${ballot.system}` }) : null,
    ...ballot.turns.flatMap((turn, i) => [
      make("p", { class: "wb-vote-asked", dir: "auto", text: several ? `${i + 1}. ${turn}` : turn }),
      make("div", { class: "wb-vote-two" }, said("Answer 1", ballot.left[i]), said("Answer 2", ballot.right[i])),
    ]));
}

/** Wins by category and model. A row is a block of its own where the page is narrow. */
function preferred(tallies) {
  return sheet("Preferred by category and model", [
    { name: "category" }, { name: "model" },
    ...["wins", "ties", "losses"].map((one) => ({ name: one, title: { wins: "won", ties: "tied", losses: "lost" }[one], kind: "number" })),
    { name: "win_rate", title: "win rate, ties as half", kind: "number", show: (value, row) => percent(value) + within(row.low, row.high) },
    { name: "decided", title: "of the decided", kind: "number", show: (value, row) => percent(value) + (value === null ? "" : within(row.decided_low, row.decided_high)) },
    { name: "p", title: "sign test p", kind: "number", show: (value) => (value === null ? "–" : value.toPrecision(2)) },
  ], tallies, true);
}

/** Wins, the check of the places, and the votes themselves to take away. */
function result(found, name) {
  const voted = found.votes.map((row) => ({ ...row, preferred: { left: row.left, right: row.right }[row.vote] ?? "" }));
  const place = found.position;
  return [
    heading("Who was preferred", takeaway(`${name}-preferred`, found.tallies)),
    make("p", { class: "wb-message wb-vote-sentence", text: found.sentence }),
    found.votes.length ? preferred(found.tallies) : null,
    found.votes.length ? make("p", { class: "wb-caption", text: "In brackets 95 % intervals: of the win rate by bootstrap over items (no width where all items agree), of the decided ones Wilson's." }) : null,
    place.n ? make("p", { class: "wb-caption", text: `Position check: answer 1 was chosen in ${place.first_place} of ${plural(place.n, "decided vote")} (${percent(place.share)}${within(place.low, place.high)}, sign test p ${place.p.toPrecision(2)}). Places are drawn, half for each model: far from a half, the place was voted on.` }) : null,
    voted.length ? heading(plural(voted.length, "vote"), takeaway(`${name}-votes`, voted)) : null,
  ].filter(Boolean);
}

/** A model that judges, when asked: what it said, with its bias for a place. `run()` names the answers. */
function judge(host, run, name) {
  const select = make("select", {}, make("option", { value: "", text: "none" }), ...host.models.map((one) => make("option", { value: one.model, text: one.title })));
  const out = make("div");
  const work = runner("Judge", (told) => host.job("votes_judge", { run: run(), judge: select.value }, told), (result) => {
    out.replaceChildren(...result.verdicts.flatMap((one) => [
      heading(`Judge ${one.judge}`, takeaway(`${name()}-judged-by-${one.judge}`, one.rows)),
      make("p", { class: "wb-message", text: one.sentence }),
      one.tallies.length && one.tallies[0].items ? preferred(one.tallies) : null,
    ].filter(Boolean)));
  });
  work.element.hidden = true;
  select.addEventListener("change", () => { work.element.hidden = !select.value; });
  return {
    element: make("details", { class: "wb-own" }, make("summary", { text: "A model as judge" }),
      make("p", { class: "wb-caption", text: "Each pair is judged in both orders; a verdict that changes with the order is a tie. It is read from the probabilities of A and B, no text is written. Small models judge poorly (the twins know nothing of the task), and judges favour a place, length and their own style." }),
      field("Judge", select), work.element, out),
    clear() { out.replaceChildren(); },
  };
}

/** What stands between a suite's run and its answers. `hide(on)` hides the answers with their names. Returns {element,
 * begin() when a run begins, ready(answers, over) when there is something to vote on}. */
export function votes(host, hide) {
  if (host.models.length < 2) return { element: make("p", { class: "wb-caption", text: "Blind votes need two models on this page." }), begin() {}, ready() {} };
  const first = make("input", { type: "checkbox", on: { change: () => { if (!first.checked || !over) settle(); } } });
  const open = make("button", { type: "button", class: "wb-button", text: "Vote blindly", on: { click: () => guarded(voting ? close : ask) } });
  const note = make("span", { class: "wb-caption wb-vote-note", role: "status" });
  const failed = make("p", { class: "wb-message", role: "alert" });
  const card = make("div", { class: "wb-vote-card", tabindex: "-1", role: "group", "aria-label": "Blind vote" });
  const judging = judge(host, () => run, () => name);
  const element = make("div", { class: "wb-votes" }, make("div", { class: "wb-job-line" }, make("span", { class: "wb-checks" }, make("label", { title: "The answers with the models' names stay hidden until you ask for the result" }, first, " Vote first, answers hidden")), open, note), failed, card, judging.element);
  let run = null; // the server's name of the answers
  let name = "";
  let over = false; // nothing more is being answered
  let voting = false; // the card is open
  let told = false; // the names were asked for
  let ballots = [];
  let same = 0;
  let at = 0;

  const settle = () => {
    open.hidden = !over || !run;
    hide(voting ? !told : first.checked && !told);
    card.hidden = !voting;
    judging.element.hidden = open.hidden || open.disabled || (voting ? !told : first.checked && !told);
    open.textContent = voting ? "Back to the answers" : "Vote blindly";
  };
  /** Runs `work`; what it throws is a sentence. */
  async function guarded(work) {
    failed.textContent = "";
    try {
      await work();
    } catch (error) {
      failed.textContent = error.message;
    }
  }
  function close() {
    voting = false;
    told = true;
    settle();
    open.focus();
  }
  async function ask() {
    const found = await host.ask("votes_ask", { run });
    ({ ballots, same } = found);
    voting = true;
    told = false;
    at = Math.max(0, ballots.findIndex((one) => !one.vote));
    settle();
    if (ballots.length && ballots.every((one) => one.vote)) ended();
    else draw();
    card.focus();
  }
  const left = () => ballots.filter((one) => !one.vote).length;
  const counted = () => `${ballots.length - left()} of ${plural(ballots.length, "pair")} voted, ${left()} left.${same ? ` ${plural(same, "more pair")} ${same === 1 ? "is" : "are"} the same to the letter and not asked.` : ""}`;
  const reveal = () => make("button", { type: "button", class: "wb-button", text: "Show names and result", on: { click: () => guarded(show) } });
  const button = (key, text, run, on = null) => make("button", { type: "button", class: "wb-button", "aria-keyshortcuts": key, "aria-pressed": on === null ? null : String(on), on: { click: run } }, make("kbd", { text: key }), ` ${text}`);

  function draw() {
    note.textContent = counted();
    const ballot = ballots[at];
    if (!ballot) {
      card.replaceChildren(make("p", { class: "wb-message", text: "There is no pair to vote on." }));
      return;
    }
    card.replaceChildren(
      make("div", { class: "wb-head-line" }, make("h3", { text: "Which answer is better?" }), make("span", { class: "wb-caption", text: `${at + 1} of ${ballots.length}${ballot.category ? ` · ${ballot.category}` : ""}` })),
      pair(ballot),
      make("div", { class: "wb-vote-buttons" },
        ...CHOICES.map(([key, vote, text]) => button(key, text, () => guarded(() => give(vote)), ballot.vote === vote))),
      make("div", { class: "wb-vote-buttons" }, button("b", "Back", () => go(-1)), button("s", "Skip", () => go(1)), reveal()));
  }
  function ended() {
    note.textContent = counted();
    card.replaceChildren(make("p", { class: "wb-message", text: "Every pair is voted on." }),
      make("div", { class: "wb-vote-buttons" }, reveal(), button("b", "Look at the votes again", () => { at = ballots.length - 1; draw(); card.focus(); })));
  }
  function go(by) {
    at = (at + by + ballots.length) % ballots.length;
    draw();
    card.focus({ preventScroll: true });
  }
  let giving = false;
  async function give(vote) {
    if (giving) return; // a key that repeats is one vote
    giving = true;
    const ballot = ballots[at];
    let found;
    try {
      found = await host.ask("votes_give", { run, item: ballot.item, sample: ballot.sample, vote });
    } finally {
      giving = false;
    }
    failed.textContent = found.said || "";
    ballot.vote = vote;
    if (!left()) {
      ended();
      card.focus();
      return;
    }
    const later = ballots.findIndex((one, i) => i > at && !one.vote);
    at = later < 0 ? ballots.findIndex((one) => !one.vote) : later;
    draw();
    card.focus({ preventScroll: true });
  }
  async function show() {
    const found = await host.ask("votes_result", { run });
    told = true;
    settle();
    card.replaceChildren(...result(found, name), left() ? make("div", { class: "wb-vote-buttons" }, make("button", { type: "button", class: "wb-button", text: "Go on voting", on: { click: () => guarded(ask) } })) : "");
    card.focus();
  }
  card.addEventListener("keydown", (event) => {
    const pressed = event.repeat || event.ctrlKey || event.metaKey || event.altKey ? null : event.key.toLowerCase();
    const found = [...card.querySelectorAll("[aria-keyshortcuts]")].find((one) => one.getAttribute("aria-keyshortcuts") === pressed);
    if (!found) return;
    event.preventDefault();
    found.click();
  });

  settle();
  return {
    element,
    begin() {
      over = voting = told = false;
      run = null;
      note.textContent = failed.textContent = "";
      judging.clear();
      settle();
    },
    ready(answers, ended) {
      const known = over;
      over = ended;
      run = answers.run;
      name = answers.suite;
      const n = answers.rows.filter((row) => asks(row, answers.models)).length;
      open.disabled = !n;
      if (!voting) note.textContent = !over ? "" : n ? `${plural(n, "pair")} to vote on` : "No two answers differ: there is nothing to vote on.";
      if (over && !n) told = true;
      settle();
      if (over && !known && n && first.checked) guarded(ask);
    },
  };
}
