import { sum } from "./rule.js";

const mean = (values) => {
  const known = values.filter((value) => value != null);
  return known.length ? sum(known) / known.length : null;
};

// What a row's NLL gained from before to after, in nats a token; null where one of them is not known.
export const changeOf = (group) => (group.before?.nll == null || group.candidates[0]?.nll == null ? null
  : group.candidates[0].nll - group.before.nll);

// Numbers of a group that it is sorted by and listed with.
export function measured(group) {
  const items = group.candidates;
  const open = items.filter((item) => item.r_task === 1).length;
  const totals = items.map((item) => item.total ?? null).filter((total) => total !== null);
  return {
    yield: items.some((item) => item.r_task != null) ? open / items.length : null,
    spread: totals.length ? Math.max(...totals) - Math.min(...totals) : null,
    failed: items.filter((item) => item.status === "failed").length,
    nll: mean(items.map((item) => item.nll)),
    change: changeOf(group),
    length: mean(items.map((item) => item.signals?.length_ratio)),
    copied: mean(items.map((item) => item.signals?.copied)),
    repeated: mean(items.map((item) => item.signals?.repeated)),
  };
}

export const SORTS = {
  order: ["as in the file", (a, b) => a.place - b.place],
  low: ["yield, lowest first", by("yield", 1)],
  high: ["yield, highest first", by("yield", -1)],
  spread: ["spread of totals", by("spread", -1)],
  failed: ["failures", by("failed", -1)],
  nll: ["NLL, highest first", by("nll", -1)],
  change: ["change of NLL, highest first", by("change", -1)],
  length: ["length ratio", by("length", -1)],
  copied: ["copied share", by("copied", -1)],
  repeated: ["repeated share", by("repeated", -1)],
};

function by(name, direction) {
  return (a, b) => {
    const [x, y] = [a.measured[name], b.measured[name]];
    if (x == null || y == null) return (x == null) - (y == null) || a.place - b.place;
    return direction * (x - y) || a.place - b.place;
  };
}
