// Elements, and the pictures of one candidate: the gate as a path, the total in parts, tokens by likelihood.

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function drawn(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const number = (value, digits = 3) => (value == null ? "–" : value.toFixed(digits));

// Lets the browser save lines of JSON as a file of this name.
export function saved(lines, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([lines], { type: "application/jsonl" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

const GATES = [
  ["not blank", ["blank"]], ["answer", ["wrong", "no_answer", "undecided"]],
  ["guards", ["guard_n_tokens", "guard_length_ratio", "guard_repeated", "guard_copied"]],
  ["reasoning", ["invalid", "no_verdict"]], ["measurable", ["too_long", "control_tokens"]], ["open", []],
];

export function pathOf(gate) {
  const shut = GATES.findIndex(([, names]) => names.includes(gate));
  const steps = GATES.map(([name], k) => {
    const passed = gate === "open" || (shut >= 0 && k < shut);
    const here = k === shut;
    const step = make("span", { textContent: here ? `${name}: ${gate}` : name });
    if (passed) step.className = "passed";
    if (here) step.className = "shut";
    return step;
  });
  return make("div", { className: "path", role: "img", "aria-label": `gate: ${gate ?? "not known"}` }, ...steps);
}

export function barOf(parts, widest) {
  const bar = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img" });
  bar.setAttribute("aria-label", parts ? `parts of the total: ${JSON.stringify(parts)}` : "total not known");
  let left = 0;
  for (const name of ["task", "dist", "div", "scores"]) {
    const width = parts ? (Math.max(0, parts[name]) / widest) * 100 : 0;
    if (width > 0) bar.append(drawn("rect", { x: left, y: 0, width, height: 10, class: name }));
    left += width;
  }
  return bar;
}

// Tokens with the ground of their log-probability, or of its difference from another candidate's token of the same place.
export function tokensOf(item, other) {
  const pre = make("pre", { tabIndex: 0 });
  item.tokens.forEach((token, k) => {
    const value = other ? token.logprob - (other.tokens?.[k]?.logprob ?? token.logprob) : token.logprob;
    const strength = Math.min(1, Math.abs(value) / 6);
    const span = make("span", { textContent: token.text, title: `${token.logprob.toFixed(3)} nats` });
    const colour = other && value > 0 ? "0 114 178" : "213 94 0";
    span.style.background = `rgb(${colour} / ${(strength * 0.75).toFixed(2)})`;
    pre.append(span);
  });
  return pre;
}
