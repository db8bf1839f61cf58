"""Stage I (paper §3.3): the rewriter R_φ, LoRA on a frozen π0, trained by GRPO on the service's gated reward.

Promises: everything that can be wrong is looked at before the model is loaded (`preflight`, corpus, batch sizes); a run
that was killed goes on from its last whole checkpoint, with its steps, optimizer, data order and log; while the service
is away training waits, and past the patience, or told by SIGTERM, it ends with a checkpoint; nothing scores here:
rewards come over HTTP through `rewright.clients.adapters.trl`.

Not covered: full-parameter training, several updates a generation, evaluation on benchmarks.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.locating import Located
from rewright.service.models.rendering import Rendering
from rewright.trainer.data.corpus import Stages, prepare_corpus
from rewright.trainer.data.prompts import Prompt, rewriting_prompt
from rewright.trainer.errors import CorpusError, ServiceTrouble
from rewright.trainer.grpo.looks import Look
from rewright.trainer.grpo.model_card import model_card
from rewright.trainer.grpo.plots import write_looks, write_plots
from rewright.trainer.grpo.trl_config import data_set, grpo_config, reward_function
from rewright.trainer.grpo.watch import PATIENCE_S, Watch, asked
from rewright.trainer.models.policy import chat_format, load_model, load_tokenizer, locate, lora_config
from rewright.trainer.models.rendering_file import write_rendering
from rewright.trainer.recipes.grpo import GrpoRecipe
from rewright.trainer.recipes.loader import as_yaml
from rewright.trainer.runs.corpus_filters import local_filters, untrusted_golds
from rewright.trainer.runs.final_weights import save_final_weights
from rewright.trainer.runs.preflight import Served, api_key, check_service, incompatibilities
from rewright.trainer.runs.train_folder import RunFolder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl.trainer.grpo_trainer import GRPOTrainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prepared:
    """What a run consists of before a weight is loaded."""

    located: Located
    tokenizer: "PreTrainedTokenizerBase"
    chat: ChatFormat
    rendering: Rendering
    prompt: Prompt
    stages: Stages
    provenance: dict[str, Any]


def train(recipe: GrpoRecipe, *, resume: bool = True) -> Path:
    """Train until the recipe's end; the folder of the final adapter.

    Raises `TrainerError` for all that its user can fix. After `ServiceTrouble` in the middle of a run there is a
    checkpoint of the last finished step to go on from.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    first_rank = int(os.environ.get("RANK", "0")) == 0
    recipe.training.accumulation(ranks)
    prompt = rewriting_prompt(recipe.prompt.file)
    served = check_service(recipe.reward)
    folder = RunFolder(Path(recipe.keeping.output).expanduser())
    with folder.claimed(recipe, resume=resume, first_rank=first_rank):
        return _train(recipe, folder, prompt, served, resume=resume, ranks=ranks, first_rank=first_rank)


def _train(
    recipe: GrpoRecipe, folder: RunFolder, prompt: Prompt, served: Served, *, resume: bool, ranks: int, first_rank: bool
) -> Path:
    from rewright.trainer.runs.resuming import train_to_the_end

    config = grpo_config(recipe, folder.path, ranks=ranks)
    # The first process makes the corpus, the others read it back.
    with config.main_process_first(desc="corpus"):
        prepared = _prepare(recipe, folder, prompt, served)
    if first_rank:
        folder.note_provenance(prepared.provenance)
    trainer = _trainer(recipe, prepared, config)
    watch = _watch(recipe, folder, prepared, trainer)
    if watch is not None:
        watch.watches(trainer)
    try:
        train_to_the_end(trainer, folder.last_checkpoint() if resume else None)
    except RewrightError as error:
        _leave_a_checkpoint(trainer, folder)
        raise ServiceTrouble(
            f"stopped at step {trainer.state.global_step}, since the reward service gave no rewards: {error.message}. "
            "Run the same command again to go on from there"
        ) from error
    finally:
        # A run that ended in trouble is the one that somebody wants to look at.
        if first_rank:
            _draw(recipe, folder, trainer, watch)
    return _finish(recipe, folder, trainer, prepared, watch)


def _prepare(recipe: GrpoRecipe, folder: RunFolder, prompt: Prompt, served: Served) -> _Prepared:
    located = locate(recipe.backbone)
    tokenizer = load_tokenizer(located)
    chat = chat_format(located, tokenizer, served.rendering)
    for misfit in incompatibilities(served, located, chat):
        log.warning(misfit)
    backbone = {"model": located.name, "revision": located.revision, "template": chat.template_sha256}
    settings = {
        "corpus": recipe.corpus.model_dump(mode="json"),
        "prompt": {"sha256": prompt.sha256, "max_tokens": recipe.prompt.max_tokens},
        "backbone": backbone,
    }
    stages = _corpus(recipe, folder, prompt, chat, settings)
    log.info("Stage I has %d samples, left out: %s", len(stages.stage_one), stages.counts or "none")
    if len(stages.stage_one) < recipe.training.prompts_per_step:
        raise CorpusError(
            f"Stage I has {len(stages.stage_one)} samples, fewer than training.prompts_per_step = "
            f"{recipe.training.prompts_per_step}; left out were {stages.counts}"
        )
    provenance = {
        "data_hash": stages.data_hash,
        "samples": {"stage_one": len(stages.stage_one), "stage_two": len(stages.stage_two)},
        "left_out": stages.counts,
        "backbone": backbone,
        "prompt": {"name": prompt.name, "sha256": prompt.sha256},
        "template": chat.describe(),
        "service": {"version": served.info.get("version"), "scorers": served.info["scorers"]},
    }
    return _Prepared(located, tokenizer, chat, served.rendering, prompt, stages, provenance)


def _corpus(
    recipe: GrpoRecipe, folder: RunFolder, prompt: Prompt, chat: ChatFormat, settings: Mapping[str, Any]
) -> Stages:
    filters = local_filters(recipe.corpus, prompt, chat, max_prompt_tokens=recipe.prompt.max_tokens)
    if not recipe.corpus.check_golds:
        return prepare_corpus(recipe.corpus, folder.corpus, settings=settings, filters=filters)
    with RewardClient(list(recipe.reward.base_urls), api_key=api_key(recipe.reward), deadline_s=None) as client:
        try:
            return prepare_corpus(
                recipe.corpus, folder.corpus, settings=settings, filters=[*filters, untrusted_golds(client)]
            )
        except RewrightError as error:
            raise ServiceTrouble(f"cannot check the gold answers: {error.message}") from None


def _trainer(recipe: GrpoRecipe, prepared: _Prepared, config: Any) -> "GRPOTrainer":
    from rewright.trainer.grpo.movement import MovementWatch
    from rewright.trainer.grpo.rewards_together import together
    from rewright.trainer.grpo.trainer import RewriterTrainer

    # TRL awaits a coroutine function, but its annotation knows plain functions alone.
    reward: Any = together(reward_function(recipe), config.device)
    return RewriterTrainer(
        chat=prepared.chat,
        model=load_model(prepared.located, recipe.backbone),
        reward_funcs=reward,
        args=config,
        train_dataset=data_set(prepared.stages.stage_one, prepared.prompt),
        processing_class=prepared.tokenizer,
        peft_config=lora_config(recipe.lora),
        callbacks=[MovementWatch(learning_rate=recipe.training.learning_rate)],
    )


def _leave_a_checkpoint(trainer: Any, folder: RunFolder) -> None:
    step = trainer.state.global_step
    last = folder.last_checkpoint()
    if step > 0 and (last is None or last.name != f"checkpoint-{step}"):
        trainer._save_checkpoint(trainer.model, trial=None)


def _watch(recipe: GrpoRecipe, folder: RunFolder, prepared: _Prepared, trainer: Any) -> Watch | None:
    samples = prepared.stages.stage_two[: recipe.watch.problems]
    if not samples:
        if recipe.watch.problems:
            log.warning(
                "the policy is not watched: corpus.stage_one_share leaves no problems that it is not trained on"
            )
        return None
    reward = recipe.reward

    def client() -> RewardClient:
        return RewardClient(
            list(reward.base_urls),
            api_key=api_key(reward),
            deadline_s=None,
            patience_s=min(PATIENCE_S, reward.patience_s),
        )

    def describe(adapter: Path, looks: Sequence[Look]) -> None:
        _describe(adapter, recipe, prepared, trainer.state.log_history, looks, kept=looks[-1])

    return Watch(
        asked(samples, prepared.prompt, prepared.chat),
        every=recipe.watch.every,
        folder=folder.path,
        chat=prepared.chat,
        rule=reward.rule(),
        client=client,
        describe=describe,
    )


def _finish(
    recipe: GrpoRecipe, folder: RunFolder, trainer: "GRPOTrainer", prepared: _Prepared, watch: Watch | None
) -> Path:
    save_final_weights(trainer, folder.adapter)
    if not trainer.is_world_process_zero():
        return folder.adapter
    trainer.save_state()
    looks = watch.looks(trainer.state.global_step) if watch is not None else []
    kept = watch.kept if watch is not None else None
    for adapter in (folder.adapter, folder.best):
        if adapter.is_dir():
            _describe(adapter, recipe, prepared, trainer.state.log_history, looks, kept=kept)
    return folder.adapter


def _draw(recipe: GrpoRecipe, folder: RunFolder, trainer: "GRPOTrainer", watch: Watch | None) -> None:
    title = f"{recipe.reward.variant}, K = {recipe.training.group_size}"
    looks = watch.looks(trainer.state.global_step) if watch is not None else []
    history = trainer.state.log_history
    if not history:
        return
    kept = watch.kept if watch is not None else None
    plots = [
        *write_plots(history, folder.plots, title=title),
        *write_looks(looks, folder.plots, title=title, kept=kept),
    ]
    for plot in plots:
        log.info("wrote %s", plot)


def _describe(
    adapter: Path,
    recipe: GrpoRecipe,
    prepared: _Prepared,
    log_history: Sequence[Mapping[str, Any]],
    looks: Sequence[Look],
    *,
    kept: Look | None,
) -> None:
    """What a folder of weights needs to be used, and to be understood. kept: the look of the best adapter."""
    # An unpacked GGUF lies in this machine's cache; the adapter should name what the recipe names.
    adapter_config = adapter / "adapter_config.json"
    content = json.loads(adapter_config.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = recipe.backbone.model
    adapter_config.write_text(json.dumps(content, indent=2), encoding="utf-8")
    (adapter / "recipe.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    write_rendering(adapter, prepared.rendering, prompt=prepared.prompt)
    card = model_card(recipe, prepared.provenance, log_history, looks, kept)
    (adapter / "README.md").write_text(card, encoding="utf-8")
