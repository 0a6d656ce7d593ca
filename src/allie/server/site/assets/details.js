"use strict";
// The page of one host, one script, or one path that was changed by hand; its name stands after #.

const page = document.body.dataset.page;
const KINDS = { host: "h", script: "s", path: "p" };
const OTHER_STATES = ["satisfied", "failing", "waiting", "due", "test"];

let wanted = "";

function nameWanted() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch (error) {
    return "";
  }
}

/** Load the part of the data that has this name, and show it. */
function showWanted() {
  wanted = nameWanted();
  document.title = `${wanted || "?"} · the fleet`;
  byId("name").replaceChildren(...breakable(wanted || "?"));
  if (!wanted) {
    say("No name is given: go back to the fleet, and choose one there.");
    return;
  }
  const name = `${KINDS[page]}/${shardOf(wanted)}`;
  if (!handlers.has(name)) onData(name, (values) => showIn(values));
  load(name, site ? site.at : "", () => showIn({}));
}

function showIn(values) {
  const value = Object.prototype.hasOwnProperty.call(values, wanted) ? values[wanted] : null;
  if (!value) {
    say({
      host: "No such PC is expected, or it was retired since.",
      script: "No PC tells of such a script any more.",
      path: "On no PC it is changed by hand any more.",
    }[page]);
    return;
  }
  byId("details").replaceChildren(...{ host: hostParts, script: scriptParts, path: pathParts }[page](value));
}

function say(words) {
  byId("details").replaceChildren(make("p", { class: "notice" }, words));
}

// --- pieces ----------------------------------------------------------------------------------

/** A list of terms; those that have nothing to say are left out. */
function facts(pairs) {
  const list = make("dl", { class: "facts" });
  for (const [term, value] of pairs) {
    const parts = (Array.isArray(value) ? value : [value]).filter((each) => each !== "" && each !== null && each !== undefined);
    if (parts.length) list.append(make("div", {}, make("dt", {}, term), make("dd", {}, ...parts)));
  }
  return list;
}

// A word for a shell: what a PC tells may hold anything
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function next(todo) {
  return todo ? make("p", { class: "todo" }, make("span", { class: "label" }, "next"), " ", make("code", {}, todo)) : null;
}

function part(title, ...children) {
  const found = children.filter(Boolean);
  return found.length ? make("section", {}, make("h2", {}, title), ...found) : null;
}

function sub(title, ...children) {
  return [make("h3", {}, title), ...children];
}

function list(items) {
  return make("ul", { class: "plain" }, ...items.map((each) => make("li", {}, ...(Array.isArray(each) ? each : [each]))));
}

/** A table that scrolls sideways where it is too wide. label: what it is, once on the page. */
function tableOf(label, heads, lines) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, make("table", { class: "list" },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...lines)));
}

const size = (bytes) => (bytes >= 2 ** 40 ? `${(bytes / 2 ** 40).toFixed(1)} TiB` : `${Math.round(bytes / 2 ** 30)} GiB`);

// --- a host ----------------------------------------------------------------------------------

function standing(value) {
  const since = value.since ? make("span", { class: "since" }, " for ", ago(value.since)) : "";
  const why = make("span", { class: "why" }, value.why);
  return make("p", { class: `standing g-${value.state}` }, stateOf(value.state), since, " ", why);
}

function hostParts(value) {
  const told = value.told;
  const parts = [standing(value), next(value.todo), facts([
    ["heard", value.heard ? [ago(value.heard), " ago"] : "never"],
    ["expected by", value.expected_by.join(", ")],
    ["next tick by", told && told.next_tick ? dateOf(told.next_tick) : ""],
    ["booted", told && told.booted ? [ago(told.booted), " ago"] : ""],
    ["kernel", told ? told.kernel : ""],
    ["rsync", told ? told.rsync : ""],
    ["disk", told && told.disk ? diskOf(told) : ""],
    ["calls itself", told && told.name !== value.host ? told.name : ""],
  ])];
  const notes = told ? told.notes || [] : [];
  if (notes.length) parts.push(list(notes));
  for (const system of value.systems) parts.push(systemPart(system, value));
  if (told && told.fixes.length) {
    parts.push(part("Offers", list(told.fixes.map(([path, overlay, reason, todo]) =>
      [make("code", {}, `/${path}`), ` of ${overlay}${reason ? `: ${reason}` : ""}`, next(todo)]))));
  }
  if (value.events.length) {
    parts.push(part("What became of it", tableOf("What became of it", ["When", "System", "What"], value.events.map(([at, system, , what]) =>
      make("tr", {}, make("td", {}, ago(at), " ago"), make("td", {}, system), make("td", { class: "wide" }, what))))));
  }
  return parts.filter(Boolean);
}

function diskOf(told) {
  const meter = make("span", { class: "meter", "aria-hidden": "true" }, make("i"));
  meter.firstChild.style.width = `${Math.round(100 * (1 - told.free / told.disk))}%`;
  return [meter, ` ${size(told.free)} of ${size(told.disk)} free`];
}

function systemPart(system, value) {
  const order = (script) => OTHER_STATES.indexOf(script[1]) === 0 ? 9 : OTHER_STATES.indexOf(script[1]);
  const scripts = [...system.scripts].sort((one, other) => order(one) - order(other));
  const more = system.concerns.filter(([state, why]) => state !== value.state || why !== value.why);
  return part(system.name,
    ...more.flatMap(([state, why, since, todo]) => [standing({ state, why, since }), next(todo)]),
    facts([
      ["image", system.image],
      ["is to have", system.wanted === system.image ? "" : system.wanted],
      ["rolled back", system.rolled_back ? `from ${system.rolled_back}` : ""],
      ["newest", system.reached ? ["what the store has now arrived ", ago(system.reached), " ago"] : "what the store has now has not arrived yet"],
      ["overlays", system.overlays.join(", ")],
      ["generation", system.generation ? String(system.generation) : ""],
      ["classes", system.classes.join(", ")],
      ["ticked", system.ticked ? [ago(system.ticked), ` ago, tick ${system.tick}`] : ""],
      ["ALLiE", system.version],
      ["store", doorOf(system.contact)],
      ["own door", doorOf(system.own)],
      ["paused", system.paused],
      ["arriving", system.arriving],
    ]),
    ...(system.notes.length ? sub("Notes", list(system.notes)) : []),
    ...(system.problems.length ? sub("Left as they are", list(system.problems.map(([path, message]) => [make("code", {}, path), ` ${message}`]))) : []),
    ...(system.drift.length ? sub("Changed by hand", list(system.drift.map(([path, kind]) => [linkTo("path", path), kind ? ` ${kind}` : ""]))) : []),
    ...changePart(system.change),
    ...(scripts.length ? sub("Scripts", tableOf(`Scripts of ${system.name}`, ["Script", "State", "For", "How it ended"], scripts.map(scriptRow))) : []));
}

function doorOf(door) {
  if (!door.server && !door.trouble) return "";
  const heard = door.good ? ["; answered ", ago(door.good), " ago"] : [];
  return [door.server, door.trouble ? `: ${door.trouble}` : "", ...heard];
}

function scriptRow([name, state, why, since, , last]) {
  const how = make("td", { class: "wide" }, state === "satisfied" ? "" : why);
  if (last) how.append(make("pre", {}, last));
  return make("tr", {}, make("th", { scope: "row" }, linkTo("script", name)), make("td", {}, stateOf(state)), make("td", {}, ago(since)), how);
}

function changePart(change) {
  const headings = Object.keys(change.did).filter((heading) => change.did[heading].length);
  if (!headings.length) return [];
  return sub("What its last change was", make("p", { class: "since" }, ago(change.at), " ago"), ...headings.map((heading) => {
    const paths = change.did[heading];
    const count = change.counts[heading] || paths.length;
    const more = count > paths.length ? [`and ${many(count - paths.length, "more path")}`] : [];
    return make("details", {}, make("summary", {}, `${heading}: ${many(count, "path")}`), list([...paths.map((path) => `/${path.replace(/^\/+/, "")}`), ...more]));
  }));
}

// --- a script --------------------------------------------------------------------------------

function scriptParts(value) {
  const states = tableOf("How it stands", ["State", "PCs", "Which"], value.states.map(([state, count, hosts]) => make("tr", {},
    make("th", { scope: "row" }, stateOf(state)),
    make("td", {}, make("a", { href: `index.html#script=${encodeURIComponent(wanted)}&verdict=${state}` }, count.toLocaleString("en"))),
    make("td", { class: "wide hosts" }, ...(hosts ? breakable(hosts) : ["so many that the table shows them"])))));
  const groups = make("ol", { class: "groups" }, ...value.groups.map(groupPart));
  return [states, value.groups.length ? part("Where it is not satisfied", groups) : null].filter(Boolean);
}

function groupPart(group) {
  const one = group.count === 1;
  return make("li", { class: `group g-${group.state === "failing" ? "failing" : "behind"}` },
    make("p", { class: "line" }, stateOf(group.state), " ", one ? linkTo("host", group.hosts) : many(group.count, "PC"), " ",
      make("span", { class: "since" }, one ? "for " : "for up to ", ago(group.since))),
    one ? null : make("p", { class: "hosts" }, ...breakable(group.hosts)),
    make("p", { class: "why" }, group.why),
    group.last ? make("pre", {}, group.last) : null,
    one ? null : make("details", {}, make("summary", {}, "a link to each"), make("p", {}, ...group.names.flatMap((name) => [linkTo("host", name), " "]))));
}

// --- a path ----------------------------------------------------------------------------------

function pathParts(value) {
  return [
    make("p", {}, `Changed by hand on ${many(value.count, "PC")}, and put back by the tick that saw it. `, "When, and where: ", make("code", {}, `allie fleet --log ${quoted(wanted)}`)),
    make("p", { class: "hosts" }, ...breakable(value.hosts)),
    tableOf("Where it was seen", ["PC", "System", "What of it", "Seen"], value.seen.map(([host, system, at, kind]) => make("tr", {},
      make("th", { scope: "row" }, linkTo("host", host)), make("td", {}, system), make("td", {}, kind), make("td", {}, ago(at), " ago")))),
  ];
}

addEventListener("hashchange", showWanted);
load("made");
showWanted();
