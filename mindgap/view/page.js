// Asks every few seconds how far the sweeps are, and shows a sweep's report anew when another of its cells is done.
"use strict";

const EVERY = 3000; // milliseconds
const find = (selector) => document.querySelector(selector);
const report = find("#report");
let shown = ""; // sweep and version of the report in the frame

function chosen(data) {
  return data.only ?? decodeURIComponent(location.hash.slice(1));
}

function listed(sweeps) {
  find("#list").replaceChildren(
    ...sweeps.map((sweep) => {
      const link = Object.assign(document.createElement("a"), { textContent: sweep.name });
      link.href = `#${encodeURIComponent(sweep.name)}`;
      const says = Object.assign(document.createElement("span"), { textContent: `${sweep.says}, ${sweep.changed}` });
      const entry = document.createElement("li");
      entry.append(link, says);
      return entry;
    }),
  );
}

/** Load the report; a page that was scrolled stays where it was, and the sample that was open stays open. */
function load(sweep) {
  const before = report.contentWindow;
  const [top, hash] = shown.startsWith(`${sweep.name}/`) ? [before.scrollY, before.location.hash] : [0, ""];
  shown = `${sweep.name}/${sweep.version}`;
  report.onload = () => report.contentWindow.scrollTo(0, top);
  report.src = `report/${encodeURIComponent(sweep.name)}?${sweep.version}${hash}`;
}

async function refresh() {
  try {
    const answer = await fetch("sweeps");
    if (!answer.ok) throw new Error(await answer.text());
    const data = await answer.json();
    const sweep = data.sweeps.find((one) => one.name === chosen(data));
    find("#back").hidden = data.only !== null || !sweep;
    find("#name").textContent = sweep ? sweep.name : "Sweeps";
    find("#state").textContent = sweep ? `${sweep.says}${sweep.version ? "" : "; the report comes with the first"}` : "";
    find("#list").hidden = Boolean(sweep);
    report.hidden = !sweep?.version;
    if (sweep?.version && shown !== `${sweep.name}/${sweep.version}`) load(sweep);
    if (!sweep) listed(data.sweeps);
  } catch (error) {
    find("#state").textContent = `no answer from mindgap.view: ${error.message}`;
  }
  document.documentElement.dataset.ready = "true";
}

addEventListener("hashchange", refresh);
refresh();
setInterval(refresh, EVERY);
