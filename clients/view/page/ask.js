// The form of a service's own page: groups are posted to it, and what comes back is shown.

// Texts beside their rewards, and tokens where the service gave them.
export function together(request, answer, nlls) {
  return answer.groups.map((group, g) => {
    const posted = request.groups[g];
    const candidates = group.candidates.map((item, k) => {
      const tokens = nlls?.groups[g]?.candidates[k]?.tokens;
      return { ...item, text: posted.candidates[k], ...(tokens ? { tokens } : {}) };
    });
    const texts = { problem: posted.problem, reference: posted.reference, answer: posted.answer };
    return { ...group, ...texts, candidates };
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
  const tokens = make("input", { type: "checkbox", checked: true });
  const said = make("p", { className: "facts", role: "status" });
  const button = make("button", { type: "submit", textContent: "Score" });
  const form = make("form", { className: "ask" },
    make("label", {}, "Example ", choice), make("label", {}, "Key ", key), make("label", {}, tokens, "tokens by likelihood"),
    button, text, said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    said.className = "facts";
    said.textContent = "scoring …";
    try {
      const request = JSON.parse(text.value);
      const answer = await post("v1/reward", request, key.value);
      const { rule, ...body } = request;
      const nlls = tokens.checked ? await post("v1/nll", { ...body, tokens: true }, key.value) : null;
      show({ title: "scored here", rule: rule ?? null, groups: together(request, answer, nlls) });
      said.textContent = "";
    } catch (error) {
      said.className = "error";
      said.textContent = error.message;
    }
    button.disabled = false;
  });
  return make("section", { "aria-label": "Ask the service" }, form);
}
