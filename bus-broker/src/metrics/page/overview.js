// Everything together, and who holds what up.

import { age, bytes, count, micros, rate } from "./words.js";

const totals = document.getElementById("totals");
const list = document.getElementById("held-list");
const none = document.getElementById("held-none");
const more = document.getElementById("held-more");

/** Of each: its title, its text, and whether it is good news. */
const TILES = [
  ["In", "a second", (it) => rate(it.totals.messages_in)],
  ["Out", "a second", (it) => rate(it.totals.messages_out)],
  ["Waiting", "messages", (it) => count(it.totals.messages)],
  ["Size", "of those", (it) => bytes(it.totals.bytes)],
  ["Leased", "not settled", (it) => count(it.totals.leased)],
  ["Blocked", "sends", (it) => count(it.totals.blocked), (it) => it.totals.blocked > 0 && "bad"],
  ["Dead", "letters", (it) => count(it.totals.dead), (it) => it.totals.dead_rate > 0 && "warn"],
  ["Clients", (it) => count(it.totals.lanes) + " on lanes", (it) => count(it.counts.clients)],
  ["Router", "round trip", (it) => micros(it.totals.round_trip_us)],
];

const tiles = TILES.map(([title]) => {
  const tile = document.createElement("div");
  const parts = ["dt", "dd", "small"].map((name) => document.createElement(name === "small" ? "small" : "span"));
  parts[0].className = "title";
  parts[1].className = "figure";
  parts[0].textContent = title;
  parts[1].textContent = "–";
  tile.append(...parts);
  totals.append(tile);
  return { tile, figure: parts[1], unit: parts[2] };
});

export function showTotals(now) {
  TILES.forEach(([, unit, figure, mark], index) => {
    const { tile, figure: place, unit: below } = tiles[index];
    place.textContent = figure(now);
    below.textContent = typeof unit === "function" ? unit(now) : unit;
    tile.className = (mark && mark(now)) || "";
  });
  document.getElementById("name").textContent = now.broker.name || "Busbar";
  const { version, pid, uptime_ms: uptime, listeners } = now.broker;
  const about = document.getElementById("about");
  about.textContent = `${version} · up ${age(uptime)} · pid ${pid}`;
  about.title = listeners.join("\n");
}

/** `go` is told of a click: the table, and the name. */
export function showHeld(held, go) {
  const all = held.first;
  const words = [];
  if (held.bad) words.push(`${held.bad} waiting`);
  if (held.warn) words.push(`${held.warn} to look at`);
  if (held.note) words.push(`${held.note} to know`);
  none.textContent = words.length ? words.join(", ") : "Nothing is held up.";
  document.getElementById("held").dataset.level = held.bad ? "bad" : held.warn ? "warn" : "";
  while (list.children.length > all.length) list.lastChild.remove();
  all.forEach((one, index) => {
    const item = list.children[index] ?? list.appendChild(entry());
    item.className = one.level;
    const [button, text] = item.children;
    button.onclick = () => go(one.table, one.table === "lanes" ? "" : one.name);
    const [kind, name] = button.children;
    set(kind, one.table.slice(0, -1));
    set(name, one.name);
    set(text, one.text);
    text.title = one.text;
  });
  const left = held.bad + held.warn + held.note - all.length;
  more.hidden = left <= 0;
  more.textContent = `and ${left} more`;
}

function entry() {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.append(document.createElement("small"), document.createElement("b"));
  item.append(button, document.createElement("span"));
  return item;
}

function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
