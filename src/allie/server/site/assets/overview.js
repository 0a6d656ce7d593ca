"use strict";
// The overview: counts, what needs attention, scripts and paths; the pictures and the table are
// other files'.

const GROUPS = 8; // of what needs attention, before one asks for more
const NAMES = 12; // of scripts, and of paths
let allGroups = false;

function showCounts(summary) {
  const total = Object.values(summary.counts).reduce((sum, count) => sum + count, 0);
  byId("total").textContent = total.toLocaleString("en");
  const present = summary.states.filter((state) => summary.counts[state]);
  byId("counts").replaceChildren(...present.map((state) => {
    const needs = summary.attention.includes(state) ? "needs" : false;
    const link = make("a", { href: `#state=${state}`, class: needs }, make("b", {}, summary.counts[state].toLocaleString("en")), " ", sign(state), ` ${state}`);
    link.dataset.state = state;
    return make("li", {}, link);
  }));
  byId("bar").replaceChildren(...present.map((state) => {
    const piece = make("i", { class: `f-${state}` });
    piece.style.flexGrow = summary.counts[state];
    return piece;
  }));
  const troubles = byId("troubles");
  troubles.hidden = !summary.troubles.length;
  troubles.replaceChildren(...summary.troubles.map((each) => make("p", { class: "notice" }, each)));
}

function showGroups(summary) {
  byId("attention").hidden = false;
  const list = allGroups ? summary.groups : summary.groups.slice(0, GROUPS);
  byId("groups").replaceChildren(...list.map(groupOf));
  const more = byId("more-groups");
  const left = summary.groups.length - list.length;
  more.replaceChildren();
  if (!summary.groups.length) more.append("Nothing does.");
  if (left) {
    const button = make("button", { type: "button" }, `Show ${many(left, "more trouble")}`);
    button.addEventListener("click", () => {
      allGroups = true;
      showGroups(summary);
      byId("groups").children[GROUPS].querySelector("a").focus();
    });
    more.append(button);
  } else if (summary.more) {
    more.append(`and ${many(summary.more, "PC")} more: `, make("a", { href: `#state=${summary.attention}` }, "the table has all"));
  }
}

function groupOf(group) {
  const hosts = make("p", { class: "hosts" }, ...breakable(group.hosts));
  const since = group.since ? [group.count > 1 ? "for up to " : "for ", ago(group.since)] : [];
  const alike = addressOf({ concern: concernOf(group) });
  const link = group.count === 1 ? linkTo("host", group.hosts) : make("a", { href: alike }, many(group.count, "PC"));
  return make("li", { class: `group g-${group.state}` },
    make("p", { class: "line" }, stateOf(group.state), " ", link, group.system ? ` ${group.system} ` : " ", make("span", { class: "since" }, ...since)),
    group.count > 1 ? hosts : null,
    make("p", { class: "why" }, group.why),
    group.last ? make("pre", {}, group.last) : null,
    group.todo ? make("p", { class: "todo" }, make("span", { class: "label" }, "next"), " ", make("code", {}, group.todo)) : null);
}

/** A short table of scripts or paths, the worst first. */
function listOf(id, found, heads, page, none) {
  const place = byId(id);
  if (!found.all) {
    place.replaceChildren(make("p", {}, none));
    return;
  }
  const body = make("tbody");
  const fill = (most) => body.replaceChildren(...found.worst.slice(0, most).map(([name, numbers]) => make("tr", {},
    make("th", { scope: "row" }, linkTo(page, name)),
    ...numbers.map((number) => make("td", {}, number ? number.toLocaleString("en") : make("span", { class: "none" }, "–"))))));
  fill(NAMES);
  const table = make("table", { class: "list" },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), body);
  const more = make("p", {});
  if (found.worst.length > NAMES) {
    const button = make("button", { type: "button" }, `Show all ${found.worst.length.toLocaleString("en")}`);
    button.addEventListener("click", () => {
      fill(found.worst.length);
      more.textContent = found.all > found.worst.length ? `${many(found.all, "name")} in all` : "";
      body.rows[NAMES].querySelector("a").focus();
    });
    more.append(button);
  }
  place.replaceChildren(table, more);
}

function showLists(summary) {
  byId("lists").hidden = false;
  listOf("scripts", summary.scripts, ["Script", ...summary.verdicts], "script", "No PC has told of a script.");
  listOf("paths", summary.paths, ["Path", "PCs"], "path", "Nothing was.");
}

onData("summary", (summary) => {
  performance.mark("summary");
  showCounts(summary);
  showGroups(summary);
  showLists(summary);
  fillTable(summary);
  performance.mark("shown");
});
onData("over-time", showPictures);
// The page itself names the files of data, so that a browser fetches them while it reads the rest
addEventListener("load", () => {
  if (words) return;
  byId("troubles").hidden = false;
  byId("troubles").replaceChildren(make("p", { class: "notice" }, "data/summary.js cannot be loaded: copy the whole directory, not one page of it."));
});
