// The judge's scores beside what somebody who read the texts says: labels by keys, a threshold, and lines of `judge-eval`.
import { drawn, make, number, saved } from "./parts.js";

const BINS = 20;

// [{ score, sound }] of all candidates with a judge's score; sound: true, false, or null where nobody labelled.
export function judged(groups, labels) {
  return groups.flatMap((group, g) => group.candidates.flatMap((item, k) =>
    (item.score == null ? [] : [{ score: item.score, sound: labels.get(`${g} ${k}`) ?? null }])));
}

// Of what is labelled: precision and recall of "score ≥ threshold"; null where there is nothing to divide by.
export function atThreshold(all, threshold) {
  const labelled = all.filter((each) => each.sound !== null);
  const taken = labelled.filter((each) => each.score >= threshold);
  const right = taken.filter((each) => each.sound).length;
  const sound = labelled.filter((each) => each.sound).length;
  return { taken: taken.length, sound, precision: taken.length ? right / taken.length : null, recall: sound ? right / sound : null };
}

// Lines that `rewright judge-eval` reads.
export function labelLines(groups, labels) {
  const rows = [...labels].map(([place, valid]) => {
    const [group, k] = [groups[Number(place.split(" ")[0])], Number(place.split(" ")[1])];
    const { id, problem, reference } = group;
    return { id: `${id} ${k}`, problem: problem ?? "", reference: reference ?? "", candidate: group.candidates[k].text ?? "", valid };
  });
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

function histogram(all, threshold) {
  const bins = Array.from({ length: BINS }, () => ({ sound: 0, unsound: 0, unlabelled: 0 }));
  for (const { score, sound } of all) {
    const kind = sound === null ? "unlabelled" : sound ? "sound" : "unsound";
    bins[Math.min(BINS - 1, Math.floor(score * BINS))][kind] += 1;
  }
  const most = Math.max(1, ...bins.map((bin) => bin.sound + bin.unsound + bin.unlabelled));
  const svg = drawn("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `${all.length} judge's scores from 0 to 1`);
  bins.forEach((bin, k) => {
    let below = 40;
    for (const kind of ["sound", "unsound", "unlabelled"]) {
      const height = (38 * bin[kind]) / most;
      below -= height;
      if (height) svg.append(drawn("rect", { x: (100 * k) / BINS + 0.3, y: below, width: 100 / BINS - 0.6, height, class: kind }));
    }
  });
  svg.append(drawn("line", { x1: 100 * threshold, x2: 100 * threshold, y1: 0, y2: 40, class: "here" }));
  return svg;
}

// What stands under "Judge and labels".
export function judgePanel(groups, labels, threshold, changed) {
  const all = judged(groups, labels);
  const found = atThreshold(all, threshold);
  const save = make("button", { type: "button", textContent: `Save ${labels.size} labels`, disabled: labels.size === 0 });
  save.addEventListener("click", () => saved(labelLines(groups, labels), "labels.jsonl"));
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: threshold });
  input.addEventListener("change", () => changed(Number(input.value)));
  const said = `at ${threshold.toFixed(2)}: precision ${number(found.precision, 2)} of ${found.taken} labelled that it takes, `
    + `recall ${number(found.recall, 2)} of ${found.sound} labelled sound`;
  return [
    make("p", { textContent: "h and l choose a candidate, y says that its reasoning is sound, n that it is not, u takes that back. "
      + "Scores: blue is labelled sound, orange unsound, grey nothing yet." }),
    ...(all.length ? [histogram(all, threshold), make("label", {}, "Threshold ", input), make("p", { className: "said", textContent: said })]
      : [make("p", { textContent: "There are no judge's scores here; labels can be saved all the same." })]),
    save,
  ];
}
