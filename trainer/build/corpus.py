"""The samples of a build: Stage II of a corpus, made here or taken from a finished one, and a shard's part of it.

Promises: the samples are read from the file as they are needed; with the same corpus settings every method gets the
same samples in the same order; shards are runs of whole blocks, so that together they give the rows of one build.

Not covered: how a corpus is filtered and drawn (`rewright.trainer.data.corpus`).
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.locating import Located
from rewright.trainer.data.corpus import prepare_corpus
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample, hash_of
from rewright.trainer.errors import CorpusError, ServiceTrouble
from rewright.trainer.recipes.build import BuildRecipe, Shard
from rewright.trainer.runs.corpus_filters import local_filters, untrusted_golds
from rewright.trainer.runs.preflight import api_key


class BuildCorpus(NamedTuple):
    """file: the samples; left_out: counts by reason, listed one by one in report.json beside the file."""

    file: Path
    size: int
    data_hash: str
    left_out: dict[str, int]

    def part(self, shard: Shard | None, *, block_size: int) -> range:
        """The places of the shard's samples."""
        if shard is None:
            return range(self.size)
        blocks = -(-self.size // block_size)
        start, stop = (blocks * part // shard.parts * block_size for part in (shard.part, shard.part + 1))
        return range(min(start, self.size), min(stop, self.size))

    def samples(self, places: range) -> Iterator[Sample]:
        """Read lazily."""
        with self.file.open(encoding="utf-8") as lines:
            for line in islice(lines, places.start, places.stop):
                yield Sample(**json.loads(line))


def stage_two(recipe: BuildRecipe, folder: Path, *, prompt: Prompt, chat: ChatFormat, located: Located) -> BuildCorpus:
    """Raises `CorpusError` for data that cannot be used, `ServiceTrouble` where golds cannot be checked."""
    if recipe.corpus_folder is not None:
        folder = Path(recipe.corpus_folder).expanduser()
        if not (folder / "report.json").is_file():
            raise CorpusError(f"corpus_folder: {folder} holds no finished corpus (report.json is not there)")
    else:
        _make(recipe, folder, prompt, chat, located)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    file = folder / "stage_two.jsonl"
    left_out = dict(report["counts"])
    corpus = BuildCorpus(file, int(report["kept"]["stage_two"]), str(report["data_hash"]["stage_two"]), left_out)
    if corpus.size == 0:
        raise CorpusError(
            f"no sample is left for Stage II of {report['read']} that were read; left out: {left_out or 'none'}; "
            "is corpus.stage_one_share 1?"
        )
    if not file.is_file() or hash_of(corpus.samples(range(corpus.size))) != corpus.data_hash:
        raise CorpusError(f"{file} is not what was written there; make the corpus again in a new folder")
    return corpus


def _make(recipe: BuildRecipe, folder: Path, prompt: Prompt, chat: ChatFormat, located: Located) -> None:
    settings: dict[str, Any] = {
        "corpus": recipe.corpus.model_dump(mode="json") if recipe.corpus is not None else None,
        "prompt": {"sha256": prompt.sha256, "max_tokens": recipe.prompt.max_tokens},
        "backbone": {"model": located.name, "revision": located.revision, "template": chat.template_sha256},
    }
    assert recipe.corpus is not None  # noqa: S101
    filters = local_filters(recipe.corpus, prompt, chat, max_prompt_tokens=recipe.prompt.max_tokens)
    reward = recipe.service.as_reward()
    with RewardClient(
        list(reward.base_urls), api_key=api_key(reward), deadline_s=None, patience_s=reward.patience_s
    ) as client:
        if recipe.corpus.check_golds:
            filters.append(untrusted_golds(client))
        try:
            prepare_corpus(recipe.corpus, folder, settings=settings, filters=filters, needed="two")
        except RewrightError as error:
            raise ServiceTrouble(f"cannot check the gold answers: {error.message}") from None
