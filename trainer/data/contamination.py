"""Evaluation questions within problems: the same whole question, or 13 of its words in a row.

Promises: every problem that shares one is named with the question's file and row; letter case, punctuation, how numbers
are written and white space do not count. Memory grows with the evaluation files alone.

Source: 13-grams as in the GPT-3 paper (arXiv 2005.14165, appendix C). Not covered: questions in other words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rewright.clients.rows.columns import has_column
from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.reading import read_rows
from rewright.trainer.errors import CorpusError

GRAM = 13
"""Words in a row that two texts must share."""
_STOCK = 3
"""Words that so many questions share are a stock phrase ("where m and n are relatively prime positive integers …"), and
name no question."""
_QUESTIONS = ("question", "problem", "prompt", "query", "instruction")
_DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
"""Code of drawings, which many problems begin alike."""
_WORD = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+|[+*/=<>^-]")


class Evaluations:
    """The questions of some evaluation files, to look problems up in."""

    def __init__(self, files: Iterable[str]) -> None:
        """files: whatever the reader reads; of folders and hub data sets the split `test`. Raises `CorpusError`."""
        self._grams: dict[int, str] = {}
        self._whole: dict[int, str] = {}
        self.questions = 0
        of: Counter[int] = Counter()
        for file in files:
            for place, question in _questions_of(file):
                self.questions += 1
                words = _words(question)
                self._whole.setdefault(hash(tuple(words)), place)
                for gram in set(_grams(words)):
                    self._grams.setdefault(gram, place)
                    of[gram] += 1
        for gram, questions in of.items():
            if questions >= _STOCK:
                del self._grams[gram]

    def shared(self, problem: str) -> str | None:
        """What a problem shares with a question, in words, or None."""
        words = _words(problem)
        if place := self._whole.get(hash(tuple(words))):
            return f"is the question of {place}"
        found = next((self._grams[gram] for gram in _grams(words) if gram in self._grams), None)
        return found and f"shares {GRAM} words with {found}"


def _questions_of(file: str) -> Iterator[tuple[str, str]]:
    try:
        for row in read_rows(file, split="test"):
            column = next((c for c in _QUESTIONS if has_column(row.values, c)), None)
            if column is None:
                raise CorpusError(
                    f"corpus.decontaminate: {row.place} has none of the columns {', '.join(_QUESTIONS)}; there are "
                    f"{', '.join(map(repr, row.values))}"
                )
            value = row.values[column]
            if isinstance(value, str) and value.strip():
                yield row.place, value
    except UnreadableData as error:
        raise CorpusError(
            f"corpus.decontaminate: {error.message}; name your evaluation files, or none with an empty list"
        ) from None


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", _DRAWING.sub(" ", text)).replace("{,}", ",").casefold()
    return [word.replace(",", "") for word in _WORD.findall(plain)]


def _grams(words: Sequence[str]) -> Iterator[int]:
    shifted = [islice(words, start, None) for start in range(GRAM)]
    return map(hash, zip(*shifted, strict=False))
