"""Stage II (paper §3.5, D): a rewritten SFT dataset by generate, verify, fall back, and the baselines.

    sft            the references as they are
    sdft           π0 with the fixed rewriting prompt
    mind_the_gap   π0 solves the problem by itself; what does not verify is rewritten as in sdft (the paper's baseline,
                   its appendix D)
    mind_the_gap_guided
                   the same with the second stage of its own paper (arXiv 2509.15157, "guided re-solving"): what does
                   not verify is solved once more, with the reference as a hint
    agent          a trained rewriter
    select         K samples of π0 or of a rewriter, rewrites, self-solves or both; the best by the service's reward

Promises: everything that can be wrong is looked at before the model is loaded; every check goes over HTTP; generation
and scoring overlap; a build that was killed goes on with its next row, and in float32 with transformers ends with the
bytes of an undisturbed one; while the service is away the build waits, and past the patience it stops with what is
written kept. Trouble of the service never becomes a fallback.

Not covered: retries of a candidate (the paper has none), training on the result (`rewright.trainer.sft.train`).
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rewright.clients.cli.progress import ProgressBar
from rewright.service.models.chat_format import ChatFormat
from rewright.trainer.build.checks import Checks, open_checks
from rewright.trainer.build.corpus import BuildCorpus, stage_two
from rewright.trainer.build.finish import Facts, diversity_of, finish
from rewright.trainer.build.folder import BuildFolder
from rewright.trainer.build.rows import as_line, row_of
from rewright.trainer.build.stream import BuildStream, Round, Settled, Step
from rewright.trainer.data.prompts import Prompt, rewriting_prompt
from rewright.trainer.generation.base import Decoding
from rewright.trainer.generation.engine import Generator, open_generator
from rewright.trainer.models.adapter_folder import adapter_sha256, rewriter_of
from rewright.trainer.models.policy import chat_format, load_tokenizer, locate
from rewright.trainer.models.rendering_file import Asking, asking_in
from rewright.trainer.recipes.blocks import RewardRule
from rewright.trainer.recipes.build import BuildRecipe, Shard
from rewright.trainer.runs.preflight import Served, api_key, check_service, incompatibilities
from rewright.trainer.runs.row_file import RowFile, origins_in

log = logging.getLogger(__name__)
BATCHES_A_BLOCK = 4
SPARE_BLOCKS = 3
"""Blocks held beside those under way in the model: room for the service to lag behind."""


@dataclass(frozen=True)
class _Prepared:
    """What a build consists of before a weight is loaded."""

    recipe: BuildRecipe
    adapter: Path | None
    asking: Asking
    chat: ChatFormat
    rounds: list[Round]
    corpus: BuildCorpus
    part: range
    settings: dict[str, Any]
    provenance: dict[str, Any]
    row_provenance: dict[str, Any]

    @property
    def block_size(self) -> int:
        return _block_size(self.recipe)


class Solving(NamedTuple):
    """How π0 is asked to solve a problem: by itself, and with the reference as a hint."""

    alone: Prompt
    guided: Prompt


@dataclass
class Session:
    """One run of the command. seconds: of the stream alone, without loading; busy seconds are within them."""

    rows: int = 0
    seconds: float = 0.0
    generator_busy_s: float = 0.0
    service_busy_s: float = 0.0


def build(recipe: BuildRecipe, *, shard: Shard | None = None) -> Path:
    """Build until the last row; the dataset's file. A finished build is left as it is.

    Raises `TrainerError` for all that its user can fix; what was written until then is kept and gone on with.
    """
    rewriting = rewriting_prompt(recipe.prompt.file)
    solving = Solving(Prompt.load(recipe.solve_prompt, places={"problem"}), rewriting_prompt(recipe.guided_prompt))
    adapter = Path(recipe.adapter).expanduser() if recipe.adapter is not None else None
    adapter_hash = adapter_sha256(adapter) if adapter is not None else None
    folder = BuildFolder(Path(recipe.keeping.output).expanduser())
    if shard is not None:
        folder = folder.shard(shard.folder)
    with folder.lock():
        served = check_service(recipe.service.as_reward(recipe.rule))
        asking = (asking_in(adapter) if adapter is not None else None) or Asking(rewriting, served.rendering)
        prepared = _prepare(
            recipe, folder, served, asking, solving, adapter=adapter, adapter_hash=adapter_hash, shard=shard
        )
        folder.claim(prepared.settings)
        report = folder.report()
        if report is not None and folder.dataset(recipe.keeping.format).is_file():
            log.info("%s is finished already", folder.path)
            return folder.dataset(recipe.keeping.format)
        return _build(prepared, folder)


def _prepare(
    recipe: BuildRecipe,
    folder: BuildFolder,
    served: Served,
    asking: Asking,
    solving: Solving,
    *,
    adapter: Path | None,
    adapter_hash: str | None,
    shard: Shard | None,
) -> _Prepared:
    located = locate(recipe.backbone)
    chat = chat_format(located, load_tokenizer(located), asking.rendering)
    for misfit in incompatibilities(served, located, chat):
        log.warning(misfit)
    corpus = stage_two(recipe, folder.corpus, prompt=asking.prompt, chat=chat, located=located)
    block_size = _block_size(recipe)
    part = corpus.part(shard, block_size=block_size)
    rounds = _rounds(recipe, rewriting=asking.prompt, solving=solving)
    steps = [step for together in rounds for step in together]
    select = {"select": recipe.selecting.model_dump(mode="json")} if recipe.selecting else {}
    settings = {
        "method": recipe.method,
        "success_only": recipe.success_only,
        "format": recipe.keeping.format,
        "backbone": {"revision": located.revision, "precision": recipe.backbone.precision},
        "adapter": adapter_hash,
        "prompts": {step.origin: step.prompt.sha256 for step in steps},
        "template": chat.describe(),
        "generation": recipe.generation.model_dump(mode="json") if steps else None,
        **select,
        **({"reasoning": recipe.rule.reasoning} if recipe.rule.reasoning != "judge" else {}),
        "corpus": {"data_hash": corpus.data_hash, "samples": corpus.size, "block_size": block_size},
        "scorers": _scorers(served),
        "shard": list(shard) if shard is not None else None,
    }
    provenance = {
        "corpus": {"data_hash": corpus.data_hash, "samples": corpus.size},
        "backbone": {"model": located.name, "revision": located.revision},
        "adapter": adapter_hash,
        "prompts": {step.origin: {"name": step.prompt.name, "sha256": step.prompt.sha256} for step in steps},
        "service": {"version": served.info.get("version"), "scorers": served.info["scorers"]},
    }
    row_provenance = {
        "method": recipe.method,
        "backbone": located.revision or located.name,
        "adapter": adapter_hash,
        "service": str(served.info.get("version")),
        "corpus": corpus.data_hash,
    }
    log.info("%d samples of Stage II, left out: %s", corpus.size, corpus.left_out or "none")
    return _Prepared(recipe, adapter, asking, chat, rounds, corpus, part, settings, provenance, row_provenance)


def _rounds(recipe: BuildRecipe, *, rewriting: Prompt, solving: Solving) -> list[Round]:
    solve = Step("self_solve", solving.alone)
    if select := recipe.selecting:
        both = Step("rewrite", rewriting, select.rewrites), solve._replace(draws=select.k - select.rewrites)
        return [[step for step in both if step.draws]]
    rewrite = Step("rewrite", rewriting)
    rounds: dict[str, list[Round]] = {
        "sft": [],
        "sdft": [[rewrite]],
        "mind_the_gap": [[solve], [rewrite]],
        "mind_the_gap_guided": [[solve], [Step("guided_solve", solving.guided)]],
        "agent": [[rewrite]],
    }
    return rounds[recipe.method]


def _block_size(recipe: BuildRecipe) -> int:
    return BATCHES_A_BLOCK * recipe.generation.batch_size


def _scorers(served: Served) -> dict[str, Any]:
    """Which models judge and score: a build does not change them in the middle."""
    return {
        name: {"model": scorer.get("model"), "revision": scorer.get("revision")}
        for name, scorer in served.info["scorers"].items()
    }


def _build(prepared: _Prepared, folder: BuildFolder) -> Path:
    recipe = prepared.recipe
    ids = (sample.id for sample in prepared.corpus.samples(prepared.part))
    origins = origins_in(folder.rows, ids)
    session = Session()
    # Unless it says more than the defaults, the service's own are asked for, as builds always did.
    rule = recipe.rule.rule() if recipe.selecting or recipe.rule != RewardRule() else None
    with (
        open_checks(recipe.service, api_key=api_key(recipe.service.as_reward()), rule=rule) as (checks, loop),
        RowFile(folder.rows) as rows,
    ):
        if rows.rows < len(prepared.part):
            if rows.rows:
                log.info("going on with row %d of %d", rows.rows + 1, len(prepared.part))
            _stream(prepared, rows, checks, loop, session, passed=rows.rows - origins["reference"])

        def diversity(texts: Sequence[str]) -> float | None:
            return asyncio.run_coroutine_threadsafe(checks.diversity(texts), loop).result()

        facts = Facts(
            method=recipe.method,
            success_only=recipe.success_only,
            format=recipe.keeping.format,
            rewriter=rewriter_of(prepared.adapter),
            samples=len(prepared.part),
            left_out=prepared.corpus.left_out,
            settings=prepared.settings,
            provenance=prepared.provenance,
            diversity=diversity_of(folder.rows, success_only=recipe.success_only, diversity=diversity),
            session=vars(session),
        )
    return finish(folder, facts)


def _stream(
    prepared: _Prepared,
    rows: RowFile,
    checks: Checks,
    loop: asyncio.AbstractEventLoop,
    session: Session,
    *,
    passed: int,
) -> None:
    recipe, block_size, part = prepared.recipe, prepared.block_size, prepared.part
    # The block that a kill tore is made again whole, so that its batches are the same; its written rows are left out.
    start = rows.rows // block_size * block_size
    again = rows.rows - start
    with _generator(prepared) as generator, ProgressBar(len(part), unit="rows", done=rows.rows) as bar:

        def take(block: list[Settled]) -> None:
            nonlocal again, passed
            fresh, again = block[again:], max(0, again - len(block))
            tokens_of = prepared.chat.token_count
            made = [row_of(*s, provenance=prepared.row_provenance, tokens_of=tokens_of) for s in fresh]
            rows.append(as_line(row) for row in made)
            passed += sum(row["origin"] != "reference" for row in made)
            session.rows += len(made)
            bar.advance(len(made), note=f"yield {passed / rows.rows:.1%}" if prepared.rounds and rows.rows else "")

        under_way = generator.under_way if generator is not None else recipe.service.concurrency
        stream = BuildStream(
            prepared.corpus.samples(range(part.start + start, part.stop)),
            prepared.rounds,
            checks,
            loop,
            take,
            batch_size=recipe.generation.batch_size,
            block_size=block_size,
            window=SPARE_BLOCKS + -(-under_way // block_size),
        )
        began = time.monotonic()
        try:
            if generator is None:
                stream.drain()
            else:
                for answer in generator.run(stream):
                    stream.answered(answer)
        finally:
            session.seconds = time.monotonic() - began
            session.generator_busy_s = generator.busy_s if generator is not None else 0.0
            session.service_busy_s = checks.service_busy_s


@contextmanager
def _generator(prepared: _Prepared) -> Iterator[Generator | None]:
    """None where the method writes nothing."""
    if not prepared.rounds:
        yield None
        return
    g = prepared.recipe.generation
    sampling = prepared.recipe.selecting or g
    with open_generator(
        prepared.recipe.backbone,
        adapter=prepared.adapter,
        decoding=Decoding(g.max_tokens, sampling.temperature, sampling.top_p, g.seed),
        engine=g.engine,
        batch_size=g.batch_size,
        rendering=prepared.asking.rendering,
    ) as generator:
        yield generator
