// Filters: what is chosen stands in the address, so that a view can be shared.
"use strict";
const form = document.getElementById("filters");
const trials = [...document.querySelectorAll(".trial")];
const texts = trials.map((trial) => trial.textContent.toLowerCase());
const boxes = [...form.querySelectorAll("input[name=verdict]")];
const selects = [...form.querySelectorAll("select")];

// Whether a trial has what a list of the filters chooses; of some it may have several words.
function has(trial, select) {
  const value = trial.dataset[select.name] ?? "";
  if (!select.value) return true;
  return select.dataset.list === undefined ? value === select.value : value.split(" ").includes(select.value);
}

function apply() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let shown = 0;
  trials.forEach((trial, index) => {
    const matches =
      verdicts.has(trial.dataset.verdict) &&
      selects.every((select) => has(trial, select)) &&
      words.every((word) => texts[index].includes(word));
    trial.hidden = !matches;
    shown += matches;
  });
  document.getElementById("count").textContent = `${shown} of ${trials.length}`;
  document.getElementById("nothing").hidden = shown > 0;
}

function remember() {
  const chosen = new URLSearchParams();
  if (form.elements.text.value) chosen.set("text", form.elements.text.value);
  for (const select of selects) if (select.value) chosen.set(select.name, select.value);
  if (boxes.some((box) => !box.checked)) for (const box of boxes) if (box.checked) chosen.append("verdict", box.value);
  history.replaceState(null, "", "#" + chosen);
}

function recall() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  form.elements.text.value = chosen.get("text") || "";
  for (const select of selects) select.value = chosen.get(select.name) || "";
  const verdicts = chosen.getAll("verdict");
  for (const box of boxes) box.checked = !verdicts.length || verdicts.includes(box.value);
  apply();
}

function changed() {
  apply();
  remember();
}

form.addEventListener("input", changed);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(changed));
window.addEventListener("hashchange", recall);
for (const cell of document.querySelectorAll(".cell")) {
  cell.addEventListener("click", () => {
    form.reset();
    const chosen = new Map([["family", cell.dataset.family]]);
    for (const line of cell.dataset.choose.split("\n").filter(Boolean)) {
      const at = line.indexOf("=");
      chosen.set(line.slice(0, at), line.slice(at + 1));
    }
    // A reset is carried out after this handler.
    setTimeout(() => {
      for (const select of selects) select.value = chosen.get(select.name) ?? "";
      changed();
      form.scrollIntoView({ block: "start" });
    });
  });
}
// Causes and the ladder's cells are links to a choice.
for (const link of document.querySelectorAll("a.choose")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    recall();
    form.scrollIntoView({ block: "start" });
  });
}
recall();
if (location.hash.length > 1) form.scrollIntoView({ block: "start" });
