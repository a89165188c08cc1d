"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const MANY = 1500; // points from which on a canvas is quicker than as many elements

  // A specification names colours of the style sheet as "$name"; what depends on the width likewise.
  const fill = (value, known) => {
    if (Array.isArray(value)) return value.map((each) => fill(each, known));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, key === "values" ? each : fill(each, known)]));
    return typeof value === "string" && value.startsWith("$") ? known(value.slice(1)) : value;
  };

  const draw = async (id) => {
    const place = document.getElementById(id);
    if (!place || !charts[id]) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const isNarrow = place.clientWidth < 560;
    const known = (name) => ({ columns: isNarrow ? 2 : 6, ticks: isNarrow ? 4 : 8 })[name] ?? colour(name);
    const spec = {
      ...fill(charts[id], known),
      background: "transparent",
      config: {
        aria: false, // the place has a description, and a table beside it
        font: getComputedStyle(document.body).fontFamily,
        view: { stroke: null },
        axis: { labelColor: colour("muted"), titleColor: colour("muted"), gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400 },
        legend: { labelColor: colour("ink"), labelFontSize: 13 },
        text: { fontSize: 14 },
      },
    };
    const many = charts[id].data.values.length > MANY;
    await window.vegaEmbed(place, spec, { actions: false, ast: true, renderer: many ? "canvas" : "svg", tooltip: { theme: dark.matches ? "dark" : "light" } });
    place.dataset.drawn = "yes";
  };
  const drawAll = () => Promise.all(Object.keys(charts).map(draw));

  let width = window.innerWidth;
  let later;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a telephone hides its address bar
    width = window.innerWidth;
    clearTimeout(later);
    later = setTimeout(drawAll, 150);
  });
  dark.addEventListener("change", drawAll);
  drawAll().then(() => { document.documentElement.dataset.ready = "yes"; });

  const compare = (one, other, isNumber) => {
    if (one === other) return 0;
    if (one === "") return 1;
    if (other === "") return -1;
    return isNumber ? Number(one) - Number(other) : one.localeCompare(other);
  };
  const sort = (table, column, heading) => {
    const isNumber = heading.classList.contains("n");
    const before = heading.getAttribute("aria-sort");
    const direction = before ? (before === "ascending" ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", direction);
    const body = table.tBodies[0];
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.cells[column].dataset.value ?? "";
    const rows = [...body.rows].sort((one, other) => {
      const [first, second] = [value(one), value(other)];
      const order = compare(first, second, isNumber);
      return first === "" || second === "" ? order : sign * order; // nothing measured comes last
    });
    body.append(...rows);
    document.getElementById("sorted").textContent = `Sorted by ${heading.textContent.trim()}, ${direction}.`;
  };
  for (const table of document.querySelectorAll("table.sortable"))
    [...table.tHead.rows[0].cells].forEach((heading, column) =>
      heading.querySelector("button").addEventListener("click", () => sort(table, column, heading)));
})();
