// The report's script: draws the figures, and browses the samples. No framework, no network.
// Whatever a model or a judge wrote reaches the page as text nodes only.
"use strict";

const find = (selector, root = document) => root.querySelector(selector);

/** A new element; children are nodes or strings, and strings become text. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// ---- figures -------------------------------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
const figures = JSON.parse(find("#figures").textContent);
const drawn = new Set();

/** Plotly's template for the page's colours of the moment. */
function template() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
  return {
    layout: {
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { color: colour("--text"), family: style.fontFamily, size: 13 },
      hoverlabel: { bgcolor: colour("--card"), font: { color: colour("--text") }, bordercolor: colour("--line") },
      modebar: { bgcolor: "transparent", color: colour("--quiet"), activecolor: colour("--accent") },
      xaxis: axis,
      yaxis: axis,
    },
  };
}

function draw(place) {
  const { data, layout } = figures[place.dataset.figure];
  const shown = { ...layout, template: template(), autosize: true };
  place.style.height = `${layout.height}px`;
  place.style.minWidth = `${layout.meta?.width ?? 0}px`;
  drawn.add(place);
  return Plotly.react(place, data, shown, {
    responsive: true,
    displaylogo: false,
    toImageButtonOptions: { format: "svg" },
    displayModeBar: matchMedia("(hover: none)").matches ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  });
}

const waiting = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      waiting.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "400px" },
);
const places = document.querySelectorAll("[data-figure]");
for (const place of places) {
  place.style.minHeight = `${figures[place.dataset.figure].layout.height}px`;
  waiting.observe(place);
}
dark.addEventListener("change", () => drawn.forEach(draw));
addEventListener("beforeprint", () => places.forEach(draw));

// Tabs choose one of several panels in the same place.
for (const tabs of document.querySelectorAll("[role=tablist]")) {
  const buttons = [...tabs.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const button of buttons) {
      button.setAttribute("aria-selected", String(button === chosen));
      button.tabIndex = button === chosen ? 0 : -1;
      find(`#${button.getAttribute("aria-controls")}`).hidden = button !== chosen;
    }
  };
  tabs.addEventListener("click", (event) => {
    if (event.target.closest("[role=tab]")) choose(event.target.closest("[role=tab]"));
  });
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length];
    choose(next);
    next.focus();
  });
}

// Copies the text beside a button; pages opened as files may lack the clipboard, and the selection does it then.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = find(`#${button.dataset.copy}`);
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

// ---- samples -------------------------------------------------------------------------------------------------------

/** The samples, as `mindgap/report/browser.py` packed them. */
async function unpack() {
  const packed = atob(find("#samples").textContent.trim());
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const number = new Intl.NumberFormat("en");
const score = (value) => (value === null ? "–" : String(Math.round(value * 100) / 100));

function browse(data) {
  const { cells, places, texts, samples, measures } = data;
  const text = (index) => (index === null || index === undefined ? null : texts[index]);
  const columns = cells.length;
  const grid = new Int32Array(places.length * columns).fill(-1); // row of each place under each cell
  samples.place.forEach((place, row) => (grid[place * columns + samples.cell[row]] = row));
  const referenceOf = cells.map((cell) => cells.findIndex((one) => one.group === cell.group && one.reference));

  const form = find("#filters");
  const list = find("#places");
  const rows = find("#places-rows");
  const detail = find("#place");
  const count = find("#count");
  const shownCells = new Set(cells.keys());
  let found = [];
  let at = 0; // index in `found` of the place that is looked at
  let needle = "";

  for (const [name, key] of [["query", "query"], ["subject", "subject"]]) {
    const known = [...new Set(places.map((place) => place[key]))].map(text).filter(Boolean);
    form.elements[name].append(...known.map((value) => make("option", { value }, value)));
    if (known.length < 2) form.elements[name].closest("label").hidden = true;
  }
  form.elements.cell.append(...cells.map((cell, index) => make("option", { value: index }, cellName(cell))));
  find("#columns").append(
    ...cells.map((cell, index) => {
      const box = make("input", { type: "checkbox", checked: true, value: index });
      box.addEventListener("change", () => {
        box.checked ? shownCells.add(index) : shownCells.delete(index);
        show();
      });
      return make("label", {}, box, " ", cellName(cell));
    }),
  );

  function cellName(cell) {
    const models = new Set(cells.map((one) => one.model));
    const judges = new Set(cells.map((one) => one.judge));
    return [cell.name, models.size > 1 && cell.model, judges.size > 1 && cell.judge].filter(Boolean).join(" · ");
  }

  // -- filter and sort

  const lower = [];
  /** Which texts contain every word of the search: one pass over distinct texts, not over samples. */
  function matches(search) {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    if (!lower.length) for (const one of texts) lower.push(one.toLowerCase());
    return words.map((word) => Uint8Array.from(lower, (one) => one.includes(word)));
  }

  const SEARCHED = ["prompt", "response", "thought", "analysis", "answer"];
  function contains(place, masks, chosen) {
    const { query, item, subject } = places[place];
    const own = chosen.map((cell) => grid[place * columns + cell]).filter((row) => row >= 0);
    return masks.every(
      (mask) =>
        mask[query] || mask[item] || mask[subject] ||
        own.some((row) => SEARCHED.some((name) => samples[name][row] !== null && mask[samples[name][row]]) ||
          samples.edits[row].some((edit) => mask[edit])),
    );
  }

  const KINDS = {
    all: () => true,
    lost: (row, base) => samples.correct[base] === 1 && samples.correct[row] === 0,
    won: (row, base) => samples.correct[base] === 0 && samples.correct[row] === 1,
    wrong: (row) => samples.correct[row] === 0,
    unparsed: (row) => samples.unparsed[row] !== null,
    missing: (row) => samples.behaviour[row] === null || samples.coherence[row] === null,
    incoherent: (row) => samples.coherence[row] !== null && samples.coherence[row] < 2.5,
    cut: (row) => ["length", "thought"].includes(text(samples.finish_reason[row])),
    failed: (row) => samples.error[row] !== null,
  };

  function update() {
    const values = new FormData(form);
    needle = values.get("search").trim();
    const masks = matches(needle);
    const chosen = values.get("cell") === "" ? [...cells.keys()] : [Number(values.get("cell"))];
    const kind = KINDS[values.get("show")];
    const keep = [];
    for (let place = 0; place < places.length; place++) {
      const { query, subject } = places[place];
      if (values.get("query") && text(query) !== values.get("query")) continue;
      if (values.get("subject") && text(subject) !== values.get("subject")) continue;
      const fits = chosen.some((cell) => {
        const row = grid[place * columns + cell];
        return row >= 0 && kind(row, grid[place * columns + referenceOf[cell]]);
      });
      if (fits && (!masks || contains(place, masks, chosen))) keep.push(place);
    }
    const sort = values.get("sort");
    if (sort !== "order") {
      const [name, direction] = sort.split(" ");
      const worth = new Map(keep.map((place) => [place, measure(place, chosen, name)]));
      const sign = direction === "down" ? -1 : 1;
      keep.sort((a, b) => {
        const [x, y] = [worth.get(a), worth.get(b)];
        return x === null || y === null ? (x === null) - (y === null) : sign * (x - y) || a - b;
      });
    }
    const looked = found[at];
    found = keep;
    at = Math.max(0, found.indexOf(looked));
    count.textContent = `${number.format(found.length)} of ${number.format(places.length)}`;
    rows.style.height = `${found.length * ROW}px`;
    reveal();
    show();
  }

  /** Mean over the chosen cells of a column, or of its difference from the reference; null where there is none. */
  function measure(place, chosen, name) {
    const against = name.startsWith("gain-");
    const column = samples[against ? name.slice(5) : name];
    let sum = 0, n = 0;
    for (const cell of chosen) {
      const row = grid[place * columns + cell];
      const base = grid[place * columns + referenceOf[cell]];
      if (row < 0 || column[row] === null || (against && (base < 0 || column[base] === null || base === row))) continue;
      sum += column[row] - (against ? column[base] : 0);
      n += 1;
    }
    return n ? sum / n : null;
  }

  // -- the list: only the rows in view exist

  const ROW = 52; // height of a row in px; page.css has the same
  function paint() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
    const visible = [];
    for (let index = first; index < last; index++) visible.push(listRow(index));
    rows.replaceChildren(...visible);
    list.setAttribute("aria-activedescendant", found.length ? `row-${at}` : "");
  }

  function listRow(index) {
    const place = found[index];
    const { query, item, epoch } = places[place];
    const marks = make("span", { class: "marks", "aria-hidden": "true" });
    for (let cell = 0; cell < columns; cell++) marks.append(mark(grid[place * columns + cell]));
    const node = make(
      "div",
      {
        id: `row-${index}`, class: "place-row", role: "option", "aria-selected": String(index === at),
        "aria-setsize": found.length, "aria-posinset": index + 1,
      },
      make("span", { class: "place-query" }, text(query)),
      make("span", { class: "place-item" }, text(item) + (epoch ? ` · epoch ${epoch}` : "")),
      marks,
    );
    node.style.top = `${index * ROW}px`;
    node.addEventListener("click", () => go(index));
    return node;
  }

  function mark(row) {
    if (row < 0) return make("i", { class: "none" });
    if (samples.error[row] !== null) return make("i", { class: "failed" });
    if (samples.unparsed[row] !== null) return make("i", { class: "unparsed" });
    return make("i", { class: samples.correct[row] === null ? "open" : samples.correct[row] ? "right" : "wrong" });
  }

  function reveal() {
    const top = at * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    paint();
  }

  function go(index, address = true) {
    if (!found.length) return;
    at = Math.min(Math.max(index, 0), found.length - 1);
    reveal();
    show();
    if (address) history.replaceState(null, "", `#sample=${places[found[at]].id}`);
  }

  // -- one place, under all cells

  function show() {
    if (!found.length) {
      detail.replaceChildren(make("p", { class: "quiet" }, "No sample fits these filters."));
      return;
    }
    const place = found[at];
    const { id, query, item, subject, epoch } = places[place];
    const own = [...shownCells].sort((a, b) => a - b).filter((cell) => grid[place * columns + cell] >= 0);
    const any = samples.cell.length ? grid.subarray(place * columns, (place + 1) * columns).find((row) => row >= 0) : -1;
    const about = [text(item), text(subject), epoch ? `epoch ${epoch}` : null].filter(Boolean).join(" · ");
    detail.replaceChildren(
      make(
        "header",
        {},
        make("h3", {}, text(query), " ", make("a", { href: `#sample=${id}`, title: "link to this sample" }, "#")),
        make("p", { class: "quiet" }, about, ` · ${number.format(at + 1)} of ${number.format(found.length)}`),
        make("details", { open: innerWidth > 700 }, make("summary", {}, "Question"), prose(text(samples.prompt[any]))),
      ),
      make("div", { class: "cards", tabindex: "0", role: "group", "aria-label": "this sample under each cell" },
        ...own.map((cell) => card(cell, grid[place * columns + cell], grid[place * columns + referenceOf[cell]]))),
    );
  }

  function card(cell, row, base) {
    const gain = (name) => {
      if (base < 0 || base === row || samples[name][row] === null || samples[name][base] === null) return null;
      const value = samples[name][row] - samples[name][base];
      return make("small", {}, ` ${value > 0 ? "+" : value < 0 ? "−" : "±"}${score(Math.abs(value))}`);
    };
    const scored = (name, label) =>
      entry(label, samples[name][row] === null
        ? make("em", { class: "gap" }, `missing: ${text(samples[`${name}_missing`][row]) || "no reason given"}`)
        : make("span", {}, make("b", {}, score(samples[name][row])), gain(name)));
    const edits = samples.edits[row].map(text);
    const system = text(samples.system_prompt[row]);
    const error = text(samples.error[row]);
    const ending = text(samples.finish_reason[row]);
    return make(
      "article",
      { class: cells[cell].reference ? "card reference" : "card" },
      make("h4", {}, cellName(cells[cell])),
      make("p", { class: "quiet" }, edits.length
        ? `steered: ${edits.length} ${edits.length === 1 ? "edit" : "edits"}` +
          (samples.dose[row] === null ? "" : `, relative dose ${samples.dose[row]}`)
        : cells[cell].recorded ?? "not steered"),
      make("dl", {}, scored("behaviour", "Behaviour"), scored("coherence", "Coherence"), ...answers(row)),
      more("Thought", text(samples.thought[row])),
      error !== null ? make("p", { class: "gap" }, `failed: ${error}`)
        : ending === "thought" ? make("p", { class: "gap" }, "no reply: the thought never ended")
        : ending === "unasked" ? make("p", { class: "quiet" }, "no reply: the task scores texts by their likelihood")
        : prose(text(samples.response[row])),
      ending === "length" ? make("p", { class: "gap" }, "cut off at the longest length") : null,
      more(`Judge: ${cells[cell].judge}`, text(samples.analysis[row])),
      more("Edits", edits.join("\n")),
      more("System prompt", system),
      more("Turns before", text(samples.turns[row])),
      make("p", { class: "quiet small" }, [
        ...measures.map(({ name, digits, values }) =>
          values[row] !== null && `${name} ${Number.isInteger(values[row]) ? values[row] : values[row].toFixed(digits)}`),
      ].filter(Boolean).join(" · ")),
    );
  }

  function answers(row) {
    if (samples.gold[row] === null && samples.answer[row] === null && samples.unparsed[row] === null) return [];
    const verdict = samples.correct[row] === null ? "" : samples.correct[row] ? " ✓" : " ✗";
    const found = [];
    if (samples.answer[row] !== null) {
      const looks = samples.correct[row] ? "good" : "bad";
      found.push(entry("Answer", make("span", { class: looks }, text(samples.answer[row]) + verdict)));
    } else if (samples.unparsed[row] !== null) {
      found.push(entry("Answer", make("em", { class: "gap" }, `unread: ${text(samples.unparsed[row])}`)));
    } // else no option was asked for, or the request failed
    if (samples.gold[row] !== null && !samples.correct[row]) found.push(entry("Right", text(samples.gold[row])));
    if (samples.loglik_answer[row] !== null) {
      const sign = samples.loglik_correct[row] === null ? "" : samples.loglik_correct[row] ? " ✓" : " ✗";
      found.push(entry("Likeliest", text(samples.loglik_answer[row]) + sign));
    }
    return found;
  }

  const entry = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  const more = (title, words) => (words ? make("details", {}, make("summary", {}, title), prose(words)) : null);

  /** `words` as text, with what was searched for marked. */
  function prose(words) {
    const node = make("div", { class: "prose" });
    if (!words) return make("div", { class: "prose quiet" }, "(empty)");
    const terms = needle.split(/\s+/).filter(Boolean).map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (!terms.length) node.append(words);
    else words.split(new RegExp(`(${terms.join("|")})`, "i")).forEach((part, i) => node.append(i % 2 ? make("mark", {}, part) : part));
    return node;
  }

  // -- hands

  let typing;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(update, event.target.name === "search" ? 150 : 0);
  });
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", paint, { passive: true });
  new ResizeObserver(paint).observe(list);

  const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
  const STEPS = { ArrowDown: () => at + 1, ArrowUp: () => at - 1, PageDown: () => at + page(), PageUp: () => at - page(),
    Home: () => 0, End: () => found.length - 1 };
  list.addEventListener("keydown", (event) => {
    if (!STEPS[event.key]) return;
    event.preventDefault();
    go(STEPS[event.key]());
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") {
        event.preventDefault(); // the search stays as it is
        list.focus();
      }
      return;
    }
    if (event.key === "j") go(at + 1);
    if (event.key === "k") go(at - 1);
    if (event.key === "/") {
      event.preventDefault();
      form.elements.search.focus();
    }
  });
  find("#previous").addEventListener("click", () => go(at - 1));
  find("#next").addEventListener("click", () => go(at + 1));

  function follow() {
    const id = /^#sample=([0-9a-f]+)$/.exec(location.hash)?.[1];
    if (!id) return;
    if (!found.some((place) => places[place].id === id)) {
      form.reset();
      update();
    }
    const index = found.findIndex((place) => places[place].id === id);
    if (index < 0) {
      detail.replaceChildren(make("p", { class: "gap" }, "The linked sample is not in this report."));
    } else {
      go(index, false);
    }
    find("#samples-section").scrollIntoView();
  }
  addEventListener("hashchange", follow);
  update();
  follow();
}

unpack()
  .then(browse)
  .catch((error) => {
    find("#place").textContent = `The samples cannot be shown: ${error.message}`;
    throw error;
  })
  .finally(() => (document.documentElement.dataset.ready = "true"));
