"""Downstream SFT (paper §3.5, E.1) on a built dataset: full parameters or LoRA, with TRL's `SFTTrainer`.

Promises: what can be wrong is said before the model is loaded; the loss falls on the response and its end of turn alone
(`rewright.trainer.sft.data`); a killed run goes on from its last whole checkpoint with its steps, optimizer and data
order; the loss curve is kept as CSV, JSON and PNG. Weights that are trained are held in float32 and computed with in
bfloat16 where the recipe says so: updates of 1e-6 would be lost in the rounding of bfloat16.

Not covered: packing, evaluation (`rewright.trainer.evaluate.evaluate`), data of other forms than TRL's prompt and
completion.
"""

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.service.models.locating import Located
from rewright.service.models.rendering import Rendering
from rewright.trainer.models.policy import (
    chat_format,
    device_of,
    dtype_of,
    load_model,
    load_tokenizer,
    locate,
    lora_config,
)
from rewright.trainer.models.rendering_file import rendering_of_dataset, write_rendering
from rewright.trainer.recipes.loader import as_yaml
from rewright.trainer.recipes.sft import SftRecipe
from rewright.trainer.runs.final_weights import save_final_weights
from rewright.trainer.runs.loss_curve import curve_of, write_curve
from rewright.trainer.runs.provenance import build_origin, write_origin
from rewright.trainer.runs.train_folder import RunFolder
from rewright.trainer.sft.data import SftRows, sft_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

log = logging.getLogger(__name__)


def train_sft(recipe: SftRecipe, *, resume: bool = True) -> Path:
    """Train until the recipe's end; the folder of what was trained: `adapter/` with LoRA, `model/` without.

    Raises `TrainerError` for all that its user can fix.
    """
    from rewright.trainer.runs.resuming import train_to_the_end

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    first_rank = int(os.environ.get("RANK", "0")) == 0
    recipe.training.accumulation(ranks)
    folder = RunFolder(Path(recipe.keeping.output).expanduser())
    located = locate(recipe.backbone)
    tokenizer = load_tokenizer(located)
    dataset = Path(recipe.data.path).expanduser()
    rendering = recipe.data.rendering or rendering_of_dataset(dataset) or Rendering()
    chat = chat_format(located, tokenizer, rendering)
    rows = sft_rows(
        recipe.data.path,
        chat=chat,
        max_tokens=recipe.data.max_tokens,
        success_only=recipe.data.success_only,
        layout=recipe.data.layout,
        split=recipe.data.split,
    )
    log.info("%d rows with %d trained tokens; left out: %s", len(rows.dataset), rows.tokens, rows.counts() or "none")
    origin = _origin(recipe, located, dataset, rows)
    noted = {**origin, "left_out": rows.left_out, "template": chat.describe()}
    with folder.claimed(recipe, resume=resume, first_rank=first_rank):
        if first_rank:
            folder.note_provenance(noted)
        trainer = _trainer(recipe, folder, located, tokenizer, rows, ranks=ranks)
        train_to_the_end(trainer, folder.last_checkpoint() if resume else None)
        trained = folder.adapter if recipe.lora is not None else folder.model
        save_final_weights(trainer, trained)
        if trainer.is_world_process_zero():
            trainer.save_state()
            write_rendering(trained, rendering)
            _finish(recipe, folder, trained, origin, trainer.state.log_history)
    return trained


def _trainer(
    recipe: SftRecipe,
    folder: RunFolder,
    located: Located,
    tokenizer: "PreTrainedTokenizerBase",
    rows: SftRows,
    *,
    ranks: int,
) -> "SFTTrainer":
    from trl.trainer.sft_trainer import SFTTrainer

    from rewright.trainer.sft.losses import ImportanceTrainer

    parts: dict[str, Any] = {
        "model": _model(recipe, located),
        "args": _config(recipe, folder.path, ranks=ranks),
        "train_dataset": rows.dataset,
        "processing_class": tokenizer,
        "peft_config": lora_config(recipe.lora) if recipe.lora is not None else None,
    }
    if recipe.training.loss == "importance":
        return ImportanceTrainer(bounds=recipe.training.ratio_bounds or (0.0, 2.0), **parts)
    return SFTTrainer(**parts)


def _model(recipe: SftRecipe, located: Located) -> Any:
    # LoRA's own weights are float32 whatever the frozen ones are.
    full = recipe.lora is None
    return load_model(located, recipe.backbone.model_copy(update={"precision": "float32"}) if full else recipe.backbone)


def _config(recipe: SftRecipe, output: Path, *, ranks: int) -> "SFTConfig":
    import torch
    from trl.trainer.sft_config import SFTConfig

    t, keeping = recipe.training, recipe.keeping
    return SFTConfig(
        output_dir=str(output),
        per_device_train_batch_size=t.micro_batch,
        gradient_accumulation_steps=t.accumulation(ranks),
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        warmup_steps=t.warmup_ratio,  # below 1 it is a share of all steps
        num_train_epochs=t.epochs,
        max_steps=t.max_steps or -1,
        optim="adamw_torch",
        adam_beta1=t.betas[0],
        adam_beta2=t.betas[1],
        adam_epsilon=t.epsilon,
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        loss_type="dft" if t.loss == "dft" else "nll",
        gradient_checkpointing=t.gradient_checkpointing,
        seed=t.seed,
        max_length=None,
        completion_only_loss=True,
        use_cpu=device_of(recipe.backbone).type == "cpu",
        bf16=dtype_of(recipe.backbone) == torch.bfloat16,
        logging_steps=1,
        # Else a loss that is NaN is logged as 0.
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=keeping.save_steps,
        save_total_limit=keeping.checkpoints,
        report_to=list(keeping.report_to),
    )


def _origin(recipe: SftRecipe, located: Located, dataset: Path, rows: SftRows) -> dict[str, Any]:
    built = build_origin(dataset)
    return {
        **built,
        "success_only": built["success_only"] or recipe.data.success_only,
        "backbone": {"model": located.name, "revision": located.revision},
        "lora": recipe.lora is not None,
        "loss": recipe.training.loss,
        "data": {"sha256": rows.sha256, "rows": len(rows.dataset), "tokens": rows.tokens, "left_out": rows.counts()},
    }


def _finish(
    recipe: SftRecipe, folder: RunFolder, trained: Path, origin: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    curve = curve_of(history)
    write_curve(curve, folder.path, title=f"SFT on {origin['method'] or origin['dataset']}")
    if recipe.lora is not None:
        # An unpacked GGUF lies in this machine's cache; the adapter should name what the recipe names.
        adapter_config = trained / "adapter_config.json"
        content = json.loads(adapter_config.read_text(encoding="utf-8"))
        content["base_model_name_or_path"] = recipe.backbone.model
        adapter_config.write_text(json.dumps(content, indent=2), encoding="utf-8")
    (trained / "recipe.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    (trained / "README.md").write_text(_card(recipe, origin, curve), encoding="utf-8")
    # Last: a folder with an origin is whole.
    write_origin(trained, origin)


def _card(recipe: SftRecipe, origin: dict[str, Any], curve: list[dict[str, float]]) -> str:
    losses = [row["loss"] for row in curve]
    some = max(1, len(losses) // 5)
    tags = "[rewright, sft, lora]" if recipe.lora is not None else "[rewright, sft]"
    return f"""---
tags: {tags}
---

# {recipe.backbone.model}, fine-tuned on {origin["method"] or origin["dataset"]}

{len(losses)} steps of {recipe.training.batch} rows, loss on the response alone. Mean loss of the first fifth of the
steps {sum(losses[:some]) / some:.4f}, of the last fifth {sum(losses[-some:]) / some:.4f} nats per trained token. These
are numbers of training; they are no evaluation.

```json
{json.dumps(origin, ensure_ascii=False, indent=1)}
```

```yaml
{as_yaml(recipe).strip()}
```
"""
