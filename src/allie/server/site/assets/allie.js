"use strict";
// What all pages share: how data comes, how an element is made, how old something is.
// All that a PC told is put into a page as text (`textContent`), and never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const TOO_OLD = 3600; // seconds after which a page says that it may be wrong, if no pace is known
const MISSED = 3, SOON = 900; // so often its pace; seconds, at least
const LOOK_AGAIN = 60; // seconds between two looks for a newer site

// --- data ------------------------------------------------------------------------------------

const handlers = new Map();

/** Each file of data is one call of this: a name, and a value. */
function allie(name, value) {
  for (const handler of handlers.get(name) || []) handler(value);
}

/** Call `handler` whenever data of that name comes. */
function onData(name, handler) {
  handlers.set(name, [...(handlers.get(name) || []), handler]);
}

/** Load data/NAME.js. `version`: asks for it anew; failed: called where there is no such file. */
function load(name, version, failed) {
  const script = document.createElement("script");
  script.src = `data/${name}.js${version ? `?${version}` : ""}`;
  script.onload = () => script.remove();
  script.onerror = () => { script.remove(); if (failed) failed(); };
  document.head.append(script);
}

/** In which file of 256 the details of a name are: FNV-1a, as server/site/as_script.py has it. */
function shardOf(name) {
  let found = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    found = Math.imul(found ^ byte, 0x01000193) >>> 0;
  }
  return ((found ^ (found >>> 16)) & 255).toString(16).padStart(2, "0");
}

// --- elements --------------------------------------------------------------------------------

/** An element with attributes and children; a child that is no element is text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined && each !== ""));
  return element;
}

/** The same of SVG. */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);

/** A state: its sign, in its colour, and its word. */
function stateOf(state) {
  return make("span", { class: "state" }, sign(state), ` ${state}`);
}

const SIGN_OF = { satisfied: "current", waiting: "behind", due: "arriving", test: "paused" };

function sign(state) {
  const like = SIGN_OF[state] || state;
  return draw("svg", { class: `sign s-${like}`, "aria-hidden": "true" }, draw("use", { href: `#sign-${like}` }));
}

/** A link to the page of a host, a script or a path. */
function linkTo(page, name, words) {
  return make("a", { href: `${page}.html#${encodeURIComponent(name)}` }, words || name);
}

/** Long names may be broken at their slashes and dots. */
function breakable(text) {
  const pieces = text.split(/(?<=[/,.-])/);
  return pieces.flatMap((piece, at) => (at ? [document.createElement("wbr"), piece] : [piece]));
}

const many = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more || `${one}s`}`;

// --- within a page ---------------------------------------------------------------------------

/** Go to a part of the page. What stands after # in the address stays: it says what is shown. */
function goWithin(id) {
  byId(id).scrollIntoView();
  byId(id).focus({ preventScroll: true });
}

addEventListener("click", (event) => {
  const link = event.target.closest("a.within");
  if (!link) return;
  event.preventDefault();
  goWithin(link.hash.slice(1));
});

// --- times -----------------------------------------------------------------------------------

const now = () => Date.now() / 1000;
const pad = (number) => String(number).padStart(2, "0");

/** A span of time for people: `45 s`, `12 min`, `3 h`, `5 d`. */
function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

function dateOf(at) {
  const date = new Date(at * 1000);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** How long ago that was; it goes on while the page is open. never: what is said of 0. */
function ago(at, never) {
  if (!(at > 0)) return make("span", { class: "none" }, never === undefined ? "–" : never);
  const time = make("time", { datetime: new Date(at * 1000).toISOString(), title: dateOf(at) });
  time.dataset.at = at;
  time.textContent = span(now() - at);
  return time;
}

function refreshAges() {
  for (const time of document.querySelectorAll("time[data-at]")) {
    const words = span(now() - Number(time.dataset.at));
    if (time.textContent !== words) time.textContent = words;
  }
}

// --- when the site was made ------------------------------------------------------------------

let site = null;

/** Say when this was made; in red, and in words, when that is too long ago. */
function showMade() {
  if (!site) return;
  const line = byId("made");
  const age = now() - site.at;
  const late = age > (site.every ? Math.max(MISSED * site.every, SOON) : TOO_OLD);
  const early = age < -300;
  const time = make("time", { datetime: new Date(site.at * 1000).toISOString() }, dateOf(site.at));
  const words = ["made ", time, `, ${span(age)} ago`];
  const wrong = late
    ? [make("strong", {}, `Too old: ${span(age)}. `), "Made ", time, "; PCs may stand otherwise by now. " +
       (site.every ? `It was made every ${span(site.every)} before. ` : "") + "Is the timer at work? On the server: ", make("code", {}, "systemctl status allie-fleet.timer")]
    : [make("strong", {}, "This device's clock is wrong, "), `or the server's: made ${span(-age)} from now, `, time];
  const shown = late || early ? wrong : words;
  const text = shown.map((each) => (typeof each === "string" ? each : each.textContent)).join("");
  if (line.textContent === text) return;
  line.classList.toggle("late", late || early);
  line.replaceChildren(...shown);
}

onData("made", (value) => {
  if (String(value.format) !== document.body.dataset.format) {
    // The site was made by another ALLiE since this page was opened
    if (site) location.reload();
    return;
  }
  const news = site && site.news !== value.news;
  site = value;
  showMade();
  if (news) for (const each of ["summary", "over-time"]) if (handlers.has(each)) load(each, value.news);
});

setInterval(() => {
  refreshAges();
  showMade();
}, 20000);
setInterval(() => {
  if (!document.hidden) load("made", Math.round(now()));
}, LOOK_AGAIN * 1000);
