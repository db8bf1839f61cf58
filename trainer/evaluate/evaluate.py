"""Evaluation: a model answers every question, what the answers state is graded, and a table is made of it.

Promises: every answer is kept as it was written; a killed run goes on where it stopped; values are verified over HTTP
alone, and what could not be verified is reported apart, never as wrong. With a base run of the same questions the table
has Math↑ and Gen↓, and the model's drift from π0 (`rewright.trainer.evaluate.drift`).

Not covered: sampling several answers per question, few-shot prompts, benchmarks without a final answer.
"""

import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from rewright.clients.cli.progress import ProgressBar
from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.rendering import Rendering
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.whole_files import write_json, write_text
from rewright.trainer.errors import RunFolderError, ServiceTrouble
from rewright.trainer.evaluate.accuracy import against_base, averages, benchmark_result
from rewright.trainer.evaluate.answer_checks import AnswerChecks
from rewright.trainer.evaluate.benchmarks import Questions, prompt_of, read_questions
from rewright.trainer.evaluate.drift import measure_drift
from rewright.trainer.evaluate.folder import RESULTS, SETTINGS, EvaluateFolder, JsonLines, read_results
from rewright.trainer.evaluate.likelihood import chosen, likelihood_result, option_likelihoods
from rewright.trainer.evaluate.stated import GRADING
from rewright.trainer.evaluate.table import as_markdown
from rewright.trainer.generation.base import Decoding
from rewright.trainer.generation.engine import open_generator
from rewright.trainer.models.adapter_folder import adapter_sha256
from rewright.trainer.models.policy import locate
from rewright.trainer.models.rendering_file import rendering_in
from rewright.trainer.recipes.blocks import Backbone
from rewright.trainer.recipes.evaluate import EvaluateRecipe
from rewright.trainer.runs.preflight import INFO_S, api_key
from rewright.trainer.runs.provenance import origin_of

log = logging.getLogger(__name__)
_PROBE: dict[str, Any] = {"id": "probe", "answer": "5", "candidates": ["$\\boxed{5}$"]}


class _Run(NamedTuple):
    """texts: each question as it is asked, by its id."""

    recipe: EvaluateRecipe
    client: RewardClient
    questions: Questions
    texts: dict[str, str]
    rendering: Rendering


def evaluate(recipe: EvaluateRecipe) -> Path:
    """Answer, check, count; the folder, which holds results.json and results.md.

    Raises `TrainerError` for all that its user can fix; after `ServiceTrouble` every generation is kept.
    """
    prompts = {
        "math": Prompt.load(recipe.prompts.math, places={"question"}),
        "choice": Prompt.load(recipe.prompts.choice, places={"question", "options"}),
    }
    questions = read_questions(Path(recipe.data).expanduser(), per_benchmark=recipe.per_benchmark, seed=recipe.seed)
    base = _base(recipe, questions)
    with _client(recipe) as client:
        verifier, served = _check_service(client, recipe)
        rendering = (
            recipe.rendering or rendering_in(Path(recipe.adapter or recipe.backbone.model).expanduser()) or served
        )
        if base is not None and base.get("rendering") != rendering.described():
            raise RunFolderError(
                f"base: {recipe.base} was asked with other template arguments, date or end of turn; evaluate the base "
                "model again with the same rendering"
            )
        folder = EvaluateFolder(Path(recipe.output).expanduser())
        settings = _settings(recipe, questions, prompts, rendering)
        texts = {question.id: prompt_of(question, **prompts) for question in questions.asked}
        with folder.lock():
            folder.claim(settings)
            with JsonLines(folder.generations) as generations, JsonLines(folder.verdicts) as verdicts:
                _answer(_Run(recipe, client, questions, texts, rendering), generations, verdicts)
                results = _results(questions, generations, verdicts)
            likelihood = _likelihood(recipe, folder, questions, rendering)
            base_answers = _base_answers(recipe, questions, texts) if base is not None else []
            summary: dict[str, Any] = {
                "kind": "evaluation",
                "origin": origin_of(recipe.adapter or recipe.backbone.model),
                "backbone": recipe.backbone.model,
                "adapter": recipe.adapter,
                "rendering": rendering.described(),
                "questions": {
                    "asked": len(questions.asked),
                    "left_out": questions.left_out,
                    "sha256": questions.sha256,
                },
                "grading": GRADING,
                "verifier": verifier,
                "benchmarks": results,
                "averages": averages(results),
                "likelihood": likelihood,
                "against_base": against_base(results, base["benchmarks"]) if base is not None else None,
                "drift": _drift(recipe, base_answers, rendering) if base_answers else None,
            }
            write_json(folder.path / RESULTS, summary)
            write_text(folder.path / "results.md", as_markdown(summary))
    return folder.path


def _answer(run: _Run, generations: JsonLines, verdicts: JsonLines) -> None:
    """Fill both files with what is missing in them."""
    recipe, client, questions, texts, rendering = run
    by_id = {question.id: question for question in questions.asked}
    missing = [question for question in questions.asked if question.id not in generations.rows]
    bar = ProgressBar(len(by_id), unit="answers", done=len(by_id) - len(missing))
    with AnswerChecks(client, verdicts, by_id) as checks, bar:
        for name, row in generations.rows.items():
            if name not in verdicts.rows:
                checks.add(row)
        if missing:
            g = recipe.generation
            with open_generator(
                recipe.backbone,
                adapter=Path(recipe.adapter).expanduser() if recipe.adapter is not None else None,
                decoding=Decoding(max_tokens=g.max_tokens, temperature=g.temperature, top_p=g.top_p, seed=g.seed),
                engine=g.engine,
                batch_size=g.batch_size,
                rendering=rendering,
            ) as generator:
                asked = ([{"role": "user", "content": texts[question.id]}] for question in missing)
                for index, text, n_tokens, finish_reason in generator.stream(asked):
                    question = missing[index]
                    row = {
                        "id": question.id,
                        "benchmark": question.benchmark,
                        "text": text,
                        "n_tokens": n_tokens,
                        "finish_reason": finish_reason,
                    }
                    generations.append([row])
                    checks.add(row)
                    bar.advance(1)
    absent = sum(name not in verdicts.rows for name in by_id)
    if absent:
        raise ServiceTrouble(
            f"{absent} of {len(by_id)} answers could not be verified: {checks.trouble}. Every generation is kept; "
            "run the same command again to go on from there"
        )


def _results(questions: Questions, generations: JsonLines, verdicts: JsonLines) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for question in questions.asked:
        rows[question.benchmark].append(generations.rows[question.id] | verdicts.rows[question.id])
    return {name: benchmark_result(some) for name, some in rows.items()}


def _likelihood(
    recipe: EvaluateRecipe, folder: EvaluateFolder, questions: Questions, rendering: Rendering
) -> dict[str, Any]:
    """By benchmark, what is more likely than the other options. Empty where no question has options."""
    with_options = [question for question in questions.asked if question.options is not None]
    by_id = {question.id: question for question in with_options}
    with JsonLines(folder.likelihoods) as rows:
        missing = [question for question in with_options if question.id not in rows.rows]
        if missing:
            adapter = Path(recipe.adapter).expanduser() if recipe.adapter is not None else None
            bar = ProgressBar(len(with_options), unit="likelihoods", done=len(with_options) - len(missing))
            with bar:
                for some in option_likelihoods(missing, backbone=recipe.backbone, adapter=adapter, rendering=rendering):
                    rows.append(row | {"benchmark": by_id[row["id"]].benchmark, "right": chosen(row, by_id[row["id"]])}
                                for row in some)  # fmt: skip
                    bar.advance(len(some))
        by_benchmark: dict[str, list[Any]] = defaultdict(list)
        for question in with_options:
            by_benchmark[question.benchmark].append((rows.rows[question.id], question))
    return {name: likelihood_result(some) for name, some in by_benchmark.items()}


def _settings(
    recipe: EvaluateRecipe, questions: Questions, prompts: dict[str, Prompt], rendering: Rendering
) -> dict[str, Any]:
    adapter = adapter_sha256(Path(recipe.adapter).expanduser()) if recipe.adapter is not None else None
    return {
        "questions": questions.sha256,
        "grading": GRADING,
        "prompts": {name: prompt.sha256 for name, prompt in prompts.items()},
        "backbone": recipe.backbone.model_dump(mode="json", include={"model", "precision"}),
        "revision": locate(recipe.backbone).revision,
        "adapter": adapter,
        "rendering": rendering.described(),
        "generation": recipe.generation.model_dump(mode="json", exclude={"engine", "batch_size"}),
    }


def _base(recipe: EvaluateRecipe, questions: Questions) -> dict[str, Any] | None:
    """Raises `RunFolderError` where the base run is not finished, or asked or graded in another way."""
    if recipe.base is None:
        return None
    base = read_results(Path(recipe.base).expanduser())
    if base["questions"]["sha256"] != questions.sha256:
        raise RunFolderError(
            f"base: {recipe.base} answered other questions (data, per_benchmark or seed differ); evaluate the base "
            "model on the same ones first"
        )
    if base.get("grading") != GRADING:
        raise RunFolderError(
            f"base: {recipe.base} was graded by {base.get('grading')}, not by {GRADING}; evaluate the base model again"
        )
    return base


def _base_answers(recipe: EvaluateRecipe, questions: Questions, texts: dict[str, str]) -> list[tuple[str, str]]:
    """Prompts of general questions with π0's own answers, in turn from each benchmark."""
    with JsonLines(Path(recipe.base or "").expanduser() / "generations.jsonl") as base:
        said = {name: row["text"] for name, row in base.rows.items() if row["text"]}
    queues: dict[str, list[str]] = defaultdict(list)
    for question in questions.asked:
        if question.suite == "general" and question.id in said:
            queues[question.benchmark].append(question.id)
    turns = [ids[turn] for turn in range(max(map(len, queues.values()), default=0)) for ids in queues.values()
             if turn < len(ids)]  # fmt: skip
    return [(texts[name], said[name]) for name in turns[: recipe.drift.prompts]]


def _drift(recipe: EvaluateRecipe, pairs: list[tuple[str, str]], rendering: Rendering) -> dict[str, Any]:
    settings = json.loads((Path(recipe.base or "").expanduser() / SETTINGS).read_text(encoding="utf-8"))
    base = Backbone(**(recipe.backbone.model_dump() | settings["backbone"]))
    log.info("measuring the drift from %s on %d prompts", base.model, len(pairs))
    return measure_drift(
        pairs,
        base=base,
        tuned=recipe.backbone,
        adapter=Path(recipe.adapter).expanduser() if recipe.adapter is not None else None,
        rendering=rendering,
        max_tokens=recipe.drift.max_tokens,
    )


def _client(recipe: EvaluateRecipe) -> RewardClient:
    service = recipe.service
    return RewardClient(
        list(service.base_urls),
        api_key=api_key(service),
        deadline_s=None,
        patience_s=service.patience_s,
        concurrency=service.concurrency,
    )


def _check_service(client: RewardClient, recipe: EvaluateRecipe) -> tuple[dict[str, Any], Rendering]:
    """What the verifier says of itself, and how the service's π0 renders (the defaults, where it has none).

    Raises `ServiceTrouble` where it is not there or does not verify."""
    try:
        info = client.info(deadline_s=INFO_S)
        item = client.verify([_PROBE], deadline_s=60).groups[0].candidates[0]
    except RewrightError as error:
        raise ServiceTrouble(
            f"the service at {', '.join(recipe.service.base_urls)} cannot be used: {error.message} "
            "(start it with `rewright serve`, or set service.base_urls)"
        ) from None
    if item.status == "failed":
        raise ServiceTrouble(f"the service cannot verify: {item.error.code}, {item.error.message}")
    verifier = {"version": info.get("version"), **info["scorers"].get("verify", {})}
    return verifier, Rendering.of_described(info["scorers"].get("nll", {}).get("template", {}))
