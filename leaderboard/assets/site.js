// Sorting, filtering and searching of what is on the page already. Every page says all it has to say without this.
"use strict";

const words = (text) => text.trim().toLowerCase();

function sortable(table) {
  const body = table.tBodies[0];
  const first = [...body.rows];
  for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const starts = head.dataset.sort === "text" ? "ascending" : "descending";
      const next = !was ? starts : was === starts ? (starts === "ascending" ? "descending" : "ascending") : null;
      table.querySelectorAll("[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
      if (!next) { body.append(...first); return; }
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const key = (row) => row.cells[head.cellIndex]?.dataset.v ?? "";
      body.append(...[...first].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (head.dataset.sort === "text" ? x.localeCompare(y) : x - y);
      }));
    });
  }
}

function board(form) {
  const table = document.getElementById(form.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const told = form.querySelector("output");
  const fields = [...form.elements].filter((one) => one.name);
  const apply = () => {
    const value = Object.fromEntries(fields.map((one) => [one.name, one.type === "checkbox" ? one.checked : one.value]));
    for (const cell of table.querySelectorAll("[data-task]")) {
      const chosen = value.model || ("grouped" in table.dataset ? "" : cell.dataset.model);
      cell.hidden = (value.task && cell.dataset.task !== value.task) || cell.dataset.model !== chosen;
    }
    let shown = 0, all = 0;
    for (const row of rows) {
      if (row.classList.contains("line")) continue;
      all += 1;
      const data = row.dataset;
      const cells = [...row.querySelectorAll("td[data-task]")];
      row.hidden = (value.agent && !words(row.cells[1].textContent).includes(words(value.agent)))
        || (value.verdict && !data.verdicts.split(" ").includes(value.verdict))
        || (value.runs === "several" && data.runs < 2) || (value.runs === "single" && data.runs != 1)
        || (value.ranked && row.classList.contains("unranked"))
        || ((value.task || value.model) && !cells.some((cell) => !cell.hidden && "v" in cell.dataset));
      shown += !row.hidden;
    }
    if (told) told.textContent = shown === all ? `${all} agents` : `${shown} of ${all} agents`;
    const query = new URLSearchParams(fields.flatMap((one) => (value[one.name] ? [[one.name, value[one.name]]] : [])));
    try { history.replaceState(null, "", query.size ? `#${query}` : location.pathname + location.search); } catch { /* opened as a file */ }
  };
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const one of fields) {
    if (!asked.has(one.name)) continue;
    if (one.type === "checkbox") one.checked = true; else one.value = asked.get(one.name);
  }
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  if (asked.size) apply();
}

function list(form) {
  const items = [...document.querySelectorAll(form.dataset.items)];
  const told = form.querySelector("output");
  const field = form.querySelector("input");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const wanted = words(field.value);
    let shown = 0;
    for (const one of items) {
      const hit = !wanted || words(one.textContent).includes(wanted);
      one.hidden = !hit;
      shown += hit;
      if (one.matches(".steps > li")) for (const fold of one.querySelectorAll("details")) {
        fold.open = Boolean(wanted) && words(fold.textContent).includes(wanted);
      }
    }
    told.textContent = wanted ? `${shown} of ${items.length}` : "";
  });
}

function compare(form) {
  const pairs = [...document.querySelectorAll("section[data-a]")];
  const [left, right] = form.querySelectorAll("select");
  const told = form.querySelector("output");
  const apply = () => {
    let found = false;
    for (const one of pairs) {
      const straight = one.dataset.a === left.value && one.dataset.b === right.value;
      const turned = one.dataset.b === left.value && one.dataset.a === right.value;
      one.hidden = !(straight || turned);
      found ||= !one.hidden;
    }
    told.textContent = found ? "" : left.value === right.value ? "Choose two different agents." : "These two were not compared here.";
  };
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("a")) left.value = asked.get("a");
  if (asked.has("b")) right.value = asked.get("b");
  else if (right.options.length > 1) right.selectedIndex = left.selectedIndex === 0 ? 1 : 0;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    apply();
    try { history.replaceState(null, "", `#${new URLSearchParams({ a: left.value, b: right.value })}`); } catch { /* opened as a file */ }
  });
  apply();
}

document.querySelectorAll("table[data-sortable]").forEach(sortable);
document.querySelectorAll("form[data-table]").forEach(board);
document.querySelectorAll("form[data-items]").forEach(list);
document.querySelectorAll("form[data-compare]").forEach(compare);
