"""Option questions graded by likelihood: which option the model finds most likely, with nothing written or cut off.

As lm-eval's multiple choice does, in the model's chat format (`--apply_chat_template`), zero-shot, by two prompts:

    letters   question, lettered options, "Answer:" (MMLU's prompt); the continuations are the letters
    texts     "Question: …" and "Answer:", no options; the continuations are the options' texts (ARC's prompt)

    acc       the most likely continuation: the largest sum of log-probabilities of its tokens, in nats
    acc_norm  the same sums, each over its text's length in characters (texts alone: letters are all as long)

The first of equals is taken, as numpy's argmax does. The end of turn is not scored. The forward pass is the service's
packed one (`rewright.service.models.forward`), held against the model itself before it is used.

Not covered: few-shot prompts, scores over HTTP: the service's π0 is not the model that is evaluated.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rewright.service.models.backbone import Backbone as Loaded
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import ModelError
from rewright.service.models.forward.choose import TargetScorer, fastest_scorer
from rewright.service.models.forward.packing import Tree
from rewright.service.models.rendering import Rendering
from rewright.trainer.errors import BackboneError
from rewright.trainer.evaluate.accuracy import wilson
from rewright.trainer.evaluate.benchmarks import Question, option_lines
from rewright.trainer.evaluate.stated import LETTERS, same_option
from rewright.trainer.generation.transformers_engine import with_adapter
from rewright.trainer.models.policy import (
    chat_format,
    context_window,
    device_of,
    dtype_of,
    load_model,
    load_tokenizer,
    locate,
    without_adapter,
)
from rewright.trainer.recipes.blocks import Backbone

BATCH_TOKENS = 8_192
_AT_ONCE = 16
_WAYS = ("letters", "texts")


def letter_prompt(question: Question) -> str:
    return f"{question.question.strip()}\n{option_lines(question)}\nAnswer:"


def text_prompt(question: Question) -> str:
    return f"Question: {question.question.strip()}\nAnswer:"


def option_likelihoods(
    questions: Sequence[Question], *, backbone: Backbone, adapter: Path | None, rendering: Rendering
) -> Iterator[list[dict[str, Any]]]:
    """Rows of questions with options, some at a time: `id`, and for `letters` and `texts` the log-probability of each
    option in nats, or None where a prompt does not fit into the window or an option has no text.

    Raises `BackboneError` where the model cannot be loaded or scored with."""
    with _opened(backbone, adapter, rendering) as opened:
        waiting = iter(questions)
        while some := list(islice(waiting, _AT_ONCE)):
            yield opened.score(some)


class _Opened(NamedTuple):
    chat: ChatFormat
    scorer: TargetScorer
    window: int

    def score(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        trees = [tree for question in questions for tree in self._trees(question)]
        sums = iter(self.scorer.score([tree for tree in trees if tree is not None]))
        found = iter([_sums(next(sums)) if tree is not None else None for tree in trees])
        return [{"id": question.id} | {way: next(found) for way in _WAYS} for question in questions]

    def _trees(self, question: Question) -> tuple[Tree | None, Tree | None]:
        options = question.options or ()
        return (
            self._tree(letter_prompt(question), LETTERS[: len(options)]),
            self._tree(text_prompt(question), options),
        )

    def _tree(self, prompt: str, continuations: Sequence[str]) -> Tree | None:
        tree = Tree(self.chat.encode_prefix(prompt), [self.chat.encode_candidate(text) for text in continuations])
        longest = max(map(len, tree.candidates))
        return tree if all(tree.candidates) and len(tree.prefix) + longest <= self.window else None


def _sums(outcomes: Sequence[Any]) -> list[float]:
    import torch

    if not all(isinstance(outcome, torch.Tensor) for outcome in outcomes):
        raise BackboneError("likelihood: one question does not fit into the device's memory; use another device")
    return [float(outcome.double().sum()) for outcome in outcomes]


@contextmanager
def _opened(backbone: Backbone, adapter: Path | None, rendering: Rendering) -> Iterator[_Opened]:
    import torch

    located, device, dtype = locate(backbone), device_of(backbone), dtype_of(backbone)
    tokenizer = load_tokenizer(located)
    model: Any = load_model(located, backbone)
    window = context_window(model, tokenizer, located)
    if adapter is not None:
        model = without_adapter(with_adapter(model, adapter, merge=dtype == torch.float32))
    loaded = Loaded(
        model=model.requires_grad_(False).eval().to(device),
        tokenizer=tokenizer,
        eos_ids=frozenset(),
        name=located.name,
        revision=located.revision or "",
        device=device,
        dtype=dtype,
        context_window=window,
        embedded=False,
    )
    try:
        scorer = fastest_scorer(loaded, batch_tokens=BATCH_TOKENS)
    except ModelError as error:
        raise BackboneError(error.message) from error
    try:
        yield _Opened(chat_format(located, tokenizer, rendering), scorer, window)
    finally:
        scorer.close()


def chosen(row: dict[str, Any], question: Question) -> dict[str, bool | None]:
    """Whether the choice is right, by `letters`, `texts` and `texts_norm`; None where it was not measured.

    lm-eval divides by the characters of the option's text."""
    lengths = [len(text) for text in question.options or ()]
    letters, texts = row["letters"], row["texts"]
    norm = [value / length for value, length in zip(texts, lengths, strict=True)] if texts is not None else None
    return {
        "letters": _right(letters, question),
        "texts": _right(texts, question),
        "texts_norm": _right(norm, question),
    }


def _right(values: Sequence[float] | None, question: Question) -> bool | None:
    if values is None or question.options is None:
        return None
    letter = LETTERS[max(range(len(values)), key=values.__getitem__)]
    return same_option(letter, question.answer, question.options)


def likelihood_result(rows: Sequence[tuple[dict[str, Any], Question]]) -> dict[str, Any]:
    """Of one benchmark: for each kind of choice how many were measured, how many are right, the share and its 95 %
    Wilson interval."""
    right = [chosen(row, question) for row, question in rows]
    result = {}
    for kind in ("letters", "texts", "texts_norm"):
        known = [each[kind] for each in right if each[kind] is not None]
        low, high = wilson(sum(map(bool, known)), len(known))
        share = sum(map(bool, known)) / len(known) if known else None
        result[kind] = {
            "questions": len(known),
            "correct": sum(map(bool, known)),
            "accuracy": share,
            "interval": [low, high],
        }
    return result
