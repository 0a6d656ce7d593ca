"use strict";
// The table of all PCs. Only the rows that are in view are in the page: of 5,000 some fifty.
// What is asked for stands in the address (#state=failing&class=lab), which can be sent on.

const SPARE = 12; // rows above and below what is in view
const PRINTED = 2000; // rows at most
const COLUMNS = [
  { name: "host", title: "Host" },
  { name: "state", title: "State" },
  { name: "why", title: "Why" },
  { name: "since", title: "For", is: "time", hint: "how long it has stood so" },
  { name: "reached", title: "Last change", is: "time", hint: "how long ago what the store has now had arrived there" },
  { name: "heard", title: "Heard", is: "time", hint: "how long ago its last report arrived" },
  { name: "system", title: "System" },
  { name: "classes", title: "Classes" },
  { name: "drift", title: "By hand", is: "number", hint: "paths that were changed by hand" },
];
const FIELDS = ["q", "state", "concern", "class", "system", "script", "verdict", "drift"];

let rows = null; // the summary's columns
let words = null; // the summary itself
let asked = {}; // what is asked for, by field
let shown = []; // numbers of the rows that are asked for, in order
let first = 0; // which of them are in the page: from first …
let end = 0; // … to before end
let rowHeight = 0;
let active = -1; // which of them the keyboard is at
let printing = false;

// --- rows ------------------------------------------------------------------------------------

const wordOf = (column, at) => rows[column].words[rows[column].at[at]];
const timeOf = (column, at) => (rows[column][at] < 0 ? 0 : rows.newest - rows[column][at]);
const stateAt = (at) => words.states[rows.state[at]];

function systemAt(at) {
  const [running, ...others] = wordOf("systems", at);
  return [wordOf("image", at) || running || "", ...others].join(" + ");
}

function cell(column, at) {
  switch (column.name) {
    case "host": return make("th", { scope: "row" }, linkTo("host", rows.host[at]));
    case "state": return make("td", {}, stateOf(stateAt(at)), make("span", { class: "under" }, wordOf("why", at)));
    case "why": return make("td", { title: wordOf("why", at) }, wordOf("why", at));
    case "system": return make("td", { title: systemAt(at) }, systemAt(at));
    case "classes": return make("td", { title: wordOf("classes", at).join(" ") }, wordOf("classes", at).join(" "));
    case "drift": return make("td", {}, rows.drift[at] ? String(rows.drift[at]) : make("span", { class: "none" }, "–"));
    case "reached": return make("td", {}, ago(timeOf("reached", at), timeOf("heard", at) ? "not yet" : "–"));
    default: return make("td", {}, ago(timeOf(column.name, at)));
  }
}

function rowOf(index) {
  const row = make("tr", { "aria-rowindex": index + 2 });
  for (const column of COLUMNS) {
    const made = cell(column, shown[index]);
    made.classList.add(`c-${column.name}`);
    row.append(made);
  }
  return row;
}

function spacer() {
  return make("tr", { class: "space", "aria-hidden": "true" }, make("td"));
}

/** Have those rows in the page that are in view. anew: none of those that are there will do. */
function drawRows(anew) {
  if (!rows) return;
  const body = byId("all").tBodies[0];
  if (anew || !body.firstChild) {
    body.replaceChildren(spacer(), spacer());
    first = end = 0;
  }
  if (!rowHeight && shown.length) {
    const probe = rowOf(0);
    body.firstChild.after(probe);
    rowHeight = probe.getBoundingClientRect().height || 30;
    probe.remove();
  }
  const [from, to] = inView(body);
  if (from === first && to === end && !anew) return;
  const focused = document.activeElement && document.activeElement.closest("tbody tr");
  if (from >= end || to <= first) {
    while (body.children.length > 2) body.children[1].remove();
    first = end = from;
  }
  while (first < from) { body.children[1].remove(); first += 1; }
  while (end > to) { body.lastChild.previousSibling.remove(); end -= 1; }
  const above = document.createDocumentFragment();
  for (let index = from; index < first; index += 1) above.append(rowOf(index));
  body.firstChild.after(above);
  first = from;
  const below = document.createDocumentFragment();
  for (; end < to; end += 1) below.append(rowOf(end));
  body.lastChild.before(below);
  setHeight(body.firstChild, first * rowHeight);
  setHeight(body.lastChild, (shown.length - end) * rowHeight);
  // The row that had the focus went out of view: the table keeps the place, and arrow keys go on from it
  if (focused && !focused.isConnected) byId("all").focus({ preventScroll: true });
}

function setHeight(row, height) {
  row.hidden = height <= 0;
  row.firstChild.style.height = `${height}px`;
}

/** Which rows are in view, with some to spare. */
function inView(body) {
  if (printing) return [0, Math.min(shown.length, PRINTED)];
  const top = body.getBoundingClientRect().top;
  const from = Math.max(0, Math.floor(-top / rowHeight) - SPARE);
  const to = Math.min(shown.length, Math.ceil((innerHeight - top) / rowHeight) + SPARE);
  const least = Math.min(shown.length, 2 * SPARE); // so many also where the table is below what is in view
  return to < least ? [0, least] : [Math.min(from, Math.max(0, to - least)), to];
}

// --- the keyboard ----------------------------------------------------------------------------

/** Go to a row: have it in the page and in view, and focus its link. */
function goTo(index) {
  active = Math.max(0, Math.min(shown.length - 1, index));
  const table = byId("all");
  const top = table.tBodies[0].getBoundingClientRect().top + scrollY + active * rowHeight;
  const head = table.tHead.getBoundingClientRect().height;
  if (top - head < scrollY) scrollTo(scrollX, top - head - 4);
  else if (top + rowHeight > scrollY + innerHeight) scrollTo(scrollX, top + rowHeight - innerHeight + 4);
  drawRows(false);
  const row = table.tBodies[0].querySelector(`tr[aria-rowindex="${active + 2}"] a`);
  if (row) row.focus({ preventScroll: true });
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !shown.length) return;
  if (event.target.closest("thead")) return;
  const page = Math.max(1, Math.floor(innerHeight / (rowHeight || 30)) - 3);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  event.preventDefault();
  goTo(active < 0 ? 0 : active + steps[event.key]);
}

// --- what is asked for -----------------------------------------------------------------------

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  asked = { sort: given.get("sort") || "state", down: given.get("down") === "1" };
  for (const field of FIELDS) asked[field] = given.get(field) || "";
}

/** What is asked for as the part of an address after #. */
function addressOf(wanted) {
  const given = new URLSearchParams();
  for (const field of FIELDS) if (wanted[field]) given.set(field, wanted[field]);
  if (wanted.sort && wanted.sort !== "state") given.set("sort", wanted.sort);
  if (wanted.down) given.set("down", "1");
  return `#${given}`;
}

/** Show what is asked for; the address says it. */
function ask(change) {
  asked = { ...asked, ...change };
  history.replaceState(history.state, "", addressOf(asked));
  show();
}

let haystacks = null;

/** All that a text is looked for in, of one PC. */
function haystack(at) {
  haystacks = haystacks || [];
  if (haystacks[at] === undefined) {
    const found = [rows.host[at], stateAt(at), wordOf("why", at), systemAt(at), wordOf("version", at), ...wordOf("classes", at)];
    haystacks[at] = found.join("\n").toLowerCase();
  }
  return haystacks[at];
}

/** The words of a column that fit, as their numbers; so each word is looked at once. */
function fitting(column, fits) {
  return new Set(rows[column].words.flatMap((word, number) => (fits(word) ? [number] : [])));
}

function tests() {
  const found = [];
  const states = asked.state.split(",").map((each) => words.states.indexOf(each));
  if (asked.state) found.push((at) => states.includes(rows.state[at]));
  if (asked.class) found.push(fitsWord("classes", (all) => all.includes(asked.class)));
  if (asked.system) found.push(fitsWord("systems", (all) => all.includes(asked.system)));
  if (asked.script) {
    const number = rows.names.indexOf(asked.script);
    const verdict = words.verdicts.indexOf(asked.verdict);
    found.push(fitsWord("scripts", (all) => all.some((each) => each >> 3 === number && (verdict < 0 || (each & 7) === verdict))));
  }
  if (asked.concern) found.push(fitsWord("concerns", (all) => all.some((each) => concernOf(words.groups[each]) === asked.concern)));
  if (asked.drift) found.push((at) => rows.drift[at] > 0);
  for (const text of asked.q.toLowerCase().split(/\s+/).filter(Boolean)) {
    found.push((at) => haystack(at).includes(text));
  }
  return found;
}

/** A concern as the address and the list of them have it. */
const concernOf = (group) => `${group.state}: ${group.why}`;

function fitsWord(column, fits) {
  const good = fitting(column, fits);
  return (at) => good.has(rows[column].at[at]);
}

/** For a column, a number or a text by which its rows are sorted. */
function keyOf(column) {
  const texts = { why: (at) => wordOf("why", at), system: systemAt, classes: (at) => wordOf("classes", at).join(" ") };
  if (column === "host") return (at) => at; // as they come: pc9 before pc10
  if (column === "state") return (at) => rows.state[at];
  if (column === "drift") return (at) => -rows.drift[at];
  if (column in texts) return ranked(texts[column]);
  return (at) => (rows[column][at] < 0 ? Infinity : rows[column][at]);
}

/** Few different texts are many rows': each is compared once, and an empty one comes last. */
function ranked(textOf) {
  const texts = shown.map(textOf);
  const sorted = [...new Set(texts)].sort((one, other) => (!one - !other) || (one < other ? -1 : one > other ? 1 : 0));
  const ranks = new Map(sorted.map((text, rank) => [text, rank]));
  const keys = new Map(shown.map((at, index) => [at, ranks.get(texts[index])]));
  return (at) => keys.get(at);
}

/** Filter, sort, and draw. */
function show() {
  const fits = tests();
  const focusedHost = hostWithFocus();
  shown = [];
  for (let at = 0; at < rows.host.length; at += 1) if (fits.every((test) => test(at))) shown.push(at);
  const key = keyOf(COLUMNS.some((each) => each.name === asked.sort) ? asked.sort : "state");
  const keys = new Map(shown.map((at) => [at, key(at)]));
  const way = asked.down ? -1 : 1;
  shown.sort((one, other) => {
    const a = keys.get(one);
    const b = keys.get(other);
    return a === b ? one - other : a < b ? -way : way;
  });
  active = -1;
  showForm();
  showHead();
  drawRows(true);
  sayHowMany();
  if (focusedHost) {
    const index = shown.findIndex((at) => rows.host[at] === focusedHost);
    if (index >= 0) goTo(index);
  }
}

function hostWithFocus() {
  const row = document.activeElement && document.activeElement.closest("#all tbody tr");
  return row ? row.querySelector("a").textContent : "";
}

function sayHowMany() {
  const all = rows.host.length;
  const text = shown.length === all ? many(all, "PC") : `${shown.length.toLocaleString("en")} of ${many(all, "PC")}`;
  byId("shown").textContent = shown.length ? text : `No PC is so, of ${many(all, "PC")}: “Show all” takes the filters away.`;
  byId("all").setAttribute("aria-rowcount", shown.length + 1);
  byId("all").hidden = !shown.length;
  byId("cut").textContent = shown.length > PRINTED
    ? `These are the first ${PRINTED.toLocaleString("en")} of ${many(shown.length, "PC")}: filter the table before it is printed.` : "";
}

// --- heads and filters -----------------------------------------------------------------------

function showHead() {
  const head = byId("all").tHead;
  if (!head.firstChild) {
    const row = make("tr", { "aria-rowindex": 1 });
    for (const column of COLUMNS) {
      const button = make("button", { type: "button", title: column.hint }, column.title, make("span", { class: "arrow", "aria-hidden": "true" }));
      button.addEventListener("click", () => {
        ask({ sort: column.name, down: asked.sort === column.name && !asked.down });
      });
      row.append(make("th", { scope: "col", class: `c-${column.name}` }, button));
    }
    head.append(row);
  }
  COLUMNS.forEach((column, at) => {
    const cell = head.rows[0].cells[at];
    if (column.name !== asked.sort) cell.removeAttribute("aria-sort");
    else cell.setAttribute("aria-sort", asked.down ? "descending" : "ascending");
  });
}

/** The fields of the form say what is asked for. */
function showForm() {
  const form = byId("filters");
  for (const field of FIELDS) {
    const input = form.elements[field];
    if (input.type === "checkbox") input.checked = Boolean(asked[field]);
    else if (input.value !== asked[field]) {
      const isNew = input.options && ![...input.options].some((each) => each.value === asked[field]);
      if (isNew) input.append(make("option", { value: asked[field] }, asked[field]));
      input.value = asked[field];
    }
  }
  form.querySelector(".verdict").hidden = !asked.script;
  for (const link of document.querySelectorAll("#counts a")) {
    if (link.dataset.state === asked.state) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function options(name, values) {
  const select = byId("filters").elements[name];
  while (select.options.length > 1) select.remove(1);
  for (const [value, text] of values) select.append(make("option", { value }, text));
}

function fillForm() {
  const of = (column) => {
    const counted = new Map();
    rows[column].at.forEach((number) => {
      for (const word of rows[column].words[number]) counted.set(word, (counted.get(word) || 0) + 1);
    });
    return [...counted].sort().map(([word, count]) => [word, `${word} (${count.toLocaleString("en")})`]);
  };
  const attention = words.attention.join(",");
  options("state", [
    [attention, "needs attention"],
    ...words.states.filter((each) => words.counts[each]).map((each) => [each, `${each} (${words.counts[each].toLocaleString("en")})`]),
  ]);
  options("concern", [...new Set(words.groups.map(concernOf))].map((each) => [each, each]));
  options("class", of("classes"));
  options("system", of("systems"));
  options("script", rows.names.map((name) => [name, name]));
  options("verdict", words.verdicts.map((verdict) => [verdict, verdict]));
}

// --- how it begins ---------------------------------------------------------------------------

/** Take the summary, the first time or anew. */
function fillTable(summary) {
  const isFirst = !words;
  words = summary;
  rows = summary.rows;
  haystacks = null;
  byId("all-section").hidden = false;
  fillForm();
  if (!isFirst) {
    show();
    return;
  }
  readAddress();
  show();
  listen();
  comeBack();
}

function listen() {
  const form = byId("filters");
  const fields = () => Object.fromEntries(FIELDS.map((field) => {
    const input = form.elements[field];
    return [field, input.type === "checkbox" ? (input.checked ? "1" : "") : input.value];
  }));
  form.addEventListener("input", () => ask({ ...fields(), ...(form.elements.script.value ? {} : { verdict: "" }) }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    ask({ ...Object.fromEntries(FIELDS.map((field) => [field, ""])), sort: "state", down: false });
  });
  byId("all").addEventListener("keydown", onKey);
  byId("all").addEventListener("focusin", (event) => {
    const row = event.target.closest("tbody tr");
    if (row) active = Number(row.getAttribute("aria-rowindex")) - 2;
  });
  byId("all").addEventListener("click", (event) => {
    const link = event.target.closest("tbody a");
    if (link) history.replaceState({ host: link.textContent, y: scrollY }, "");
  });
  addEventListener("hashchange", () => {
    if (location.hash === addressOf(asked)) return;
    readAddress();
    show();
    goWithin("h-all");
  });
  addEventListener("scroll", () => drawRows(false), { passive: true });
  addEventListener("resize", () => { rowHeight = 0; drawRows(true); });
  const print = (is) => { if (printing !== is) { printing = is; drawRows(true); } };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (event) => print(event.matches));
}

/** Back from a host's page: the row that was left has the focus again. */
function comeBack() {
  const left = history.state;
  const index = left && left.host ? shown.findIndex((at) => rows.host[at] === left.host) : -1;
  if (index >= 0) {
    scrollTo(0, left.y);
    goTo(index);
  } else if (location.hash.length > 1) {
    goWithin("h-all");
  }
}

history.scrollRestoration = "manual";
