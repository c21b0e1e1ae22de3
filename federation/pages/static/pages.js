"use strict";
// Liveness alone: every page works without this. Nothing here writes markup.
const KEEP_AFTER = 1500, SENT_FOR = 5000, MINUTE = 60000;
const gone = document.getElementById("gone");
const lock = document.getElementById("lock");
const channel = new BroadcastChannel("pages");

const shown = {
  gone(isGone) { gone.hidden = !isGone; },
  progress(progress) {
    const bar = document.getElementById("progress-bar");
    document.getElementById("progress").hidden = progress === null;
    if (progress === null) return;
    document.getElementById("progress-words").textContent = progress.words;
    document.getElementById("progress-figures").textContent = progress.figures;
    if (progress.total === null) {
      bar.removeAttribute("value");
    } else {
      bar.max = progress.total;
      bar.value = progress.done;
    }
  },
};

function show(kind, value) {
  shown[kind](value);
  channel.postMessage({ kind, value });
}

function lookAgain() {
  location.replace("/");
}

function listen() {
  const events = new EventSource("/events?seen=" + document.body.dataset.seen);
  events.addEventListener("open", () => show("gone", false));
  events.addEventListener("state", lookAgain);
  events.addEventListener("progress", (event) => show("progress", JSON.parse(event.data)));
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) {
      lookAgain(); // the page is locked: what it showed goes away
    } else {
      show("gone", true);
    }
  });
}

// A browser has six connections to a server: one tab listens, tells the others, and when it goes the next one listens.
channel.addEventListener("message", (event) => shown[event.data.kind](event.data.value));
navigator.locks.request("pages", () => new Promise(listen));

// A page that the browser kept whole is as old as when it was left.
addEventListener("pageshow", (event) => { if (event.persisted) lookAgain(); });

function send(address, form) {
  return fetch(address, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
}

// Whoever reads or types is there, though no page is asked for.
let lastAwake = performance.now();
function awake() {
  if (performance.now() - lastAwake < MINUTE) return;
  lastAwake = performance.now();
  send("/awake", lock).catch(() => {});
}
for (const act of ["keydown", "pointerdown", "wheel", "touchmove"]) addEventListener(act, awake, { passive: true });

// A form is sent once, however often its button is pressed; one that is to be kept is sent a moment after each change.
for (const form of document.forms) {
  form.autocomplete = "off"; // what is typed here is not the browser's to remember
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    setTimeout(() => { delete form.dataset.sent; }, SENT_FOR);
  });
  if (!form.dataset.keep) continue;
  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => send(form.dataset.keep, form).catch(() => {}), KEEP_AFTER);
  });
  form.addEventListener("submit", () => clearTimeout(timer)); // it takes all that was typed along
}
