"use strict";
// The fleet over time, drawn as SVG: how many stood how, reports an hour, and roll-outs.

const WIDTH = 560;
const LEFT = 40;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 20;
const LATELY = 15; // events

function showPictures(data) {
  byId("time").hidden = false;
  showLately(data.lately);
  const place = byId("pictures");
  if (data.at.length < 2) {
    place.replaceChildren(make("p", {}, "There is too little history yet: it begins with the first two times that this site was made."));
    return;
  }
  place.replaceChildren(statesPicture(data), reportsPicture(data), ...data.rollouts.map(rolloutPicture));
}

/** What became otherwise, newest first; equal events of many PCs are one. */
function showLately(lately) {
  byId("lately-section").hidden = !lately.length;
  byId("lately").replaceChildren(...lately.slice(0, LATELY).map(([at, hosts, count, system, what]) => {
    const where = count === 1 ? linkTo("host", hosts) : make("span", { title: hosts }, hosts.length <= 40 ? hosts : many(count, "PC"));
    return make("li", {}, make("span", { class: "since" }, ago(at), " ago "), where, system ? ` ${system}` : "", ": ", ...breakable(what));
  }));
}

/** A figure: heading, picture, and in words what it shows. */
function figure(title, words, height, parts, legend) {
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}: ${words}` }, ...parts);
  return make("figure", {}, make("figcaption", {}, make("b", {}, title), " ", make("span", {}, words)), svg, legend);
}

function scales(times, most, height) {
  const first = times[0];
  const length = Math.max(1, times[times.length - 1] - first);
  return {
    x: (at) => LEFT + ((at - first) / length) * (WIDTH - LEFT - RIGHT),
    y: (value) => height - BOTTOM - (value / most) * (height - TOP - BOTTOM),
  };
}

const round = (number) => Math.round(number * 10) / 10;

function axes(times, most, height, { x, y }) {
  const parts = [];
  for (const value of ticksOf(most)) {
    parts.push(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: round(y(value)), y2: round(y(value)) }));
    parts.push(draw("text", { x: LEFT - 6, y: round(y(value)) + 4, "text-anchor": "end" }, value.toLocaleString("en")));
  }
  const [from, to] = [times[0], times[times.length - 1]];
  for (const [at, text] of daysOf(from, to)) {
    parts.push(draw("line", { class: "tick", x1: round(x(at)), x2: round(x(at)), y1: height - BOTTOM, y2: height - BOTTOM + 4 }));
    parts.push(draw("text", { x: round(x(at)), y: height - 4, "text-anchor": "middle" }, text));
  }
  return parts;
}

/** Round numbers from 0 up to the greatest. */
function ticksOf(most) {
  const rough = most / 2;
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough) || unit);
  const found = [];
  for (let value = 0; value <= most; value += step) found.push(value);
  return found;
}

/** Times to be named below a picture: midnights, or where it is of a day or two hours, or minutes. */
function daysOf(from, to) {
  const minutes = (to - from) / 60;
  const day = 24 * 60;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, day, 2 * day];
  const step = steps.find((each) => minutes / each <= 8) || day * Math.ceil(minutes / day / 7);
  const at = new Date(from * 1000);
  at.setSeconds(0, 0);
  if (step >= 60) at.setMinutes(0);
  if (step >= day) at.setHours(0);
  const found = [];
  for (let hop = 0; at.getTime() / 1000 <= to && hop < 1000; hop += 1) {
    const time = at.getTime() / 1000;
    const minute = at.getHours() * 60 + at.getMinutes();
    const fits = step >= day || minute % step === 0;
    if (fits && (time - from) / (to - from) > 0.03 && (time - from) / (to - from) < 0.97) {
      const date = at.toLocaleDateString("en", { weekday: "short", day: "numeric" });
      const clock = `${at.getHours()}:${String(at.getMinutes()).padStart(2, "0")}`;
      found.push([time, step >= day || minute === 0 ? date : clock]);
    }
    if (step >= day) at.setDate(at.getDate() + step / day);
    else if (step >= 60) at.setHours(at.getHours() + 1);
    else at.setMinutes(at.getMinutes() + 1);
  }
  return found;
}

function statesPicture(data) {
  const height = 190;
  const present = Object.keys(data.states);
  // Drawn from below: those that are well, and on them, the worst at the top
  const order = [...present].reverse();
  const sums = data.at.map((_, at) => present.reduce((sum, state) => sum + data.states[state][at], 0));
  const most = Math.max(1, ...sums);
  const scale = scales(data.at, most, height);
  const base = data.at.map(() => 0);
  const areas = order.map((state) => {
    const under = data.at.map((at, index) => `${round(scale.x(at))} ${round(scale.y(base[index]))}`);
    data.states[state].forEach((value, index) => { base[index] += value; });
    const over = data.at.map((at, index) => `${round(scale.x(at))} ${round(scale.y(base[index]))}`);
    return draw("path", { class: `area f-${state}`, d: `M${over.join("L")}L${under.reverse().join("L")}Z` });
  });
  const last = data.at.length - 1;
  const words = present.filter((state) => data.states[state][last]).map((state) => `${data.states[state][last].toLocaleString("en")} ${state}`).join(", ");
  const legend = make("p", { class: "legend" }, ...present.map((state) => make("span", {}, make("i", { class: `f-${state}` }), ` ${state} `)));
  return figure("PCs by state", `now ${words}`, height, [...areas, ...axes(data.at, most, height, scale)], legend);
}

function reportsPicture(data) {
  const height = 100;
  const most = Math.max(1, ...data.reports);
  const scale = scales(data.at, most, height);
  const line = data.at.map((at, index) => `${round(scale.x(at))} ${round(scale.y(data.reports[index]))}`);
  const area = `M${LEFT} ${height - BOTTOM}L${line.join("L")}L${WIDTH - RIGHT} ${height - BOTTOM}Z`;
  const words = `${data.reports[data.reports.length - 1].toLocaleString("en")} in the last hour, ${most.toLocaleString("en")} at most`;
  const parts = [draw("path", { class: "fill", d: area }), draw("path", { class: "line", d: `M${line.join("L")}` })];
  return figure("Reports an hour", words, height, [...parts, ...axes(data.at, most, height, scale)], null);
}

/** How a change of an overlay arrives; the line begins when it was made. */
function rolloutPicture(rollout) {
  const height = 100;
  const all = Math.max(1, rollout.following);
  const times = [rollout.changed, ...rollout.at];
  const values = [0, ...rollout.reached];
  const most = Math.max(all, ...values); // of those that had it some have gone
  const scale = scales(times, most, height);
  const points = times.map((at, index) => `${round(scale.x(at))} ${round(scale.y(values[index]))}`);
  const reached = values[values.length - 1];
  const words = `changed ${dateOf(rollout.changed)}; ${reached.toLocaleString("en")} of ${many(all, "system")} ${all === 1 ? "has" : "have"} it`;
  const end = [scale.x(times[times.length - 1]), height - BOTTOM];
  const area = `M${LEFT} ${height - BOTTOM}L${points.join("L")}L${round(end[0])} ${end[1]}Z`;
  const goal = draw("line", { class: "goal", x1: LEFT, x2: WIDTH - RIGHT, y1: round(scale.y(all)), y2: round(scale.y(all)) });
  const parts = [draw("path", { class: "fill", d: area }), draw("path", { class: "line", d: `M${points.join("L")}` }), goal];
  return figure(`Roll-out of ${rollout.overlay}`, words, height, [...axes(times, most, height, scale), ...parts], null);
}
