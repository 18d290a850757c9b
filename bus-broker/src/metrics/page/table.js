// One table: a part of what there is, as the broker has sorted and filtered it.
//
// Names are strangers' input: everything goes in as text, never as markup. Elements are used again from
// look to look, so that a selection, the focus and the place of scrolling stay.

import { SHOW } from "./words.js";

const head = document.querySelector("#table thead");
const body = document.querySelector("#table tbody");
let shape = "";

/** Shows a part; `sort` is told of a click on a title. */
export function showPart(part, sort) {
  const now = part.table + " " + part.sort + " " + part.down;
  if (now !== shape) {
    shape = now;
    showHead(part, sort);
  }
  const rows = part.rows;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, index) => showRow(body.rows[index] ?? body.insertRow(), row, part.columns));
}

function showHead(part, sort) {
  const focused = document.activeElement?.dataset?.column;
  const row = document.createElement("tr");
  for (const column of part.columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = column.kind;
    const sorted = column.key === part.sort;
    cell.ariaSort = sorted ? (part.down ? "descending" : "ascending") : "none";
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.column = column.key;
    button.title = column.help;
    button.textContent = column.title;
    button.addEventListener("click", () => sort(column));
    cell.append(button);
    row.append(cell);
  }
  head.replaceChildren(row);
  if (focused) head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
}

function showRow(line, row, columns) {
  line.className = row.mark;
  while (line.cells.length > columns.length) line.deleteCell(-1);
  columns.forEach((column, index) => {
    const cell = line.cells[index] ?? line.insertCell();
    const value = row.cells[index];
    const text = SHOW[column.kind](value);
    if (cell.textContent !== text) cell.textContent = text;
    const quiet = column.kind !== "text" && (value == null || value === 0);
    const kind = column.kind + (quiet ? " zero" : "");
    if (cell.className !== kind) cell.className = kind;
    const hint = column.kind === "text" || value == null ? text : value.toLocaleString("en");
    if (cell.title !== hint) cell.title = hint;
  });
}
