"""An SFT recipe in LLaMA-Factory's words, for those who train with it as the paper does.

Promises: the same settings, on the dataset that `rewright build` exported for it (its `dataset_info.json`); a template
that cannot be told from the backbone's name is asked for, never guessed. Key names are those of LLaMA-Factory's own
examples (`examples/train_full/llama3_full_sft.yaml`, `examples/train_lora/…`).

Not covered: running it; its loss curve and checkpoints.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.sft import SftRecipe

_TEMPLATES = {"llama-3": "llama3", "mistral": "mistral", "qwen3": "qwen3", "qwen2": "qwen", "smollm2": "smollm2"}
INFO = "dataset_info.json"


def write_llama_factory(recipe: SftRecipe, file: Path, *, template: str | None, ranks: int) -> Path:
    """Write the YAML. ranks: processes that it will be started with, for the same global batch.

    Raises `RecipeError` where the dataset was not exported, the chat template is unknown, or it has no such loss.
    """
    t = recipe.training
    folder, name = _exported(Path(recipe.data.path).expanduser())
    content: dict[str, Any] = {
        "model_name_or_path": recipe.backbone.model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if recipe.lora is None else "lora",
        "dataset": name,
        "dataset_dir": str(folder),
        "template": template or _template(recipe.backbone.model),
        "cutoff_len": recipe.data.max_tokens,
        "output_dir": recipe.keeping.output,
        "logging_steps": 1,
        "save_steps": recipe.keeping.save_steps,
        "save_total_limit": recipe.keeping.checkpoints,
        "plot_loss": True,
        "per_device_train_batch_size": t.micro_batch,
        "gradient_accumulation_steps": t.accumulation(ranks),
        "learning_rate": t.learning_rate,
        "num_train_epochs": t.epochs,
        "lr_scheduler_type": t.schedule,
        "warmup_ratio": t.warmup_ratio,
        "optim": "adamw_torch",
        "adam_beta1": t.betas[0],
        "adam_beta2": t.betas[1],
        "adam_epsilon": t.epsilon,
        "weight_decay": t.weight_decay,
        "max_grad_norm": t.max_grad_norm,
        "bf16": recipe.backbone.precision != "float32",
        "seed": t.seed,
        "ddp_timeout": 180000000,
    }
    if t.loss == "dft":
        content["use_dft_loss"] = True
    elif t.loss != "nll":
        raise RecipeError(f"training.loss: LLaMA-Factory has no loss {t.loss}; use nll or dft, or train with rewright")
    if t.max_steps is not None:
        content["max_steps"] = t.max_steps
    if recipe.lora is not None:
        targets = recipe.lora.targets
        all_linear = targets == "all-linear"
        content |= {
            "lora_rank": recipe.lora.r,
            "lora_alpha": recipe.lora.alpha,
            "lora_dropout": recipe.lora.dropout,
            "lora_target": "all" if all_linear else targets if isinstance(targets, str) else ",".join(targets),
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    head = (
        f"# For {ranks} process(es): {t.micro_batch} rows x {t.accumulation(ranks)} micro-batches = {t.batch} a step.\n"
    )
    file.write_text(head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def _exported(dataset: Path) -> tuple[Path, str]:
    found = sorted(dataset.parent.rglob(INFO))
    if not found:
        raise RecipeError(f"there is no {INFO} under {dataset.parent}; `rewright build` exports one for LLaMA-Factory")
    names = list(json.loads(found[0].read_text(encoding="utf-8")))
    if len(names) != 1:
        raise RecipeError(f"{found[0]} must name one dataset; it names {', '.join(names) or 'none'}")
    return found[0].parent.resolve(), names[0]


def _template(model: str) -> str:
    found = next((template for part, template in _TEMPLATES.items() if part in model.lower()), None)
    if found is None:
        raise RecipeError(
            f"which chat template of LLaMA-Factory is that of {model}? Say so with --llama-factory-template"
        )
    return found
