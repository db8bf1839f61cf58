// What the rule is changed by: a choice of variants, and sliders.
import { make } from "./parts.js";

// rule: changed in place; touched is told of it; reset: what "as in the file" does.
export function ruleControls(rule, touched, reset) {
  const slider = (label, value, most, step, changed) => {
    const output = make("output", { textContent: value });
    const input = make("input", { type: "range", min: 0, max: most, step, value });
    input.addEventListener("input", () => {
      output.textContent = input.value;
      changed(Number(input.value));
      touched();
    });
    return make("label", {}, label, input, output);
  };
  const variant = make("select");
  for (const name of ["full", "no_dist", "no_div", "task_only", "soft"]) {
    variant.append(make("option", { value: name, textContent: name, selected: name === rule.variant }));
  }
  variant.addEventListener("change", () => {
    rule.variant = variant.value;
    touched();
  });
  const asInFile = make("button", { type: "button", textContent: "as in the file" });
  asInFile.addEventListener("click", reset);
  return [
    make("label", {}, "Variant", variant),
    slider("λ_dist", rule.lambda_dist, 5, 0.1, (value) => { rule.lambda_dist = value; }),
    slider("λ_div", rule.lambda_div, 50, 0.5, (value) => { rule.lambda_div = value; }),
    slider("min_std", rule.min_std, 0.5, 0.01, (value) => { rule.min_std = value; }),
    slider("min length ratio", rule.guards.min_length_ratio ?? 0, 1, 0.05, (value) => {
      rule.guards.min_length_ratio = value || undefined;
    }),
    slider("max copied", rule.guards.max_copied ?? 1, 1, 0.05, (value) => {
      rule.guards.max_copied = value < 1 ? value : undefined;
    }),
    asInFile,
  ];
}
