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
    // The place has a description; the parts of the picture need none.
    place.querySelectorAll("svg, svg *").forEach((each) => ["role", "aria-roledescription", "aria-label"].forEach((name) => each.removeAttribute(name)));
    place.querySelectorAll("svg, canvas").forEach((each) => each.setAttribute("aria-hidden", "true"));
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

  // The page holds the first rows of the table of images; the others are made when they are needed.
  const rest = JSON.parse(document.getElementById("rows").textContent);
  const images = document.querySelector('[aria-label="Table of images"] tbody');
  const element = (name, className, text) => Object.assign(document.createElement(name), { className, textContent: text });
  const makeRow = ([image, clusters, namespaces, cells]) => {
    const row = document.createElement("tr");
    Object.assign(row.dataset, { image, clusters: clusters.join(" "), namespaces: namespaces.join(" ") });
    const head = document.createElement("th");
    head.scope = "row";
    head.dataset.value = image;
    head.append(element("span", "name", image.split("/").pop().replace(/(@.{15}).*/, "$1")), element("span", "full", image));
    row.append(head, ...cells.map(([value, text, sub]) => {
      const cell = element("td", "n", text);
      cell.dataset.value = value;
      if (sub) cell.append(element("span", "sub", sub));
      return cell;
    }));
    return row;
  };
  const makeRest = () => { if (images) images.append(...rest.splice(0).map(makeRow)); };

  const shown = { findings: false, images: false };
  const field = (id) => document.getElementById(id);
  const has = (list, value) => value === "" || (list ?? "").split(" ").includes(value);
  const apply = () => {
    const [search, cluster, namespace] = ["search", "cluster", "namespace"].map((id) => field(id).value.trim().toLowerCase());
    const isFiltered = search + cluster + namespace !== "";
    if (isFiltered || shown.images) makeRest();
    const matches = ({ dataset }) => (dataset.image ?? dataset.images).toLowerCase().includes(search)
      && (!("clusters" in dataset) || has(dataset.clusters, cluster)) && (!("namespaces" in dataset) || has(dataset.namespaces, namespace));
    let count = 0;
    for (const row of images?.rows ?? []) { row.hidden = !matches(row); count += !row.hidden; }
    for (const each of document.querySelectorAll(".finding"))
      each.hidden = !matches(each) || (each.classList.contains("more") && !isFiltered && !shown.findings);
    const named = new Set([...(images?.rows ?? [])].filter((row) => !row.hidden).map((row) => row.dataset.image));
    for (const each of document.querySelectorAll("details.image")) each.hidden = isFiltered && !named.has(each.dataset.image);
    field("matches").textContent = isFiltered ? `${count.toLocaleString("en")} image${count === 1 ? "" : "s"}` : "";
  };
  const filters = document.querySelector(".filters");
  if (filters) {
    filters.hidden = false;
    filters.addEventListener("input", apply);
    filters.addEventListener("submit", (event) => event.preventDefault());
    field("clear").addEventListener("click", () => { filters.reset(); apply(); });
    apply();
  }
  for (const button of document.querySelectorAll(".show-all")) {
    button.hidden = false;
    button.addEventListener("click", () => { shown[button.dataset.shows] = true; apply(); button.hidden = true; });
  }
  for (const button of document.querySelectorAll(".copier")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
    });
  }
})();
