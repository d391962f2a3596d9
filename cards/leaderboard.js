"use strict";
(() => {
  const form = document.getElementById("filter");
  const count = document.getElementById("count");
  const nothing = document.getElementById("nothing");
  const rows = [...document.querySelectorAll("[data-padding]")];
  const tables = [...document.querySelectorAll("table.board")];
  const curves = [...document.querySelectorAll("#curves li")];
  const texts = new Map();
  const KEYS = ["text", "init", "padding"];
  const LINE = 15;
  let sorted = "";

  // Tablesort turns what it has sorted round, so that larger comes first here.
  Tablesort.extend("number", () => false, (a, b) => Number(b) - Number(a));
  for (const table of tables) {
    new Tablesort(table);
    // The buttons take the focus: a second stop at the cell around each would be one too many.
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("tabindex");
    table.addEventListener("afterSort", () => {
      const head = table.querySelector("thead [aria-sort]");
      const place = head.cellIndex;
      // What is missing comes last, whichever way the rest stands.
      for (const row of [...table.tBodies[0].rows]) if (row.cells[place].dataset.sort === "") row.parentNode.append(row);
      sorted = `${nameOf(head)}${head.getAttribute("aria-sort") === "descending" ? ",down" : ""}`;
      if (form.elements.sort) form.elements.sort.value = [...form.elements.sort.options].some((one) => one.value === sorted) ? sorted : "";
      remember();
    });
  }

  function nameOf(head) { return (head.querySelector("button").getAttribute("aria-label") ?? head.textContent).replace(/\u00ad/g, "").replace(/\s+/g, " ").trim(); }

  function sortBy(wanted) {
    const [name, way] = wanted.split(",");
    for (const table of tables) {
      const head = [...table.tHead.rows[0].cells].find((cell) => nameOf(cell) === name);
      const aim = way === "down" ? "descending" : "ascending";
      for (let tries = 0; head && tries < 2 && head.getAttribute("aria-sort") !== aim; tries += 1) head.querySelector("button").click();
    }
  }

  function textOf(row) {
    if (!texts.has(row)) texts.set(row, (row.tagName === "DETAILS" ? row.querySelector("summary") : row).textContent.toLowerCase());
    return texts.get(row);
  }

  function draw() {
    const drawn = new Set(curves.filter((one) => !one.hidden && !one.classList.contains("off")).map((one) => one.dataset.curve));
    for (const svg of document.querySelectorAll("#accuracy > svg")) {
      const labels = [];
      for (const part of svg.querySelectorAll("[data-series]")) {
        part.classList.toggle("off", !drawn.has(part.dataset.series));
        if (part.tagName === "text" && drawn.has(part.dataset.series)) labels.push(part);
      }
      labels.sort((a, b) => a.dataset.y - b.dataset.y);
      let over = -Infinity, under = Number(svg.dataset.floor);
      const heights = labels.map((label) => (over = Math.max(Number(label.dataset.y), over + LINE)));
      for (let place = labels.length - 1; place >= 0; place -= 1) {
        heights[place] = Math.min(heights[place], under);
        under = heights[place] - LINE;
        labels[place].setAttribute("y", heights[place] + 4);
      }
    }
    const note = document.getElementById("drawn");
    if (note) note.firstChild.textContent = `Drawn: ${drawn.size} of ${curves.length} networks.`;
  }

  function apply() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const init = form.elements.init.value, padding = form.elements.padding.value;
    let shown = 0, all = 0;
    for (const row of rows) {
      const fits = (!init || row.dataset.init.split(" ").includes(init)) && (!padding || row.dataset.padding === padding)
        && words.every((word) => textOf(row).includes(word));
      row.hidden = !fits;
      if (row.tagName === "TR") { all += 1; shown += fits; }
    }
    for (const table of tables) {
      const empty = ![...table.tBodies[0].rows].some((row) => !row.hidden);
      table.parentNode.hidden = empty;
      const title = table.parentNode.previousElementSibling;
      if (title && title.tagName === "H4") title.hidden = empty;
    }
    count.textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
    nothing.hidden = shown > 0 || all === 0;
    draw();
  }

  function remember() {
    const kept = new URLSearchParams();
    for (const key of KEYS) if (form.elements[key].value) kept.set(key, form.elements[key].value);
    if (sorted) kept.set("sort", sorted);
    const off = curves.filter((one) => one.dataset.chosen).map((one) => one.dataset.curve + (one.classList.contains("off") ? "-" : ""));
    if (off.length) kept.set("curves", off.join(" "));
    history.replaceState(null, "", `#${kept.size ? "?" : ""}${kept}`);
  }

  function fill(values) {
    for (const key of KEYS) form.elements[key].value = values.get(key) ?? "";
    for (const key of KEYS.slice(1)) if (form.elements[key].selectedIndex < 0) form.elements[key].value = "";
    for (const word of (values.get("curves") ?? "").split(" ").filter(Boolean)) {
      const one = curves.find((curve) => curve.dataset.curve === word.replace("-", ""));
      if (one) { one.dataset.chosen = "1"; press(one, !word.endsWith("-")); }
    }
    apply();
    if (values.get("sort")) sortBy(values.get("sort"));
  }

  function press(one, on) {
    one.classList.toggle("off", !on);
    one.querySelector("button").setAttribute("aria-pressed", String(on));
  }

  function follow() {
    if (location.hash.startsWith("#?")) return fill(new URLSearchParams(location.hash.slice(2)));
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) fill(new URLSearchParams());
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  }

  for (const one of curves) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...[...one.childNodes].filter((node) => node.nodeName !== "A"));
    button.append(one.querySelector("bdi").textContent);
    const link = one.querySelector("a");
    link.textContent = "#";
    link.className = "link";
    link.title = "the entry";
    link.setAttribute("aria-label", `the entry of ${button.textContent.trim()}`);
    one.prepend(button);
    press(one, !one.classList.contains("off"));
    button.addEventListener("click", () => {
      one.dataset.chosen = "1";
      press(one, one.classList.contains("off"));
      draw();
      remember();
    });
  }
  for (const svg of document.querySelectorAll("#accuracy > svg")) svg.dataset.floor = svg.querySelector(".axis").getAttribute("d").match(/V([\d.]+)/)[1];
  for (const row of document.querySelectorAll("table.qi tbody tr")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unfold";
    button.textContent = "More";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const open = row.classList.toggle("open");
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Less" : "More";
    });
    row.querySelector("th").append(button);
  }
  if (form.elements.sort && tables.length) {
    const first = document.querySelector("table.qi") ?? tables[0];
    for (const cell of first.tHead.rows[0].cells) for (const [way, word] of [["", "up"], [",down", "down"]]) {
      const option = document.createElement("option");
      option.value = nameOf(cell) + way;
      option.textContent = `${nameOf(cell)}, ${word}`;
      form.elements.sort.append(option);
    }
    form.elements.sort.addEventListener("change", () => sortBy(form.elements.sort.value || "rank"));
  }
  nothing.querySelector("button").addEventListener("click", () => form.reset());

  const closed = [];
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details:not([open])")) { fold.open = true; closed.push(fold); }
  });
  addEventListener("afterprint", () => { for (const fold of closed.splice(0)) fold.open = false; });
  addEventListener("hashchange", follow);
  form.addEventListener("input", (event) => { if (event.target.name !== "sort") { apply(); remember(); } });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  form.hidden = false;
  apply();
  follow();
})();
