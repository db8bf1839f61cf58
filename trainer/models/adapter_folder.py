"""A PEFT adapter's folder: that it is one, and what identifies it.

Not covered: loading it (`rewright.trainer.generation.transformers_engine`, `rewright.trainer.models.rewriter`), and how
a rewriter must be asked (`rewright.trainer.models.rendering_file`).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from rewright.service.models.hashing import content_hash
from rewright.trainer.errors import BackboneError
from rewright.trainer.recipes.grpo import load_recipe

_FILES = ("adapter_model.safetensors", "adapter_config.json")


def adapter_sha256(adapter: Path) -> str:
    """Over weights and configuration. Raises `BackboneError` where `adapter` holds no adapter."""
    if absent := [name for name in _FILES if not (adapter / name).is_file()]:
        raise BackboneError(f"{adapter} holds no adapter: {' and '.join(absent)} not found there")
    digest = hashlib.sha256("".join(content_hash(adapter / name) for name in _FILES).encode())
    return f"sha256:{digest.hexdigest()}"


def lora_rank(adapter: Path) -> int:
    """r of the adapter's LoRA."""
    return int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])


def rewriter_of(adapter: Path | None) -> dict[str, Any] | None:
    """The variant of a rewriter's reward, its K, and what its training cost (None where its run's state is not beside
    the adapter); None without a rewriter, or for one from elsewhere."""
    file = adapter / "recipe.yaml" if adapter is not None else None
    if adapter is None or file is None or not file.is_file():
        return None
    recipe = load_recipe(file)
    rollouts = recipe.training.prompts_per_step * recipe.training.group_size
    return {
        "variant": recipe.reward.variant,
        "group_size": recipe.training.group_size,
        "stage_one": _stage_one(adapter.parent / "trainer_state.json", rollouts),
    }


def _stage_one(state: Path, rollouts_per_step: int) -> dict[str, int] | None:
    """Rollouts of Stage I, and their tokens with their prompts'."""
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
        tokens = [row["num_tokens"] for row in content["log_history"] if "num_tokens" in row]
        return {"rollouts": int(content["global_step"]) * rollouts_per_step, "tokens": int(tokens[-1])}
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
