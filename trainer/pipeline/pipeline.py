"""The whole experiment from one recipe: rewriters, datasets, SFT, evaluation, report.

    rewriter-NAME → build-NAME → sft-NAME → evaluate-NAME → report        evaluate-base stands beside

Promises: every step is the function that its own command calls; all methods have the same split, verifier, training and
questions; a step is skipped when nothing that its output depends on changed (`rewright.trainer.pipeline.steps`): recipe
blocks, files by content, steps before it, prompts by text, and the service's models. Where the service listens and how
long it is waited for change no output and repeat no step.

Not covered: steps side by side; several machines (each command has its own way: torchrun, `build --shard`).
"""

import gc
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.hashing import content_hash
from rewright.trainer.build.build import build
from rewright.trainer.data.prompts import Prompt, rewriting_prompt
from rewright.trainer.errors import CorpusError, ServiceTrouble
from rewright.trainer.evaluate.benchmarks import read_questions
from rewright.trainer.evaluate.evaluate import evaluate
from rewright.trainer.evaluate.stated import GRADING
from rewright.trainer.grpo.train import train
from rewright.trainer.models.adapter_folder import adapter_sha256
from rewright.trainer.models.policy import locate
from rewright.trainer.pipeline.steps import Done, Steps
from rewright.trainer.recipes.build import Select
from rewright.trainer.recipes.loader import as_yaml
from rewright.trainer.recipes.pipeline import Evaluation, PipelineRecipe
from rewright.trainer.recipes.sft import SftData
from rewright.trainer.report.report import FILE, write_report
from rewright.trainer.runs.preflight import INFO_S, api_key
from rewright.trainer.runs.provenance import FILE as ORIGIN
from rewright.trainer.sft.train import train_sft

log = logging.getLogger(__name__)
_OPERATIONAL = {"device", "micro_batch", "gradient_checkpointing", "save_steps", "concurrency"}
"""Keys of recipe blocks that change how a step is done and not what comes out of it."""


def run_pipeline(recipe: PipelineRecipe) -> Path:
    """Everything that is not done yet; the report. Raises `TrainerError`, after which the same command goes on."""
    experiment = _Experiment(recipe)
    with experiment.steps.lock():
        experiment.steps.note_recipe(as_yaml(recipe))
        return _run(recipe, experiment)


def _run(recipe: PipelineRecipe, experiment: "_Experiment") -> Path:
    rewriters = {name: experiment.rewriter(name) for name in recipe.rewriters}
    base = experiment.evaluated("base", trained=None, base=None)
    for name in recipe.datasets:
        built = experiment.built(name, rewriters)
        both = recipe.datasets[name].success_only and _has_successes(built.folder / "build.json", name)
        for success_only in (False, True) if both else (False,):
            label = f"{name}-success" if success_only else name
            trained = experiment.trained(label, built, success_only=success_only)
            if trained is not None:
                experiment.evaluated(label, trained=trained, base=base)
    return experiment.report()


class _Trained(NamedTuple):
    key: str
    folder: Path


class _Experiment:
    """One recipe's steps, in the order in which they are asked for."""

    def __init__(self, recipe: PipelineRecipe) -> None:
        self._recipe = recipe
        # Looked at first: what is wrong with the last step should not be found after hours.
        self._asked = _asked(recipe.evaluate) if recipe.evaluate is not None else None
        self._adapters = {
            name: adapter_sha256(Path(dataset.adapter).expanduser())
            for name, dataset in recipe.datasets.items()
            if dataset.adapter is not None
        }
        self._solve_prompt = Prompt.load(recipe.solve_prompt, places={"problem"}).sha256
        self._guided_prompt = rewriting_prompt(recipe.guided_prompt).sha256
        self._common = _common(recipe)
        self.steps = Steps(Path(recipe.work).expanduser())

    def rewriter(self, name: str) -> Done:
        r = self._recipe.rewriters[name]
        inputs = {
            **self._common,
            "lora": _plain(r.lora),
            "rule": r.reward.rule() | {"whole_groups": r.reward.whole_groups},
            "rollouts": _plain(r.rollouts),
            "training": _plain(r.training),
        }
        recipe = self._recipe
        return self._step(
            f"rewriter-{name}", inputs, "plots/diversity.png", lambda f: train(recipe.rewriter_recipe(name, output=f))
        )

    def built(self, name: str, rewriters: Mapping[str, Done]) -> Done:
        recipe, dataset = self._recipe, self._recipe.datasets[name]
        rewriter = rewriters[dataset.rewriter] if dataset.rewriter is not None else None
        adapter = Path(dataset.adapter).expanduser() if dataset.adapter is not None else None
        if rewriter is not None:
            adapter = rewriter.folder / "adapter"
        # A rewriter's run has made the corpus already; its second half is what nobody has trained on.
        corpus = next((done.folder / "corpus" for done in rewriters.values()), None)
        inputs = {
            **self._common,
            "method": dataset.method,
            "rewriter": rewriter.key if rewriter is not None else self._adapters.get(name),
            "solve_prompt": self._solve_prompt,
            "generation": _plain(recipe.generation),
            **({"select": _plain(dataset.select or Select())} if dataset.method == "select" else {}),
            **({"reasoning": recipe.reasoning} if recipe.reasoning != "judge" else {}),
            **({"guided_prompt": self._guided_prompt} if dataset.method == "mind_the_gap_guided" else {}),
        }
        return self._step(
            f"build-{name}",
            inputs,
            "build.json",
            lambda f: build(recipe.build_recipe(name, output=f, adapter=adapter, corpus=corpus)),
        )

    def trained(self, label: str, built: Done, *, success_only: bool) -> _Trained | None:
        """None where the recipe leaves SFT out."""
        recipe, sft = self._recipe, self._recipe.sft
        if sft is None:
            return None
        kind = "adapter" if sft.lora is not None else "model"
        data = SftData(path=str(built.folder / "dataset.jsonl"), success_only=success_only, max_tokens=sft.max_tokens)
        done = self._step(
            f"sft-{label}",
            {"dataset": built.key, "success_only": success_only, "sft": _plain(sft)},
            f"{kind}/{ORIGIN}",
            lambda f: train_sft(recipe.sft_recipe(sft, data=data, output=f)),
        )
        return _Trained(done.key, done.folder / kind)

    def evaluated(self, label: str, *, trained: _Trained | None, base: Done | None) -> Done | None:
        """None where the recipe leaves evaluation out. trained: None for π0 itself."""
        recipe, evaluation = self._recipe, self._recipe.evaluate
        if evaluation is None:
            return None
        inputs = {
            "backbone": self._common["backbone"],
            "verifier": self._common["scorers"].get("verify"),
            "trained": trained.key if trained is not None else None,
            "base": base.key if base is not None else None,
            "asked": self._asked,
            "evaluation": _plain(evaluation, without=("data", "prompts")),
        }
        model = trained.folder if trained is not None else None
        beside = base.folder if base is not None else None
        return self._step(
            f"evaluate-{label}",
            inputs,
            "results.json",
            lambda f: evaluate(recipe.evaluate_recipe(evaluation, trained=model, base=beside, output=f)),
        )

    def report(self) -> Path:
        done = self.steps.done
        folders = [step.folder for name, step in done.items() if not name.startswith("rewriter-")]
        inputs = {"steps": {name: step.key for name, step in done.items()}}
        step = self._step("report", inputs, FILE, lambda folder: write_report(folders, folder))
        return step.folder / FILE

    def _step(self, name: str, inputs: Mapping[str, Any], last: str, do: Callable[[Path], object]) -> Done:
        done = self.steps.run(name, inputs=inputs, last=last, do=do)
        if done.ran:
            gc.collect()  # a model of this step should not stay beside the next one's
        return done


def _common(recipe: PipelineRecipe) -> dict[str, Any]:
    """What every step depends on that asks the service: corpus, prompt, backbone, the service's models."""
    located = locate(recipe.backbone)
    sources = [source.path for source in recipe.corpus.sources if source.path is not None]
    return {
        "corpus": _plain(recipe.corpus),
        "sources": [_content(path, "corpus.sources") for path in sources],
        "prompt": {"sha256": rewriting_prompt(recipe.prompt.file).sha256, "max_tokens": recipe.prompt.max_tokens},
        "backbone": {"revision": located.revision or located.name, "precision": recipe.backbone.precision},
        "scorers": _scorers(recipe),
    }


def _has_successes(report: Path, name: str) -> bool:
    counts = json.loads(report.read_text(encoding="utf-8"))["counts"]
    found = any(count for origin, count in counts.items() if origin != "reference")
    if not found:
        log.warning("%s has no rewrite that passed: there is nothing to train on successes alone", name)
    return found


def _asked(evaluation: Evaluation) -> dict[str, Any]:
    """The questions, how they are asked, and how answers are graded."""
    data = _content(evaluation.data, "evaluate.data")
    read_questions(Path(evaluation.data).expanduser(), per_benchmark=evaluation.per_benchmark, seed=evaluation.seed)
    return {
        "data": data,
        "grading": GRADING,
        "math": Prompt.load(evaluation.prompts.math, places={"question"}).sha256,
        "choice": Prompt.load(evaluation.prompts.choice, places={"question", "options"}).sha256,
    }


def _scorers(recipe: PipelineRecipe) -> dict[str, Any]:
    urls = list(recipe.service.base_urls)
    try:
        with RewardClient(urls, api_key=api_key(recipe.service), deadline_s=INFO_S) as client:
            info = client.info()
    except RewrightError as error:
        raise ServiceTrouble(
            f"the reward service at {', '.join(urls)} cannot be used: {error.message} "
            "(start it with `rewright serve`, or set service.base_urls)"
        ) from None
    return {name: [scorer.get("model"), scorer.get("revision")] for name, scorer in info["scorers"].items()}


def _content(path: str, key: str) -> str:
    file = Path(path).expanduser()
    if not file.is_file():
        raise CorpusError(f"{key}: there is no file {path!r}")
    return content_hash(file)


def _plain(block: Any, *, without: tuple[str, ...] = ()) -> Any:
    """A block as JSON, without what does not change the output."""
    content = json.loads(block.model_dump_json(exclude=set(without)))
    return _without_operational(content)


def _without_operational(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_operational(value) for key, value in content.items() if key not in _OPERATIONAL}
    return content
