"""What keeps a sample out of the corpus, for every method alike (method.md, "Stage I" and "Stage II")."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewright.clients.http_client import RewardClient
from rewright.service.models.chat_format import ChatFormat
from rewright.trainer.data.contamination import Evaluations
from rewright.trainer.data.corpus import GOLD_MISSES, Reason, Refusals, by_rule
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Corpus

BAD_GOLD = "bad_gold"
_AT_THE_SEAMS = 64
"""Tokens by which a text and its frame may be more together than apart."""
_MISSES = dict(zip(("wrong", "no_answer", "undecided"), GOLD_MISSES, strict=True))


def local_filters(corpus: Corpus, prompt: Prompt, chat: ChatFormat, *, max_prompt_tokens: int) -> list[Refusals]:
    """Those that need the backbone's tokenizer and nobody's answer, cheapest first.

    Raises `CorpusError` for evaluation files that cannot be read.
    """

    def longer(text: str, limit: int, count: Callable[[str], int]) -> bool:
        """What is clear from its characters is not encoded: a token of ASCII has at least one, and megabytes would take
        a tokenizer minutes."""
        if text.isascii() and len(text) + frame <= limit:
            return False
        return len(text) > limit * chat.longest_token or count(text) > limit

    cores = os.cpu_count() or 1
    frame = len(chat.encode_prefix("")) + _AT_THE_SEAMS
    filters = [
        by_rule("control_tokens", lambda s: chat.spells_control_token(f"{s.problem}\n{s.reference}")),
        by_rule(
            "too_long",
            lambda s: longer(f"{s.problem}\n{s.reference}", corpus.max_sample_tokens, chat.token_count),
            threads=cores,
        ),
        by_rule(
            "prompt_too_long",
            lambda s: longer(
                prompt.fill(problem=s.problem, solution=s.reference),
                max_prompt_tokens,
                lambda text: len(chat.encode_prefix(text)),
            ),
            threads=cores,
        ),
    ]
    if corpus.decontaminate:
        filters.insert(0, shared_questions(Evaluations(corpus.decontaminate)))
    limit = corpus.max_solution_characters
    if limit is not None:
        filters.insert(0, by_rule("solution_too_long", lambda s: len(s.reference) > limit))
    return filters


def shared_questions(evaluations: Evaluations) -> Refusals:
    """Samples whose problem is an evaluation question, or shares 13 words in a row with one."""

    def refusals(samples: Sequence[Sample]) -> Mapping[str, Reason]:
        found = ((sample.id, evaluations.shared(sample.problem)) for sample in samples)
        return {name: Reason("contaminated", shared) for name, shared in found if shared}

    return refusals


def untrusted_golds(client: RewardClient) -> Refusals:
    """Samples whose gold the service's verifier cannot read, or that y*, asked as a candidate, does not give.

    A gold that is read from y* itself is only asked for being readable.
    """

    def refusals(samples: Sequence[Sample]) -> Mapping[str, Reason]:
        groups: list[Any] = [
            {
                "id": s.id,
                "problem": s.problem,
                "reference": s.reference,
                "answer": s.answer,
                "candidates": [s.reference],
            }
            for s in samples
        ]
        by_id = {sample.id: sample for sample in samples}
        refused = {}
        for group in client.verify(groups).groups:
            item = group.candidates[0]
            gold = by_id[group.id].answer
            if item.status != "failed":
                if gold is not None and not item.correct:
                    said = f"the gold is {gold!r}, the solution says {item.extracted!r}"
                    refused[group.id] = Reason(_MISSES[item.verdict], said)
                continue
            # Any other reason is the service's, and no reason to leave a sample out for every method.
            if item.error.code != BAD_GOLD:
                raise CorpusError(
                    f"the verifier could not tell whether the gold answer of {group.id!r} can be read "
                    f"({item.error.code}); try again, or set corpus.check_golds to false"
                )
            refused[group.id] = Reason(item.error.code)
        return refused

    return refusals
