// The form of a service's own page: groups are posted to it, and what comes back is shown.

// What a reward answer does not hold: [path, label, asked from the first, what more the request says, which fields of a
// candidate are shown, which of the group].
const DETAILS = [
  ["verify", "answers found", true, {}, ["extracted"], []],
  ["judge", "judge's scores", false, {}, ["score", "rationale"], []],
  ["nll", "tokens by likelihood", true, { tokens: true }, ["tokens"], []],
  ["diversity", "similarities of embeddings", true, { similarities: true }, [], ["similarities"]],
];

// Texts beside their rewards, with details where the service gave them. details: its other answers by their paths.
export function together(request, answer, details) {
  return answer.groups.map((group, g) => {
    const posted = request.groups[g];
    const candidates = group.candidates.map((item, k) => {
      const shown = { ...item, text: posted.candidates[k] };
      for (const [path, , , , fields] of DETAILS) {
        const detail = details[path]?.groups[g]?.candidates[k];
        for (const field of fields) if (detail?.[field] != null) shown[field] = detail[field];
      }
      return shown;
    });
    const texts = { problem: posted.problem, reference: posted.reference, answer: posted.answer };
    const shown = { ...group, ...texts, candidates };
    for (const [path, , , , , fields] of DETAILS) {
      const detail = details[path]?.groups[g];
      for (const field of fields) if (detail?.[field] != null) shown[field] = detail[field];
    }
    return shown;
  });
}

async function post(path, body, key) {
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ? `${said.error.code}: ${said.error.message}` : `HTTP ${answer.status}`);
  return said;
}

// make: makes an element; examples: a request by its name; show: what the page then shows.
export function ask(make, examples, show) {
  const names = Object.keys(examples);
  const text = make("textarea", { rows: 8, spellcheck: false, value: JSON.stringify(examples[names[0]], null, 1), "aria-label": "request" });
  const choice = make("select", {}, ...names.map((name) => make("option", { value: name, textContent: name })));
  choice.addEventListener("change", () => {
    text.value = JSON.stringify(examples[choice.value], null, 1);
  });
  const key = make("input", { type: "password", autocomplete: "off", placeholder: "none" });
  const wanted = DETAILS.map(([, , checked]) => make("input", { type: "checkbox", checked }));
  const said = make("p", { className: "facts", role: "status" });
  const button = make("button", { type: "submit", textContent: "Score" });
  const form = make("form", { className: "ask" },
    make("label", {}, "Example ", choice), make("label", {}, "Key ", key),
    ...DETAILS.map(([, label], k) => make("label", {}, wanted[k], label)), button, text, said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    said.className = "facts";
    said.textContent = "scoring …";
    try {
      const request = JSON.parse(text.value);
      const answer = await post("v1/reward", request, key.value);
      const { rule, ...body } = request;
      const asked = DETAILS.filter((_, k) => wanted[k].checked);
      // A detail that is not to be had leaves the rewards, and is said.
      const found = await Promise.allSettled(asked.map(([path, , , more]) => post(`v1/${path}`, { ...body, ...more }, key.value)));
      const details = Object.fromEntries(asked.map(([path], k) => [path, found[k].value]));
      show({ title: "scored here", rule: rule ?? null, groups: together(request, answer, details) });
      said.textContent = asked.flatMap(([, label], k) => (found[k].reason ? [`without ${label}: ${found[k].reason.message}`] : [])).join("; ");
    } catch (error) {
      said.className = "error";
      said.textContent = error.message;
    }
    button.disabled = false;
  });
  return make("section", { "aria-label": "Ask the service" }, form);
}
