"""What keeps a sample out of the corpus, for every method alike (method.md, "Stage I" and "Stage II")."""

from collections.abc import Mapping, Sequence
from typing import Any

from clients.http_client import RewardClient
from trainer.corpus import Refusals, by_rule
from trainer.errors import CorpusError
from trainer.policy import ChatFormat
from trainer.prompts import Prompt
from trainer.recipe import Corpus
from trainer.samples import Sample


def local_filters(corpus: Corpus, prompt: Prompt, chat: ChatFormat, *, max_prompt_tokens: int) -> list[Refusals]:
    """Those that need the backbone's tokenizer and nobody's answer, cheapest first."""
    filters = [
        by_rule("control_tokens", lambda s: chat.spells_control_token(f"{s.problem}\n{s.reference}")),
        by_rule("too_long", lambda s: chat.tokens_of(f"{s.problem}\n{s.reference}") > corpus.max_sample_tokens),
        by_rule(
            "prompt_too_long",
            lambda s: chat.prompt_tokens(prompt.fill(problem=s.problem, solution=s.reference)) > max_prompt_tokens,
        ),
    ]
    limit = corpus.max_solution_characters
    if limit is not None:
        filters.insert(0, by_rule("solution_too_long", lambda s: len(s.reference) > limit))
    return filters


def unreadable_golds(client: RewardClient) -> Refusals:
    """Samples whose gold answer the service's verifier cannot read: it is asked with the reference as a candidate."""

    def refusals(samples: Sequence[Sample]) -> Mapping[str, str]:
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
        refused = {}
        for group in client.verify(groups).groups:
            item = group.candidates[0]
            if item.status != "failed":
                continue
            if item.error.retryable:
                raise CorpusError(
                    f"the verifier could not tell whether the gold answer of {group.id!r} can be read "
                    f"({item.error.code}); try again, or set corpus.check_golds to false"
                )
            refused[group.id] = item.error.code
        return refused

    return refusals
