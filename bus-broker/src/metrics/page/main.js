// Asks the broker twice a second and shows what it says. Nothing is asked while nobody looks.
//
// Invariant: one question is under way at a time, and one that is not answered in time counts as none.

import { addLook, layPlots } from "./plots.js";
import { showHeld, showTotals } from "./overview.js";
import { showPart } from "./table.js";
import { age } from "./words.js";

const INTERVAL_MS = 500;
const PATIENCE_MS = 2000;
const ROWS = 50;
const TABLES = ["queues", "topics", "subscriptions", "services", "clients", "lanes", "bridges", "users"];

const find = (id) => document.getElementById(id);
const wanted = { table: "queues", sort: "", down: true, filter: "", from: 0 };
let paused = false;
let epoch = "";
let lastGood = 0;
let timer = 0;
let asking = null;

async function look() {
  clearTimeout(timer);
  asking?.abort();
  const own = (asking = new AbortController());
  const limit = setTimeout(() => own.abort("late"), PATIENCE_MS);
  const query = new URLSearchParams({ ...wanted, down: wanted.down ? "1" : "0", rows: ROWS });
  const begun = performance.now();
  try {
    const answer = await fetch("/snapshot.json?" + query, { signal: own.signal, cache: "no-store" });
    if (!answer.ok) throw new Error("it answers " + answer.status);
    const now = await answer.json();
    if (own === asking) show(now);
  } catch (error) {
    // Another question has taken its place.
    if (own !== asking) return;
    fail(own.signal.aborted ? "it does not answer" : error instanceof TypeError ? "nobody listens there" : error.message);
  } finally {
    clearTimeout(limit);
  }
  if (own !== asking) return;
  asking = null;
  if (!paused && !document.hidden) timer = setTimeout(look, Math.max(50, INTERVAL_MS - (performance.now() - begun)));
}

function show(now) {
  if (epoch && epoch !== now.broker.epoch) addLook(null);
  epoch = now.broker.epoch;
  lastGood = Date.now();
  state("live", paused ? "paused" : "live");
  find("lost").hidden = true;
  document.body.classList.remove("stale");
  showTotals(now);
  showHeld(now.held, go);
  showTabs(now.counts);
  showPart(now.part, sortBy);
  showFoot(now.part);
  addLook(now);
  document.title = (now.held.bad ? `(${now.held.bad}) ` : "") + (now.broker.name || "Busbar");
  document.body.dataset.looks = Number(document.body.dataset.looks ?? 0) + 1;
}

function fail(why) {
  const since = lastGood ? `, the picture is ${age(Date.now() - lastGood)} old` : "";
  state("lost", "no broker");
  find("lost").textContent = `The broker is gone: ${why}${since.replace("now old", "a moment old")}. Trying again.`;
  find("lost").hidden = false;
  document.body.classList.add("stale");
  addLook(null);
}

function state(word, text) {
  find("link").dataset.state = paused && word === "live" ? "paused" : word;
  if (find("link").textContent !== text) find("link").textContent = text;
}

function sortBy(column) {
  if (column.key === wanted.sort || (!wanted.sort && document.querySelector(`[aria-sort]:not([aria-sort="none"]) [data-column="${CSS.escape(column.key)}"]`))) {
    wanted.down = !wanted.down;
  } else {
    wanted.down = column.kind !== "text";
  }
  wanted.sort = column.key;
  wanted.from = 0;
  look();
}

function go(table, filter) {
  Object.assign(wanted, { table, filter, sort: "", down: true, from: 0 });
  find("filter").value = filter;
  remember();
  look();
}

function remember() {
  history.replaceState(null, "", location.pathname + location.search + "#" + wanted.table);
  for (const tab of find("tabs").children) {
    const is = tab.dataset.table === wanted.table;
    tab.ariaSelected = String(is);
    tab.tabIndex = is ? 0 : -1;
  }
  find("scroll").setAttribute("aria-labelledby", "tab-" + wanted.table);
}

function showTabs(counts) {
  for (const tab of find("tabs").children) {
    const text = String(counts[tab.dataset.table]);
    if (tab.lastChild.textContent !== text) tab.lastChild.textContent = text;
  }
}

function showFoot(part) {
  wanted.from = part.from;
  const last = part.from + part.rows.length;
  find("shown").textContent =
    part.matching === 0 ? "Nothing of that name is there." : `${part.from + 1}–${last} of ${part.matching}`;
  if (part.matching === 0 && !wanted.filter) find("shown").textContent = `There are no ${part.table}.`;
  find("back").disabled = part.from === 0;
  find("on").disabled = last >= part.matching;
}

function pause(now) {
  paused = now;
  find("pause").ariaPressed = String(paused);
  find("pause").textContent = paused ? "Go on" : "Pause";
  if (!document.body.classList.contains("stale")) state("live", paused ? "paused" : "live");
  if (paused) clearTimeout(timer);
  else look();
}

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function showTheme() {
  find("theme").textContent = isDark() ? "Light" : "Dark";
  layPlots();
}

function turnTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage is not allowed here: the choice lasts as long as the page.
  }
  showTheme();
}

function begin() {
  for (const table of TABLES) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.id = "tab-" + table;
    tab.dataset.table = table;
    tab.setAttribute("aria-controls", "scroll");
    const number = document.createElement("span");
    tab.append(table[0].toUpperCase() + table.slice(1), number);
    tab.addEventListener("click", () => go(table, ""));
    find("tabs").append(tab);
  }
  const asked = location.hash.slice(1);
  if (TABLES.includes(asked)) wanted.table = asked;
  remember();
  find("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (TABLES.indexOf(wanted.table) + step + TABLES.length) % TABLES.length;
    go(TABLES[next], "");
    find("tabs").children[next].focus();
  });
  find("filter").addEventListener("input", () => {
    Object.assign(wanted, { filter: find("filter").value, from: 0 });
    look();
  });
  find("back").addEventListener("click", () => turnPage(-ROWS));
  find("on").addEventListener("click", () => turnPage(ROWS));
  find("pause").addEventListener("click", () => pause(!paused));
  find("theme").addEventListener("click", turnTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  document.addEventListener("visibilitychange", () => (document.hidden || paused ? clearTimeout(timer) : look()));
  document.addEventListener("keydown", press);
  showTheme();
  look();
}

function turnPage(by) {
  wanted.from = Math.max(0, wanted.from + by);
  look();
}

function press(event) {
  const typing = event.target === find("filter");
  if (event.key === "Escape" && typing) {
    find("filter").value = "";
    find("filter").dispatchEvent(new Event("input"));
    find("filter").blur();
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "A";
  if (event.key === "/") find("filter").focus();
  else if (event.key === "t") turnTheme();
  else if (event.key === " " && !onButton) pause(!paused);
  else if (TABLES[Number(event.key) - 1]) go(TABLES[Number(event.key) - 1], "");
  else return;
  event.preventDefault();
}

begin();
