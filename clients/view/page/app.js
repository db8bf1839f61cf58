import { ask } from "./ask.js";
import { ruleControls } from "./controls.js";
import { beforeAndAfter, dataSetPanel } from "./dataset.js";
import { typesetter } from "./formulas.js";
import { chartOf, effectOf, overSteps } from "./jobs.js";
import { judgePanel } from "./labels.js";
import { pairsPanel } from "./pairs.js";
import { barOf, make, number, pathOf, tokensOf } from "./parts.js";
import { DEFAULT_RULE, advantages, ranks, rewards } from "./rule.js";
import { SORTS, measured } from "./sorts.js";

// Everything that comes from a file is put in as text (textContent), never as markup.
const first = JSON.parse(document.getElementById("data").textContent);
const ROW = 58;
const state = { touched: false, query: "", sort: "order", step: null, chosen: 0, matching: [], compare: null,
  card: 0, labels: new Map(), threshold: 0.5, pair: [0, 1], likeness: "embeddings", pairsOpen: false,
  decided: new Map(), lone: {}, texts: "tokens" };
let groups = [];
let given = DEFAULT_RULE;

const copied = (rule) => ({ ...rule, guards: { ...rule.guards }, weights: { ...rule.weights } });

// What there is to look at from now on.
function load(shown) {
  given = copied({ ...DEFAULT_RULE, ...(shown.rule ?? {}) });
  Object.assign(state, { rule: copied(given), touched: false, step: null, chosen: 0, compare: null, card: 0, labels: new Map(),
    pair: [0, 1], decided: new Map(), lone: shown.data_set ?? {} });
  groups = shown.groups.map((group, place) => {
    const words = [group.id, group.problem, group.reference, group.answer, ...group.candidates.map((item) => item.text)];
    return { group, place, measured: measured(group), text: words.filter(Boolean).join("\n").toLowerCase() };
  });
  byId("source").textContent = `${shown.title} · ${groups.length} groups`;
  const steps = [...new Set(groups.map((each) => each.group.step).filter((step) => step != null))].sort((a, b) => a - b);
  byId("steps").hidden = steps.length < 2;
  byId("step").max = steps.length;
  byId("step").value = 0;
  byId("stepText").textContent = "all";
  state.steps = steps;
  byId("overSteps").hidden = steps.length < 2;
  state.looks = steps.length < 2 ? [] : overSteps(groups.map((each) => each.group), steps);
  redrawSteps();
  byId("dataSet").hidden = !groups.some((each) => each.group.line != null);
  byId("dataSet").open = shown.data_set !== undefined;
  redrawDataSet();
  redrawJudge();
  byId("rule").hidden = shown.data_set !== undefined;
  controls();
  refilter();
}

const byId = (id) => document.getElementById(id);

// The list: only the rows in sight exist.
function refilter() {
  const query = state.query.toLowerCase();
  state.matching = groups.filter(
    (each) => (state.step === null || each.group.step === state.step) && (!query || each.text.includes(query)),
  );
  state.matching.sort(SORTS[state.sort][1]);
  state.chosen = Math.min(state.chosen, Math.max(0, state.matching.length - 1));
  byId("space").style.height = `${state.matching.length * ROW}px`;
  byId("count").textContent = `${state.matching.length} of ${groups.length} groups`;
  redrawList();
  redrawGroup();
}

function redrawList() {
  const list = byId("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const last = Math.min(state.matching.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  const rows = [];
  for (let k = first; k < last; k += 1) rows.push(rowOf(state.matching[k], k));
  byId("space").replaceChildren(...rows);
  list.setAttribute("aria-activedescendant", `row-${state.chosen}`);
}

function rowOf({ group, place, measured: m }, k) {
  const facts = [
    m.yield == null ? null : `yield ${Math.round(m.yield * 100)} %`, m.nll == null ? null : `NLL ${number(m.nll, 2)}`,
    m.change === null ? null : `${m.change > 0 ? "+" : ""}${number(m.change, 2)}`, m.failed ? `${m.failed} failed` : null,
    group.candidates.length > 1 ? `${group.candidates.length} candidates` : null,
    { true: "kept", false: "rejected" }[state.decided.get(place)],
  ].filter(Boolean);
  const row = make("div", { className: "row", role: "option", id: `row-${k}`, "aria-selected": String(k === state.chosen) },
    make("p", {}, make("b", { textContent: group.id }), ` ${(group.problem ?? "").slice(0, 160)}`),
    make("p", { className: "small", textContent: facts.join(" · ") }));
  row.style.top = `${k * ROW}px`;
  row.addEventListener("click", () => choose(k));
  return row;
}

function choose(k) {
  if (k < 0 || k >= state.matching.length) return;
  state.chosen = k;
  state.compare = null;
  state.card = 0;
  state.pair = [0, 1];
  const list = byId("list");
  if (k * ROW < list.scrollTop) list.scrollTop = k * ROW;
  if ((k + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (k + 1) * ROW - list.clientHeight;
  redrawList();
  redrawGroup();
}

function candidateOf(item, k, now, advantage, place, before, widest, written) {
  const moved = place !== null && before !== null && before !== place ? ` (was ${before})` : "";
  const card = make("section", { className: "candidate", "aria-label": `candidate ${k + 1}` },
    make("header", {}, make("b", { textContent: number(now.total) }),
      make("span", { textContent: `#${k + 1}${item.origin ? ` ${item.origin}` : ""}` }),
      make("span", { textContent: place === null ? "" : `place ${place}${moved}` }),
      make("span", { className: "label", textContent: { true: "sound", false: "unsound" }[state.labels.get(labelPlace(k))] ?? "" })));
  if (k === state.card && byId("judge").open) card.classList.add("chosen");
  if (item.status !== "text") {
    if (item.status === "scored") card.append(pathOf(now.gate), barOf(now.parts, widest));
    if (item.error) card.append(make("p", { className: "error", textContent: `${item.error.code}: ${item.error.message}` }));
    if (now.total === null && item.status === "scored") {
      card.append(make("p", { className: "error", textContent: "not known under this rule: the answer does not hold what it needs" }));
    }
  }
  const other = state.compare === null || state.compare === k ? null : chosenGroup().candidates[state.compare];
  if (item.tokens?.length && state.texts === "tokens") {
    card.append(tokensOf(item, other?.tokens ? other : null));
    const button = make("button", { type: "button", textContent: state.compare === k ? "no comparison" : "compare the others with this" });
    button.addEventListener("click", () => {
      state.compare = state.compare === k ? null : k;
      redrawGroup();
    });
    card.append(button);
  } else card.append(make("pre", { tabIndex: 0 }, ...written(item.text ?? "(the file does not hold the text)")));
  const facts = [
    ["advantage", number(advantage)], ["NLL", number(item.nll)], ["z", number(now.nll_z)], ["r_dist", number(now.r_dist)],
    ["r_div", number(now.r_div, 4)], ["length", number(item.signals?.length_ratio, 2)], ["copied", number(item.signals?.copied, 2)],
    ["repeated", number(item.signals?.repeated, 2)],
    ...(item.extracted == null ? [] : [["says", item.extracted]]), ...(item.score == null ? [] : [["judge", number(item.score)]]),
  ];
  if (item.rationale) card.append(make("p", { className: "rationale" }, ...written(item.rationale)));
  if (item.status !== "text") {
    card.append(make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })])));
  }
  return card;
}

const chosenGroup = () => state.matching[state.chosen]?.group;

// As the file has it until somebody moves a control: the rule of a file is not always known.
function rewarded(group) {
  const items = group.candidates;
  const asGiven = rewards(items, given, given);
  const fromFile = items.map((item, k) => ({ ...asGiven[k], total: item.total ?? null,
    parts: asGiven[k].total !== null && Math.abs(asGiven[k].total - (item.total ?? NaN)) < 1e-9 ? asGiven[k].parts : null }));
  return { now: state.touched ? rewards(items, state.rule, given) : fromFile, before: fromFile };
}

function redrawGroup() {
  const article = byId("group");
  const group = chosenGroup();
  if (!group) {
    article.replaceChildren(make("p", { className: "empty",
      textContent: groups.length ? "No group matches. Clear the search, or choose another step." : "Nothing to show yet." }));
    return;
  }
  const { now, before } = rewarded(group);
  const totals = now.map((each) => each.total);
  const gains = advantages(totals);
  const [places, old] = [ranks(totals), ranks(before.map((each) => each.total))];
  const widest = Math.max(1e-9, ...now.map((each) => (each.parts ? Math.max(0, each.parts.task) + Math.max(0, each.parts.dist)
    + Math.max(0, each.parts.div) + Math.max(0, each.parts.scores) : 0)));
  const unscored = group.candidates.every((item) => item.status === "text");
  const facts = [
    group.step == null ? null : `step ${group.step}`, group.answer == null ? null : `answer ${group.answer}`,
    unscored ? null : `open ${now.filter((each) => each.gate === "open").length} of ${now.length}`,
    group.nll_mean == null ? null : `μ ${number(group.nll_mean)}, σ ${number(group.nll_std)} nats a token`,
    group.diversity == null ? null : `D ${number(group.diversity, 4)}`,
  ].filter(Boolean);
  const legend = [["task", "r_task"], ["dist", "λ_dist · r_dist"], ["div", "λ_div · r_div"], ["scores", "further scores"]];
  const texts = [["Problem", group.problem], ["Reference", group.reference]].filter(([, text]) => text != null);
  const short = { of: false };
  const written = state.texts === "written" ? (text) => [text] : typesetter(short);
  const cards = [
    make("p", { className: "legend" }, ...legend.map(([name, text]) => make("span", {}, make("i", { className: name }), text))),
    ...(group.candidates.length > 1 ? [pairsOf(group)] : []),
    make("div", { className: "candidates" }, ...group.candidates.map((item, k) =>
      candidateOf(item, k, now[k], gains[k], places[k], old[k], widest, written))),
  ];
  article.replaceChildren(
    make("h2", { textContent: group.id }), make("p", { className: "facts", textContent: facts.join(" · ") }),
    make("div", { className: "texts" }, ...texts.map(([name, text]) =>
      make("section", { className: "block" }, make("h3", { textContent: name }), make("pre", { tabIndex: 0 }, ...written(text))))),
    ...(short.of ? [make("p", { className: "facts", textContent: "Some formulas stay as they were written: there are too many." })] : []),
    ...(group.line == null ? [] : [beforeAndAfter(group, state.decided.get(state.matching[state.chosen].place))]),
    // Of a row that nobody scored, all is said.
    ...(group.line != null && unscored && group.candidates.length === 1 ? [] : cards));
}

// Filled once it is opened: whoever reads one text after another does not wait for it.
function pairsOf(group) {
  const details = make("details", { id: "pairs", open: state.pairsOpen }, make("summary", { textContent: "Similar texts" }));
  const fill = () => details.append(make("div", {}, ...pairsPanel(group, state, (chosen, list) => {
    Object.assign(state, chosen);
    redrawGroup();
    if (list) byId("pairs").querySelector(`select[aria-label="${list}"]`).focus();
  })));
  if (details.open) fill();
  details.addEventListener("toggle", () => {
    if (details.open === state.pairsOpen) return;
    state.pairsOpen = details.open;
    redrawGroup();
    byId("pairs").querySelector("summary").focus();
  });
  return details;
}

function redrawSteps() {
  const chosen = state.step === null ? null : state.steps.indexOf(state.step);
  byId("charts").replaceChildren(...state.looks.map((look) => chartOf(look, state.steps, chosen, (k) => toStep(k + 1))));
}

function redrawJudge() {
  byId("judgePanel").replaceChildren(...judgePanel(groups.map((each) => each.group), state.labels, state.threshold, (threshold) => {
    state.threshold = threshold;
    redrawJudge();
    byId("judgePanel").querySelector("input").focus();
  }));
}

function redrawDataSet() {
  byId("dataSetPanel").replaceChildren(...dataSetPanel(groups.map((each) => each.group), state.decided, state.lone));
}

const labelPlace = (k) => `${state.matching[state.chosen].place} ${k}`;

// Keys that label: true and false say what the chosen candidate is and go on to the next, null takes it back.
const LABELS = { y: true, n: false, u: null };

function label(key) {
  // A file without the text gives nothing to read, and nothing to save.
  if (chosenGroup()?.candidates[state.card]?.text == null) return;
  const last = chosenGroup().candidates.length - 1;
  if (LABELS[key] === null) state.labels.delete(labelPlace(state.card));
  else state.labels.set(labelPlace(state.card), LABELS[key]);
  if (LABELS[key] !== null) state.card = Math.min(last, state.card + 1);
  redrawJudge();
  toCard(state.card);
}

// Keep, reject or take back the chosen row, and go on to the next.
function decide(key) {
  if (chosenGroup()?.line == null) return;
  const { place } = state.matching[state.chosen];
  if (LABELS[key] === null) state.decided.delete(place);
  else state.decided.set(place, LABELS[key]);
  redrawDataSet();
  if (LABELS[key] !== null && state.chosen + 1 < state.matching.length) choose(state.chosen + 1);
  else choose(state.chosen);
}

function toCard(k) {
  if (!chosenGroup()?.candidates[k]) return;
  state.card = k;
  redrawGroup();
  byId("group").querySelectorAll(".candidate")[k].scrollIntoView({ block: "nearest" });
}

// k: 0 for all steps.
function toStep(k) {
  byId("step").value = k;
  state.step = k === 0 ? null : state.steps[k - 1];
  byId("stepText").textContent = state.step ?? "all";
  redrawSteps();
  refilter();
}

// What the controls do to all groups, once nobody moves them.
let waiting = 0;
function tellEffect() {
  clearTimeout(waiting);
  byId("effect").textContent = "";
  if (!state.touched) return;
  waiting = setTimeout(() => {
    const { known, unknown, best, order, before, now } = effectOf(groups.map((each) => each.group), state.rule, given);
    byId("effect").textContent = known === 0 ? "What this rule makes of these groups is not known."
      : `Another best candidate in ${best} of ${known} groups, another order in ${order}; deviation within a group `
        + `${number(before)} → ${number(now)}${unknown ? `; ${unknown} groups not known under this rule` : ""}.`;
  }, 150);
}

function touch() {
  state.touched = true;
  tellEffect();
  redrawGroup();
}

function controls() {
  byId("rule").replaceChildren(...ruleControls(state.rule, touch, () => {
    state.rule = copied(given);
    state.touched = false;
    controls();
    tellEffect();
    redrawGroup();
  }));
}

function start() {
  for (const [name, [label]] of Object.entries(SORTS)) byId("sort").append(make("option", { value: name, textContent: label }));
  byId("step").addEventListener("input", () => toStep(Number(byId("step").value)));
  byId("search").addEventListener("input", () => {
    state.query = byId("search").value;
    refilter();
  });
  byId("sort").addEventListener("change", () => {
    state.sort = byId("sort").value;
    refilter();
  });
  byId("texts").addEventListener("change", () => {
    state.texts = byId("texts").value;
    redrawGroup();
  });
  byId("judge").addEventListener("toggle", redrawGroup);
  byId("list").addEventListener("scroll", redrawList);
  window.addEventListener("resize", redrawList);
  byId("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "range";
    if (event.key === "/" && !typing) {
      event.preventDefault();
      byId("search").focus();
    } else if (!typing && (event.key === "j" || event.key === "k")) choose(state.chosen + (event.key === "j" ? 1 : -1));
    else if (!typing && event.key === "f") {
      byId("texts").selectedIndex = (byId("texts").selectedIndex + 1) % 3;
      byId("texts").dispatchEvent(new Event("change"));
    } else if (!typing && byId("dataSet").open && event.key in LABELS) decide(event.key);
    else if (!typing && byId("judge").open && event.key in LABELS) label(event.key);
    else if (!typing && byId("judge").open && (event.key === "h" || event.key === "l")) toCard(state.card + (event.key === "l" ? 1 : -1));
    else if (event.target === byId("list") && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      event.preventDefault();
      choose(state.chosen + (event.key === "ArrowDown" ? 1 : -1));
    }
  });
  load(first);
  if (first.examples) byId("rule").before(ask(make, first.examples, load));
}

start();
