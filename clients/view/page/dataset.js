// A data set before and after: a row beside what it was made of, what somebody keeps of it, and the kept rows as lines.
import { average } from "./jobs.js";
import { difference } from "./pairs.js";
import { make, number, saved } from "./parts.js";
import { changeOf } from "./sorts.js";

// Of the rows of a data set, and of those of them that `wanted` takes: how many, and the mean NLL before and after of
// those where both are known.
export function told(groups, wanted) {
  const rows = groups.filter((group, place) => group.line != null && wanted(place));
  const both = rows.filter((group) => changeOf(group) !== null);
  return {
    rows: rows.length, known: both.length, before: average(both.map((group) => group.before.nll)),
    after: average(both.map((group) => group.candidates[0].nll)),
  };
}

// The rows that `wanted` takes, each as the line that it was read from.
export const linesOf = (groups, wanted) =>
  groups.filter((group, place) => group.line != null && wanted(place)).map((group) => `${group.line}\n`).join("");

const nllsOf = ({ known, before, after }) =>
  (known ? ` (mean NLL of ${known}: ${number(before)} → ${number(after)})` : "");

// What stands under "Before and after". decided: true or false by a row's place; lone: how many rows have no pair.
export function dataSetPanel(groups, decided, lone) {
  const all = told(groups, () => true);
  const isKept = (place) => decided.get(place) === true;
  const notRejected = (place) => decided.get(place) !== false;
  const [kept, left] = [told(groups, isKept), told(groups, notRejected)];
  const button = (label, wanted, count) => {
    const found = make("button", { type: "button", textContent: label, disabled: count === 0 });
    found.addEventListener("click", () => saved(linesOf(groups, wanted), "kept.jsonl"));
    return found;
  };
  const more = [
    lone.only_before ? `${lone.only_before} rows stand in the file before alone` : null,
    lone.left_out ? `${lone.left_out} rows hold no problem with its solution and are left out` : null,
  ].filter(Boolean);
  return [
    make("p", { textContent: "y keeps a row and n rejects it, each going on to the next; u takes that back, j and k "
      + "move. Rows are saved as they were read, as JSON lines." }),
    make("p", { className: "said", textContent: `${all.rows} rows${nllsOf(all)} · ${kept.rows} kept${nllsOf(kept)}`
      + ` · ${all.rows - left.rows} rejected · ${left.rows - kept.rows} undecided` }),
    ...(more.length ? [make("p", { textContent: `${more.join("; ")}.` })] : []),
    button(`Save ${kept.rows} kept`, isKept, kept.rows),
    button(`Save ${left.rows} not rejected`, notRejected, left.rows),
  ];
}

const sideOf = (parts, left, text) => make("pre", { tabIndex: 0 }, ...(parts === null ? [text]
  : parts.filter(({ kind }) => kind === "same" || kind === left)
    .map((part) => make({ same: "span", old: "del", new: "ins" }[part.kind], { textContent: part.text }))));

// A row beside what it was made of, with what differs marked. kept: true, false, or undefined where nobody decided.
export function beforeAndAfter(group, kept) {
  const { before } = group;
  const after = group.candidates[0];
  const parts = before ? difference(before.text, after.text) : null;
  const change = changeOf(group);
  const head = (name, ...more) => make("h3", { textContent: [name, ...more].filter(Boolean).join(" · ") });
  const nllOf = ({ nll }) => (nll == null ? null : `NLL ${number(nll)}`);
  const differs = change === null ? null : `${change > 0 ? "+" : ""}${number(change)}`;
  const block = (...inside) => make("section", { className: "block" }, ...inside);
  const unmarked = parts === null ? "too different to mark" : null;
  return make("div", { className: "texts", id: "pair" },
    before ? block(head("Before", nllOf(before), unmarked), sideOf(parts, "old", before.text))
      : block(head("Before"), make("p", { className: "facts", textContent: "The file before has no such row." })),
    block(head("After", nllOf(after), differs, after.origin, { true: "kept", false: "rejected" }[kept]),
      sideOf(parts, "new", after.text)));
}
