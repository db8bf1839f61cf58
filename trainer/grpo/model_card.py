"""The final adapter's README.md: which recipe, which data, which service. Holds no text of problems."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.trainer.grpo.looks import RULE, Look
from rewright.trainer.grpo.plots import points
from rewright.trainer.recipes.grpo import GrpoRecipe
from rewright.trainer.recipes.loader import as_yaml

_METRICS = {
    "reward": "reward",
    "yield": "rewright/yield",
    "v_ans rate": "rewright/v_ans",
    "nll, nats per token": "rewright/nll",
    "diversity D": "rewright/diversity",
    "in-group deviation of r_dist": "rewright/in_group_std/r_dist",
    "in-group deviation of r_div": "rewright/in_group_std/r_div",
    "groups whose rewards are all equal": "frac_reward_zero_std",
}
_LOOKED = (
    "yield",
    "v_ans",
    "nll",
    "nll_head",
    "length_ratio",
    "bare",
    "copied",
    "repeated",
    "cut_off",
    "failed",
    "kl",
    "diversity",
)
_WHO_JUDGES = {
    "judge": "the service's judge",
    "checks": "certain checks alone, no judge",
    "off": "not looked at, an answer-only gate",
}


def model_card(
    recipe: GrpoRecipe,
    provenance: Mapping[str, Any],
    log_history: Sequence[Mapping[str, Any]],
    looks: Sequence[Look] = (),
    kept: Look | None = None,
) -> str:
    """Markdown with the front matter of the hub.

    log_history: the trainer's, a row a step; looks: the watch's; kept: the one whose adapter lies in `best/`.
    """
    hub_name = "/" in recipe.backbone.model and not recipe.backbone.model.startswith((".", "/", "~"))
    base = f"base_model: {recipe.backbone.model}\n" if hub_name else ""
    front = f"---\nlibrary_name: peft\ntags: [rewright, grpo, lora, data-rewriting]\n{base}---"
    steps = max((int(row["step"]) for row in log_history if "step" in row), default=0)
    reward = recipe.reward
    return f"""{front}

# Rewriting agent

A LoRA adapter that rewrites a reference solution the way its backbone would put it, trained by GRPO on the gated reward
of arXiv 2602.11220 (variant `{reward.variant}`, λ_dist {reward.lambda_dist:g}, λ_div {reward.lambda_div:g}; reasoning:
{_WHO_JUDGES[reward.reasoning]}), with rewright.
{steps} steps of {recipe.training.prompts_per_step} prompts, K = {recipe.training.group_size}.

| | first fifth of the steps | last fifth |
|---|---:|---:|
{_rows(log_history)}

These are numbers of training, on training problems; they are no evaluation.
{_looked(looks, kept)}
## Where it comes from

```json
{json.dumps(provenance, ensure_ascii=False, indent=1)}
```

## Recipe

```yaml
{as_yaml(recipe).strip()}
```
"""


def _looked(looks: Sequence[Look], kept: Look | None) -> str:
    if not looks:
        return ""
    names = [name for name in _LOOKED if any(name in look.values for look in looks)]
    rows = "\n".join(
        f"| {look.step} | {look.problems} | "
        + " | ".join(f"{look.values[n]:.3f}" if n in look.values else "–" for n in names)
        + " |"
        for look in looks
    )
    chosen = "No look fits the rule, so `best/` is absent"
    if kept is not None:
        yielded = kept.values["yield"]
        chosen = f"Kept in `best/`: step {kept.step}, with a yield of {yielded:.3f}"
    return f"""
## Watched

Held-back problems, rewritten greedily; KL and D (`diversity`) are of the step's own rollouts. {chosen}.
The rule: {RULE}.

| step | problems | {" | ".join(names)} |
|---:|---:|{"---:|" * len(names)}
{rows}
"""


def _rows(log_history: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for label, metric in _METRICS.items():
        _, values = points(log_history, metric)
        if values:
            some = max(1, len(values) // 5)
            rows.append(f"| {label} | {sum(values[:some]) / some:.4f} | {sum(values[-some:]) / some:.4f} |")
    return "\n".join(rows)
