// The reward rule of one group (eq. 3 to 12) as service/reward/rule.py has it, from what a reward answer holds.
// A component that an answer does not hold is null, and so is what depends on it: "not known", never 0.

export const EPSILON = 1e-6;
const JUDGED_BAD = new Set(["wrong", "no_answer", "undecided", "invalid", "no_verdict"]);
const BEFORE_GUARDS = new Set(["blank", "wrong", "no_answer", "undecided"]);

export const DEFAULT_RULE = {
  variant: "full", lambda_dist: 1, lambda_div: 1, dist: "mean", min_std: 0, weights: {}, guards: {},
};

export const usesDist = (rule) => ["full", "no_div", "soft"].includes(rule.variant) && rule.lambda_dist !== 0;
export const usesDiv = (rule) => ["full", "no_dist", "soft"].includes(rule.variant) && rule.lambda_div !== 0;
const usesScalar = (rule, name) => rule.variant !== "task_only" && (rule.weights[name] ?? 0) !== 0;

// Neumaier's sum: what is lost in each addition is added at the end.
export function sum(values) {
  let total = 0;
  let lost = 0;
  for (const value of values) {
    const next = total + value;
    lost += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total;
    total = next;
  }
  return total + lost;
}

// Mean and population deviation of eq. 7; null for no member.
export function nllStatistics(values) {
  if (values.length === 0) return null;
  const mean = sum(values) / values.length;
  return { mean, std: Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length) };
}

export const standardised = (nll, stats, minStd) => (nll - stats.mean) / (Math.max(stats.std, minStd) + EPSILON);

// eq. 8, so that neither tail overflows.
export function distReward(z) {
  if (z >= 0) {
    const tail = Math.exp(-z);
    return tail / (1 + tail);
  }
  return 1 / (1 + Math.exp(z));
}

// The guard that a text's signals pass, or null.
export function guardGate(signals, guards) {
  const ratio = signals.length_ratio;
  if (ratio != null && guards.min_length_ratio != null && ratio < guards.min_length_ratio) return "guard_length_ratio";
  const limits = [
    ["guard_n_tokens", signals.n_tokens, guards.max_n_tokens],
    ["guard_length_ratio", ratio, guards.max_length_ratio],
    ["guard_repeated", signals.repeated, guards.max_repeated],
    ["guard_copied", signals.copied, guards.max_copied],
  ];
  for (const [gate, value, limit] of limits) {
    if (limit != null && value != null && value > limit) return gate;
  }
  return null;
}

// A candidate's gate under another rule; null where the answer does not tell.
function gateUnder(item, rule) {
  if (item.status !== "scored") return null;
  if (BEFORE_GUARDS.has(item.gate)) return item.gate;
  const guard = item.signals ? guardGate(item.signals, rule.guards) : null;
  if (guard !== null) return guard;
  // A guard that is loosened leaves a text of which judge and nll were perhaps never asked.
  if (item.gate.startsWith("guard_")) {
    if (item.v_ans === 0) return "wrong";
    if (item.v_rea === 0) return "invalid";
    return item.v_ans === 1 && item.v_rea === 1 && item.nll != null ? "open" : null;
  }
  return item.gate;
}

// Whether a candidate enters the statistics of eq. 7 and 10 (S_x⁺, or S_x for the variant `soft`).
function isMember(item, gate, rule, given) {
  if (gate === "open") return true;
  if (gate === null || rule.variant !== "soft" || !JUDGED_BAD.has(gate)) return false;
  if (item.signals && guardGate(item.signals, rule.guards) !== null) return false;
  // Under `soft` a wrong text may have escaped being measured, which only its missing component tells.
  return given.variant !== "soft" || item.nll_z != null || item.r_div != null;
}

const nllTarget = (item, rule, given) => {
  if (rule.dist === "mean") return item.nll ?? null;
  return rule.dist === given.dist ? (item.nll_dist ?? null) : null;
};

// The group's rewards under `rule`, from an answer that was made under `given`.
// Each: { gate, r_task, nll_z, r_dist, r_div, total, parts: {task, dist, div, scores} }, null for what is not known.
export function rewards(items, rule, given) {
  const soft = rule.variant === "soft";
  const gates = items.map((item) => gateUnder(item, rule));
  const member = items.map((item, k) => isMember(item, gates[k], rule, given));
  const before = items.map((item) => isMember(item, item.status === "scored" ? item.gate : null, given, given));
  const unknown = items.some((item, k) => item.status === "scored" && gates[k] === null);
  const targets = items.map((item, k) => (member[k] ? nllTarget(item, rule, given) : null));
  // D without a member (eq. 11) is of this very set of members, and so is what their NLL lacks.
  const sameSet = !unknown && member.every((one, k) => one === before[k]);
  const complete = !unknown && (sameSet || items.every((item, k) => !member[k] || targets[k] !== null));
  const stats = complete ? nllStatistics(targets.filter((target) => target !== null)) : null;
  return items.map((item, k) => {
    if (gates[k] === null) {
      return { gate: null, r_task: item.r_task ?? null, nll_z: null, r_dist: null, r_div: null, total: null, parts: null };
    }
    const r_task = gates[k] === "open" ? 1 : 0;
    const z = stats !== null && targets[k] !== null ? standardised(targets[k], stats, rule.min_std) : null;
    const r_dist = z === null ? null : distReward(z);
    const r_div = member[k] && sameSet ? (item.r_div ?? null) : null;
    const counts = soft || r_task === 1;
    const parts = { task: r_task, dist: 0, div: 0, scores: 0 };
    let known = true;
    if (counts && member[k]) {
      if (usesDist(rule)) {
        if (r_dist === null) known = false;
        else parts.dist = rule.lambda_dist * r_dist;
      }
      if (usesDiv(rule)) {
        if (r_div === null) known = false;
        else parts.div = rule.lambda_div * r_div;
      }
    }
    for (const name of Object.keys(rule.weights)) {
      // A text that leaves the members would not have been asked about.
      if (!counts || !usesScalar(rule, name) || (before[k] && !member[k])) continue;
      const score = item.scores?.[name];
      if (score != null) parts.scores += rule.weights[name] * score;
      else if (member[k]) known = false;
    }
    // What escapes under `soft` may have been measured in part, which an answer by another variant does not tell.
    if (soft && given.variant !== "soft" && !member[k] && gates[k] !== "blank") known = false;
    const total = known ? parts.task + (parts.dist + parts.div + parts.scores) : null;
    return { gate: gates[k], r_task, nll_z: z, r_dist, r_div, total, parts: known ? parts : null };
  });
}

// What GRPO makes of totals: those that are not known have no part, and advantage 0.
export function advantages(totals, scale = "group") {
  const known = totals.filter((total) => total !== null);
  if (known.length === 0) return totals.map(() => null);
  const mean = sum(known) / known.length;
  const variance = known.length > 1 ? sum(known.map((total) => (total - mean) ** 2)) / (known.length - 1) : 0;
  const by = scale === "none" ? 1 : Math.sqrt(variance) + 1e-4;
  return totals.map((total) => (total === null ? null : (total - mean) / by));
}

// Places by total, the best first; null for those without one.
export function ranks(totals) {
  const order = totals.map((total, k) => [total, k]).filter(([total]) => total !== null);
  order.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const found = totals.map(() => null);
  order.forEach(([, k], place) => {
    found[k] = place + 1;
  });
  return found;
}
