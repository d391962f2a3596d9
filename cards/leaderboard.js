"use strict";
(() => {
  const form = document.getElementById("filter");
  const count = document.getElementById("count");
  const rows = [...document.querySelectorAll("[data-padding]")];
  const texts = new Map();
  const KEYS = ["text", "init", "padding"];

  // Tablesort turns what it has sorted round, so that larger comes first here.
  Tablesort.extend("number", () => false, (a, b) => Number(b) - Number(a));
  for (const table of document.querySelectorAll("table.board")) {
    new Tablesort(table);
    // The buttons take the focus: a second stop at the cell around each would be one too many.
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("tabindex");
  }

  function textOf(row) {
    if (!texts.has(row)) texts.set(row, (row.tagName === "TR" ? row : row.querySelector("summary")).textContent.toLowerCase());
    return texts.get(row);
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
    count.textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
  }

  function remember() {
    const kept = new URLSearchParams();
    for (const key of KEYS) if (form.elements[key].value) kept.set(key, form.elements[key].value);
    history.replaceState(null, "", `#${kept.size ? "?" : ""}${kept}`);
  }

  function fill(values) {
    for (const key of KEYS) form.elements[key].value = values.get(key) ?? "";
    for (const key of KEYS.slice(1)) if (form.elements[key].selectedIndex < 0) form.elements[key].value = "";
    apply();
  }

  function follow() {
    if (location.hash.startsWith("#?")) return fill(new URLSearchParams(location.hash.slice(2)));
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) fill(new URLSearchParams());
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  }

  const closed = [];
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details:not([open])")) { fold.open = true; closed.push(fold); }
  });
  addEventListener("afterprint", () => { for (const fold of closed.splice(0)) fold.open = false; });
  addEventListener("hashchange", follow);
  form.addEventListener("input", () => { apply(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { apply(); remember(); }));
  form.hidden = false;
  apply();
  follow();
})();
