// Formulas within a text, typeset as MathML, which browsers draw themselves. KaTeX reads the TeX (katex/README.md).
// Texts are hostile: what is too long, too deep, too large, not TeX or not allowed stays as it was written.
import { make } from "./parts.js";

const LONGEST_TEXT = 100_000; // characters, as are the next
const LONGEST = 2_000;
const DEEPEST = 60; // elements in elements: layout takes longer by much more than their depth
const LARGEST = 2_000; // elements of one formula
const MS_A_GROUP = 1_000; // in KaTeX
const ELEMENTS_A_GROUP = 30_000;
const REMEMBERED = 2_000; // formulas

// No link, picture, class or attribute (trust), no macro that goes on for ever, nothing that throws past `typeset`.
const OPTIONS = { output: "mathml", trust: false, throwOnError: true, strict: "ignore", maxExpand: 200, maxSize: 10 };

const BEGINS = /\\\[|\\\(|\$\$?|\\[\s\S]/g; // the last: what a backslash goes before begins nothing
const ENDS = { "\\[": "\\]", "\\(": "\\)", $$: "$$" };
// As pandoc has it, so that prices stay prices: no space inside the signs, no digit behind, no empty line between.
const IN_DOLLARS = /\$(?!\s)((?:(?!\n\s*\n)[^$\\]|\\[\s\S])+)(?<!\s)\$(?!\d)/y;

// [{ text } or { text, tex, display }] that spell the text to the last character.
export function split(text) {
  if (text.length > LONGEST_TEXT) return [{ text }];
  const parts = [];
  let done = 0;
  const found = (from, to, tex, display) => {
    if (!tex.trim() || tex.length > LONGEST) return false;
    if (from > done) parts.push({ text: text.slice(done, from) });
    parts.push({ text: text.slice(from, to), tex, display });
    done = to;
    return true;
  };
  BEGINS.lastIndex = 0;
  for (let match = BEGINS.exec(text); match; match = BEGINS.exec(text)) {
    const [at, sign] = [match.index, match[0]];
    if (sign === "$") {
      IN_DOLLARS.lastIndex = at;
      const whole = IN_DOLLARS.exec(text);
      if (whole && found(at, IN_DOLLARS.lastIndex, whole[1], false)) BEGINS.lastIndex = done;
    } else if (sign in ENDS) {
      const inside = at + sign.length;
      const length = text.slice(inside, inside + LONGEST + 2).indexOf(ENDS[sign]);
      const tex = text.slice(inside, inside + Math.max(0, length));
      if (length >= 0 && found(at, inside + length + 2, tex, sign !== "\\(")) BEGINS.lastIndex = done;
    }
  }
  if (done < text.length) parts.push({ text: text.slice(done) });
  return parts;
}

// How many elements there are within, and how deep they stand; counted without recursion.
function sizeOf(root) {
  let [count, deepest] = [0, 0];
  for (const waiting = [[root, 0]]; waiting.length;) {
    const [element, depth] = waiting.pop();
    count += 1;
    deepest = Math.max(deepest, depth);
    for (const child of element.children) waiting.push([child, depth + 1]);
  }
  return { count, deepest };
}

// What a formula became: { element, count }, or null where it stays as it was written.
const remembered = new Map();

function formulaOf({ text, tex, display }) {
  const box = make("span", { className: display ? "formula display" : "formula", title: text });
  try {
    globalThis.katex.render(tex, box, { ...OPTIONS, displayMode: display });
  } catch {
    // A formula that is none, or one that is nested beyond what the stack holds.
    return null;
  }
  // The TeX once more, which the title has.
  for (const source of box.querySelectorAll("annotation")) source.remove();
  const { count, deepest } = sizeOf(box);
  return count > LARGEST || deepest > DEEPEST ? null : { element: box, count };
}

// A function that makes nodes of a text, for all texts of one group; `short.of` is true once it left formulas as they
// were written because the group has too many.
export function typesetter(short) {
  const left = { ms: MS_A_GROUP, elements: ELEMENTS_A_GROUP };
  return (text) => split(text).map((part) => {
    if (part.tex === undefined) return part.text;
    const name = `${part.display} ${part.text}`;
    if (!remembered.has(name)) {
      if (left.ms <= 0) {
        short.of = true;
        return part.text;
      }
      if (remembered.size >= REMEMBERED) remembered.clear();
      const before = performance.now();
      remembered.set(name, formulaOf(part));
      left.ms -= performance.now() - before;
    }
    const made = remembered.get(name);
    if (made === null) return part.text;
    left.elements -= made.count;
    if (left.elements > 0) return made.element.cloneNode(true);
    short.of = true;
    return part.text;
  });
}
