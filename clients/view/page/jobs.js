// What all groups show together: numbers over training steps, and what another rule changes.
import { drawn, make } from "./parts.js";
import { ranks, rewards, sum } from "./rule.js";

export const average = (values) => (values.length ? sum(values) / values.length : null);

// What is looked at over steps; each of one candidate, null where it is not known.
export const LOOKS = {
  total: ["total", (item) => item.total],
  open: ["gate open", (item) => item.r_task],
  nll: ["NLL", (item) => item.nll],
  length: ["length ratio", (item) => item.signals?.length_ratio],
  copied: ["copied share", (item) => item.signals?.copied],
  repeated: ["repeated share", (item) => item.signals?.repeated],
};

// Within groups, since GRPO compares siblings alone: Pearson's r of what each lies above its group's mean.
export function siblingsCorrelation(groups, read) {
  const [xs, ys] = [[], []];
  for (const { candidates } of groups) {
    const known = candidates.map((item) => [read(item) ?? null, item.total ?? null]).filter((pair) => !pair.includes(null));
    const [x, y] = [average(known.map((pair) => pair[0])), average(known.map((pair) => pair[1]))];
    for (const pair of known) {
      xs.push(pair[0] - x);
      ys.push(pair[1] - y);
    }
  }
  const scale = Math.sqrt(sum(xs.map((x) => x * x)) * sum(ys.map((y) => y * y)));
  return scale > 1e-12 ? sum(xs.map((x, k) => x * ys[k])) / scale : null;
}

// [{ name, label, values: a mean per step or null, correlation }] of what the groups know at all.
export function overSteps(groups, steps) {
  const found = Object.entries(LOOKS).map(([name, [label, read]]) => {
    const values = steps.map((step) => average(groups.filter((group) => group.step === step)
      .flatMap((group) => group.candidates.map(read)).filter((value) => value != null)));
    return { name, label, values, correlation: name === "total" ? null : siblingsCorrelation(groups, read) };
  });
  return found.filter((each) => each.values.some((value) => value !== null));
}

const deviation = (values) => {
  const mean = average(values);
  return Math.sqrt(average(values.map((value) => (value - mean) ** 2)));
};

// Of groups whose totals are all known under both rules: how many there are, how many have another best candidate and any
// other order, and the mean deviation within a group before and now. The others are counted as not known.
export function effectOf(groups, rule, given) {
  const effect = { known: 0, unknown: 0, best: 0, order: 0, before: null, now: null };
  const [before, now] = [[], []];
  for (const { candidates } of groups) {
    const scored = candidates.filter((item) => item.status === "scored");
    const [old, made] = [scored.map((item) => item.total ?? null), rewards(scored, rule, given).map((each) => each.total)];
    if (scored.length === 0 || old.includes(null) || made.includes(null)) {
      effect.unknown += 1;
      continue;
    }
    effect.known += 1;
    const [places, moved] = [ranks(old), ranks(made)];
    effect.best += places.indexOf(1) === moved.indexOf(1) ? 0 : 1;
    effect.order += places.every((place, k) => place === moved[k]) ? 0 : 1;
    before.push(deviation(old));
    now.push(deviation(made));
  }
  return { ...effect, before: average(before), now: average(now) };
}

// One small chart of a mean per step; choose(k) is told of the step that somebody clicks.
export function chartOf({ label, values, correlation }, steps, chosen, choose) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const x = (k) => (steps.length > 1 ? 2 + (96 * (steps[k] - steps[0])) / (steps.at(-1) - steps[0]) : 50);
  const y = (value) => (high > low ? 36 - (32 * (value - low)) / (high - low) : 20);
  const svg = drawn("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" });
  const [first, last] = [known[0].toFixed(3), known.at(-1).toFixed(3)];
  svg.setAttribute("aria-label", `${label}, from ${first} to ${last}, between ${low.toFixed(3)} and ${high.toFixed(3)}`);
  if (chosen !== null) svg.append(drawn("line", { x1: x(chosen), x2: x(chosen), y1: 0, y2: 40, class: "here" }));
  // A step without a number parts the line.
  const parts = values.map((value, k) => (value === null ? " " : `${x(k).toFixed(2)},${y(value).toFixed(2)}`)).join(" ").split(/ {2,}/);
  for (const points of parts) svg.append(drawn("polyline", { points: points.trim(), class: "mean" }));
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const at = (100 * (event.clientX - box.left)) / box.width;
    choose(steps.reduce((best, _, k) => (Math.abs(x(k) - at) < Math.abs(x(best) - at) ? k : best), 0));
  });
  const siblings = correlation === null ? "" : ` · r ${correlation.toFixed(2)}`;
  return make("figure", {}, make("figcaption", {}, make("b", { textContent: label }), ` ${first} → ${last}${siblings}`), svg);
}
