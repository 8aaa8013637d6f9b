"use strict";
(() => {
  const copyText = async (button, text) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  for (const block of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the commands");
    button.addEventListener("click", () => copyText(button, block.querySelector("pre").textContent));
    block.append(button);
  }

  const sortBy = (table, column, heading) => {
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.sort, row]);
    keyed.sort(([a], [b]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    });
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      button.addEventListener("click", () => sortBy(table, column, heading));
      heading.replaceChildren(button);
    });
  }

  const tools = (before) => {
    const bar = document.createElement("div");
    bar.className = "tools";
    before.before(bar);
    return bar;
  };
  const field = (bar, name, element) => {
    const label = document.createElement("label");
    label.append(name, element);
    bar.append(label);
    return element;
  };
  const said = (bar) => {
    const text = document.createElement("p");
    text.setAttribute("role", "status");
    bar.append(text);
    return text;
  };
  const search = () => Object.assign(document.createElement("input"), { type: "search", size: 22 });
  const choice = (values) => {
    const select = document.createElement("select");
    for (const value of ["all", ...values]) select.add(new Option(value, value === "all" ? "" : value));
    return select;
  };

  const findings = [...document.querySelectorAll("details.finding")];
  if (findings.length > 3) {
    const bar = tools(findings[0]);
    const words = (key) => [...new Set(findings.map((finding) => finding.dataset[key]))];
    const text = field(bar, "Find", search());
    const severity = field(bar, "Severity", choice(words("severity")));
    const component = field(bar, "Component", choice(words("component")));
    const all = bar.appendChild(document.createElement("button"));
    all.type = "button";
    const status = said(bar);
    const closed = () => findings.some((finding) => !finding.hidden && !finding.open);
    const label = () => { all.textContent = closed() ? "Open all" : "Close all"; };
    const filter = () => {
      const wanted = text.value.toLowerCase();
      for (const finding of findings) {
        finding.hidden = !finding.textContent.toLowerCase().includes(wanted)
          || Boolean(severity.value && finding.dataset.severity !== severity.value)
          || Boolean(component.value && finding.dataset.component !== component.value);
      }
      status.textContent = `${findings.filter((finding) => !finding.hidden).length} of ${findings.length} shown`;
      label();
    };
    bar.addEventListener("input", filter);
    all.addEventListener("click", () => {
      const open = closed();
      for (const finding of findings) if (!finding.hidden) finding.open = open;
      label();
    });
    filter();
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 8) continue;
    const bar = tools(table.closest(".scroll") || table);
    const text = field(bar, `Rows of ${table.caption.dataset.name} that hold`, search());
    const status = said(bar);
    const filter = () => {
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(text.value.toLowerCase());
      status.textContent = text.value ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown` : "";
    };
    text.addEventListener("input", filter);
  }

  for (const chart of document.querySelectorAll(".timeline")) {
    const steps = JSON.parse(chart.dataset.steps);
    const cross = chart.querySelector(".cross");
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: steps.length - 1, value: 0 });
    const output = document.createElement("output");
    slider.setAttribute("aria-label", `Moment of ${chart.querySelector("title").textContent}`);
    output.textContent = "Point at the chart, or move the slider, to read its figures.";
    const show = (step) => {
      const at = Math.min(steps.length - 1, Math.max(0, step));
      const x = `${100 * (at + .5) / steps.length}%`;
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      chart.classList.add("read");
      slider.value = at;
      slider.setAttribute("aria-valuetext", steps[at]);
      output.textContent = steps[at];
    };
    const plot = chart.querySelector(".plot");
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      show(Math.floor(steps.length * (event.clientX - box.left) / box.width));
    });
    slider.addEventListener("input", () => show(Number(slider.value)));
    slider.setAttribute("aria-valuetext", steps[0]);
    chart.append(slider, output);
  }

  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    target.hidden = false;
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
})();
