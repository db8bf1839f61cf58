// Candidates of a group two by two: how alike their embeddings are, where the group says so, how many words they share,
// and the difference of two texts. The words are told from texts alone.
import { make } from "./parts.js";

const IN_A_ROW = 3; // words of one n-gram
const MOST_DRAWN = 32; // candidates of one matrix
const MOST_CELLS = 4_000_000; // of the table behind a difference

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu) ?? [];

// The word n-grams of a text, as often as they come, with ends, so that one word has n-grams too.
function ngramsOf(text) {
  const words = wordsOf(text);
  const counts = new Map();
  if (words.length === 0) return counts;
  const ended = [...Array(IN_A_ROW - 1).fill(""), ...words, ...Array(IN_A_ROW - 1).fill("")];
  for (let k = 0; k + IN_A_ROW <= ended.length; k += 1) {
    const gram = ended.slice(k, k + IN_A_ROW).join(" ");
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

// Jaccard's index of two bags: what both hold over what either holds, in [0, 1]; null where neither holds anything.
function jaccard(a, b) {
  let both = 0;
  let either = 0;
  for (const [gram, count] of a) both += Math.min(count, b.get(gram) ?? 0);
  for (const counts of [a, b]) for (const count of counts.values()) either += count;
  return either ? both / (either - both) : null;
}

// A row of similarities per text; null for a pair with a text that is not there, and for two without words.
export function similarities(texts) {
  const bags = texts.map((text) => (text == null ? null : ngramsOf(text)));
  return bags.map((a) => bags.map((b) => (a === null || b === null ? null : jaccard(a, b))));
}

// [{ kind: "same" | "old" | "new", text }] whose old and new parts spell the two texts to the last character, by words;
// null for texts that are too long and too different to compare so.
export function difference(old, now) {
  const [a, b] = [old, now].map((text) => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? []);
  let first = 0;
  while (first < a.length && first < b.length && a[first] === b[first]) first += 1;
  let last = 0;
  while (last < a.length - first && last < b.length - first && a.at(-1 - last) === b.at(-1 - last)) last += 1;
  const [n, m] = [a.length - first - last, b.length - first - last];
  if ((n + 1) * (m + 1) > MOST_CELLS) return null;
  // longest[i, j]: the longest common subsequence of what follows place i of one and j of the other.
  const longest = new Uint32Array((n + 1) * (m + 1));
  for (let i = n - 1; i >= 0; i -= 1) {
    for (let j = m - 1; j >= 0; j -= 1) {
      longest[i * (m + 1) + j] = a[first + i] === b[first + j] ? longest[(i + 1) * (m + 1) + j + 1] + 1
        : Math.max(longest[(i + 1) * (m + 1) + j], longest[i * (m + 1) + j + 1]);
    }
  }
  const parts = [];
  const add = (kind, text) => {
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else if (text) parts.push({ kind, text });
  };
  add("same", a.slice(0, first).join(""));
  for (let i = 0, j = 0; i < n || j < m;) {
    if (i < n && j < m && a[first + i] === b[first + j]) {
      add("same", a[first + i]);
      [i, j] = [i + 1, j + 1];
    } else if (j === m || (i < n && longest[(i + 1) * (m + 1) + j] >= longest[i * (m + 1) + j + 1])) {
      add("old", a[first + i]);
      i += 1;
    } else {
      add("new", b[first + j]);
      j += 1;
    }
  }
  add("same", a.slice(a.length - last).join(""));
  return parts;
}

// One text with what is lost struck out and what is new underlined, or why not.
export function differenceOf(old, now) {
  if (old == null || now == null) return make("p", { textContent: "The file does not hold both texts." });
  const parts = difference(old, now);
  if (parts === null) return make("p", { textContent: "These texts are too long and differ too much to be compared." });
  return make("pre", { tabIndex: 0, className: "difference" },
    ...parts.map(({ kind, text }) => make({ same: "span", old: "del", new: "ins" }[kind], { textContent: text })));
}

// What two candidates are compared by. least: the value without colour; meaning is told whether the group has embeddings'
// similarities.
const LIKENESSES = {
  embeddings: {
    label: "embeddings", region: "similarities of embeddings", digits: 3,
    of: (group, places) => places.map((i) => places.map((j) => group.similarities[i]?.[j] ?? null)),
    least: (values) => Math.min(1, ...values.flatMap((row, i) => row.filter((value, j) => value !== null && i !== j))),
    meaning: () => "Embeddings: the cosine of the embeddings of two texts, from -1 to 1, which D and r_div are made of, over "
      + "the feasible candidates alone. Where – stands, one of the two has no embedding here.",
    colour: " The least similar pair has no colour, and 1 the strongest.",
    said: (value) => `: a cosine of ${value.toFixed(3)}`,
  },
  words: {
    label: "words in common", region: "shares of words in common", digits: 2,
    of: (group, places) => similarities(places.map((k) => group.candidates[k].text)),
    least: () => 0,
    meaning: (held) => `Words in common: of all runs of ${IN_A_ROW} words in two texts, the share that both hold. It is told `
      + "from the texts alone, and is not the similarity of embeddings that D and r_div are made of"
      + `${held ? "" : ", which this group does not hold"}.`,
    colour: "",
    said: (value) => `: ${value.toFixed(2)} in common`,
  },
};

function matrixOf({ region, digits, least }, values, pair, choose) {
  const lowest = least(values);
  const head = (k) => make("th", { scope: "col", textContent: `#${k + 1}` });
  const cell = (value, i, j) => {
    const shown = value === null ? "–" : value.toFixed(digits);
    const found = make("td", { textContent: shown, title: `#${i + 1} and #${j + 1}` });
    if (i === j) return found;
    found.style.setProperty("--strength", value === null || lowest === 1 ? 0 : (value - lowest) / (1 - lowest));
    if (pair.includes(i) && pair.includes(j)) found.className = "chosen";
    found.addEventListener("click", () => choose([i, j]));
    return found;
  };
  const rows = values.map((row, i) => make("tr", {}, make("th", { scope: "row", textContent: `#${i + 1}` }),
    ...row.map((value, j) => cell(value, i, j))));
  const table = make("table", {}, make("tr", {}, make("td"), ...values.map((_, k) => head(k))), ...rows);
  const told = { role: "region", "aria-label": region };
  return make("div", { className: "matrix", tabIndex: 0, ...told }, table);
}

// What stands under "Similar texts" of a group of two candidates or more. pair: two places; likeness: a name of LIKENESSES.
// choose is told of another of either, and by which of the panel's lists, if by one.
export function pairsPanel(group, { pair, likeness }, choose) {
  const items = group.candidates;
  const names = group.similarities ? ["embeddings", "words"] : ["words"];
  const name = names.includes(likeness) ? likeness : "words";
  const shown = LIKENESSES[name];
  const values = items.length <= MOST_DRAWN ? shown.of(group, [...items.keys()]) : null;
  const [[, value]] = shown.of(group, pair);
  const by = make("select", { "aria-label": "compared by" },
    ...names.map((each) => make("option", { value: each, textContent: LIKENESSES[each].label, selected: each === name })));
  by.addEventListener("change", () => choose({ likeness: by.value }, "compared by"));
  const chooser = (place) => {
    const called = place === 0 ? "a candidate" : "the other candidate";
    const select = make("select", { "aria-label": called });
    items.forEach((_, k) => {
      select.append(make("option", { value: k, textContent: `#${k + 1}`, selected: k === pair[place] }));
    });
    select.addEventListener("change", () => {
      choose({ pair: pair.map((k, at) => (at === place ? Number(select.value) : k)) }, called);
    });
    return select;
  };
  return [
    ...(names.length > 1 ? [make("p", {}, make("label", {}, "Compared by ", by))] : []),
    make("p", { textContent: shown.meaning(names.length > 1) + (values ? shown.colour : "") }),
    values ? matrixOf(shown, values, pair, (chosen) => choose({ pair: chosen }))
      : make("p", { textContent: `No matrix is drawn of more than ${MOST_DRAWN} candidates.` }),
    make("p", { className: "pair" }, "From ", chooser(0), " to ", chooser(1),
      value === null ? "" : `${shown.said(value)}. Struck out is what is lost, underlined what is new.`),
    differenceOf(items[pair[0]].text, items[pair[1]].text),
  ];
}
