(() => {
  const { runs, limits } = JSON.parse(document.getElementById("data").textContent);
  const box = document.querySelector("#compare .scroll");
  const table = box.querySelector("table");
  if (runs.length < 2) {
    box.before("There is one run so far.");
    return;
  }
  const bar = document.createElement("div");
  bar.className = "tools";
  box.before(bar);
  const choose = (name, selected) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    for (const run of runs) select.add(new Option(run.name, run.run));
    select.selectedIndex = selected;
    label.append(name, select);
    bar.append(label);
    return select;
  };
  const status = document.createElement("p");
  status.setAttribute("role", "status");
  const before = choose("Earlier", 1);
  const after = choose("Later", 0);
  bar.append(status);
  box.hidden = false;

  const signed = (value) => {
    const text = Math.abs(value).toFixed(1);
    return text === "0.0" ? "0" : `${value < 0 ? "−" : "+"}${text}`;
  };
  const words = { better: ["good", "✓"], worse: ["poor", "✗"], same: ["none", "="], unclear: ["fair", "?"], changed: ["none", "·"] };
  const judged = (metric, a, b) => {
    const limit = limits[metric];
    const change = (b[0] - a[0]) / Math.abs(a[0] || 1);
    if (a[1] === b[1] || (a[0] && Math.abs(change) < (limit ? limit.effect : .0005))) return "same";
    if (!limit) return "changed";
    if (a.length < 4 || b.length < 4 || (a[3] >= b[2] && b[3] >= a[2])) return "unclear";
    return (b[0] < a[0]) === limit.lower ? "better" : "worse";
  };
  const cell = (row, text, number) => {
    const made = row.insertCell();
    made.textContent = text;
    if (number) made.className = "num";
    return made;
  };
  const line = (metric, a, b) => {
    const row = table.tBodies[0].insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = limits[metric] ? limits[metric].title : metric;
    row.append(head);
    cell(row, a ? a[1] : "not measured", true);
    cell(row, b ? b[1] : "not measured", true);
    if (!a || !b) {
      cell(row, "", true);
      cell(row, "not comparable");
      return;
    }
    const change = a[0] ? 100 * (b[0] - a[0]) / Math.abs(a[0]) : NaN;
    cell(row, isNaN(change) ? "" : `${signed(change)} %`, true);
    const word = judged(metric, a, b);
    const said = cell(row, "");
    said.append(Object.assign(document.createElement("span"), { className: `word ${words[word][0]}`, textContent: `${words[word][1]} ${word}` }));
  };
  const draw = () => {
    const [a, b] = [before, after].map((select) => runs.find((run) => run.run === select.value));
    table.tBodies[0].replaceChildren();
    table.caption.textContent = `${a.run} and ${b.run}`;
    const points = b.score - a.score;
    status.textContent = `Score ${a.shown} → ${b.shown} (${signed(points)} points). `
      + (a.kind === b.kind ? "" : `Not like with like: ${a.kind} then, ${b.kind} now.`);
    const names = new Set([...Object.keys(limits), ...Object.keys(a.figures), ...Object.keys(b.figures)]);
    for (const metric of names) if (a.figures[metric] || b.figures[metric]) line(metric, a.figures[metric], b.figures[metric]);
  };
  const wanted = /^#compare=([^.]+(?:\.[^.]+)*?)\.\.(.+)$/.exec(decodeURIComponent(location.hash));
  if (wanted) {
    before.value = wanted[1];
    after.value = wanted[2];
    if (before.selectedIndex < 0) before.selectedIndex = 1;
    if (after.selectedIndex < 0) after.selectedIndex = 0;
    document.getElementById("compare").scrollIntoView();
  }
  bar.addEventListener("input", () => {
    history.replaceState(null, "", `#compare=${before.value}..${after.value}`);
    draw();
  });
  draw();
})();
