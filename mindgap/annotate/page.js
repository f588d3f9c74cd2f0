// One person's deck. Whatever is shown is set as text; every score is saved before the page goes on.
"use strict";

const find = (selector) => document.querySelector(selector);
const WAIT = 2000; // milliseconds between attempts to save
let cards = [];
let at = 0;
let scale = "behaviour";
let saving = false;
let rubricsOpen = innerWidth > 900; // on a phone they would cover the response
let turn = Promise.resolve(); // keys are dealt with one after another, however fast they come
const past = []; // what was done since the page was opened: {index, rating before}

const rating = () => cards[at].rating;
const isDone = ({ rating }) => rating.skipped || (rating.behaviour !== null && rating.coherence !== null);
const half = ({ behaviour, coherence, skipped }) => behaviour !== null && coherence === null && !skipped;

async function request(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer.json();
}

/** Save what is said of card `index`; tries until it is done. Keys pressed meanwhile are dropped: nothing may be rated unseen. */
async function save(index, said) {
  const body = JSON.stringify({ sample: cards[index].key, ...said });
  for (;;) {
    try {
      await request("ratings", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      break;
    } catch (error) {
      saving = true;
      const why = error instanceof TypeError ? "the program does not answer; is it still running?" : error.message;
      trouble(`Not saved yet: ${why} Trying again …`);
      await new Promise((wake) => setTimeout(wake, WAIT));
    }
  }
  saving = false;
  trouble("");
  cards[index].rating = said;
}

function trouble(words) {
  find("#trouble").textContent = words;
  find("#trouble").hidden = !words;
}

function show(index) {
  at = index;
  scale = half(rating()) ? "coherence" : "behaviour";
  const card = cards[at];
  find("main").hidden = false;
  find("#finished").hidden = true;
  find("#title").textContent = `Response ${at + 1} of ${cards.length}${rating().skipped ? " · skipped" : isDone(card) ? " · rated" : ""}`;
  for (const part of ["question", "response", "query", "rubric"]) find(`#${part}`).textContent = card[part];
  paint();
  scrollTo(0, 0);
  find("#title").focus({ preventScroll: true });
}

function paint() {
  const done = cards.filter(isDone).length;
  find("#count").textContent = `${done} of ${cards.length} rated`;
  Object.assign(find("#progress"), { value: done, max: cards.length });
  for (const field of document.querySelectorAll("fieldset")) {
    const name = field.dataset.scale;
    field.classList.toggle("active", name === scale);
    field.querySelector("details").open = rubricsOpen && name === scale;
    for (const button of field.querySelectorAll("[data-score]"))
      button.setAttribute("aria-pressed", String(rating()[name] === Number(button.dataset.score)));
  }
}

function say(words) {
  find("#said").textContent = words;
}

/** The first response after this one that has no rating, or the first of all. */
function onward() {
  const waiting = (card) => !isDone(card);
  let next = cards.findIndex((card, index) => index > at && waiting(card));
  if (next < 0) next = cards.findIndex(waiting);
  if (next >= 0) return show(next);
  paint();
  find("main").hidden = true;
  find("#finished").hidden = false;
  const skipped = cards.filter(({ rating }) => rating.skipped).length;
  find("#finished-count").textContent = `${cards.length - skipped} rated, ${skipped} skipped.`;
  find("#finished h1").focus();
}

async function score(value, name = scale) {
  past.push({ index: at, before: rating() });
  await save(at, { ...rating(), skipped: false, [name]: value });
  say(`${name} ${value}`);
  if (isDone(cards[at]) && name === "coherence") return onward();
  scale = half(rating()) || name === "behaviour" ? "coherence" : "behaviour";
  paint();
}

async function skip() {
  past.push({ index: at, before: rating() });
  await save(at, { behaviour: null, coherence: null, skipped: true });
  say("skipped");
  onward();
}

async function undo() {
  const last = past.pop();
  if (last) {
    await save(last.index, last.before);
    show(last.index);
  } else if (finished()) {
    show(cards.length - 1);
  } else if (half(rating())) {
    await save(at, { ...rating(), behaviour: null });
    show(at);
  } else if (at > 0) {
    const { behaviour } = cards[at - 1].rating;
    await save(at - 1, { behaviour, coherence: null, skipped: false });
    show(at - 1);
  }
  say("taken back");
}

function move(by) {
  if (cards[at + by]) show(at + by);
}

function rubrics() {
  rubricsOpen = !rubricsOpen;
  paint();
}

const HANDS = { undo, skip, previous: () => move(-1), next: () => move(1) };
const KEYS = { u: undo, Backspace: undo, s: skip, ArrowLeft: HANDS.previous, ArrowRight: HANDS.next, r: rubrics };

function act(hand) {
  if (!cards.length || saving) return;
  turn = turn.then(() => (saving ? null : hand()));
}

function finished() {
  return !find("#finished").hidden;
}

function prepare(state) {
  cards = state.cards;
  document.title = `Rate responses · ${state.rater}`;
  find("#coherence-rubric").textContent = state.coherence;
  for (const field of document.querySelectorAll("fieldset")) {
    const name = field.dataset.scale;
    const title = name[0].toUpperCase() + name.slice(1);
    for (let value = 1; value <= 5; value++) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: value });
      button.dataset.score = value;
      button.setAttribute("aria-label", `${title} ${value} of 5`);
      button.addEventListener("click", () => act(() => score(value, name)));
      field.querySelector(".buttons").append(button);
    }
  }
  for (const button of document.querySelectorAll("[data-do]"))
    button.addEventListener("click", () => act(HANDS[button.dataset.do]));
  find("#look-back").addEventListener("click", () => act(undo));
  find("#help-open").addEventListener("click", () => find("#help").showModal());
  find("form[aria-label]").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || find("#help").open) return;
    if (event.key === "?") return find("#help").showModal();
    if (!find("#shortcuts").checked) return;
    const hand = /^[1-5]$/.test(event.key) ? () => score(Number(event.key)) : KEYS[event.key];
    if (!hand || (finished() && hand !== undo)) return;
    event.preventDefault();
    act(() => (finished() && hand !== undo ? null : hand()));
  });
  at = 0;
  const first = cards.findIndex((card) => !isDone(card));
  if (first >= 0) show(first);
  else onward();
  if (!cards.some(isDone)) find("#help").showModal();
}

request("cards")
  .then(prepare)
  .catch((error) => {
    trouble(`The responses cannot be shown: ${error.message}`);
    throw error;
  })
  .finally(() => (document.documentElement.dataset.ready = "true"));
