"""The rows of a built dataset as ids and labels: the loss falls on the response and its end of turn, on nothing else.

Promises: rows keep their order, so that every method trains on the same problems in the same order; a row that cannot
be trained on is left out, counted and named with its reason (`fallback`, `empty`, `control_tokens`,
`refused` by the chat template, `too_long`, and those of conversations); nothing is cut.

Rows come in any layout of `rewright.trainer.data.conversations`; the last turn of the assistant is the response, and
all that is before it the prompt. Other columns are left alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.service.models.chat_format import ChatFormat, Target
from rewright.service.models.errors import ModelError
from rewright.trainer.data.conversations import Example, examples
from rewright.trainer.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

IGNORED = -100
"""The label that torch's cross entropy passes over."""
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class SftRows:
    """dataset: columns input_ids and labels; left_out: row id → reason; sha256: over the texts trained on."""

    dataset: "Dataset"
    left_out: dict[str, str]
    tokens: int
    sha256: str

    def counts(self) -> dict[str, int]:
        return dict(Counter(self.left_out.values()).most_common())


def sft_rows(
    path: str | Path,
    *,
    chat: ChatFormat,
    max_tokens: int,
    success_only: bool = False,
    layout: str | None = None,
    split: str = "train",
) -> SftRows:
    """path: whatever `rewright.clients.rows` reads; layout: absent: told by the columns. success_only: leave out rows
    of origin `reference`, the fallbacks (Table 4, Figure 3 of the paper).

    Raises `CorpusError` for data that cannot be read or is of no known layout, and where no row is left."""
    from datasets import Dataset

    kept = _Kept(chat, max_tokens, success_only)
    targets = kept.rows(examples(str(path), layout=layout, split=split))
    tables = list(_tables({"input_ids": ids, "labels": labels, "own": own} for ids, labels, own in targets))
    if not tables:
        raise CorpusError(f"data.path: no row of {Path(path).name} can be trained on; left out: {_said(kept.left_out)}")
    return SftRows(Dataset(_joined(tables)), kept.left_out, kept.trained, f"sha256:{kept.digest.hexdigest()}")


class _Kept:
    """Examples → ids and labels, with what was left out on the way."""

    def __init__(self, chat: ChatFormat, max_tokens: int, success_only: bool) -> None:
        self._chat = chat
        self._max_tokens = max_tokens
        self._success_only = success_only
        self.left_out: dict[str, str] = {}
        self.trained = 0
        self.digest = hashlib.sha256()

    def rows(self, read: Iterable[Example]) -> Iterator[tuple[list[int], list[int], bool]]:
        """Ids, labels, and whether the text is the model's own rather than a reference."""
        for example in read:
            target = self._target(example)
            if isinstance(target, str):
                self.left_out[example.name] = target
                continue
            self.digest.update(json.dumps([example.prompt, example.response], ensure_ascii=False).encode())
            self.trained += len(target.ids) - target.start
            own = example.row.get("origin", "reference") != "reference"
            yield target.ids, [IGNORED] * target.start + target.ids[target.start :], own

    def _target(self, example: Example) -> Target | str:
        """Or the reason why there is none."""
        if (reason := self._reason(example)) is not None:
            return reason
        try:
            target = self._chat.encode_target(example.prompt, example.response)
        except ModelError:
            return "refused"
        return target if len(target.ids) <= self._max_tokens else "too_long"

    def _reason(self, example: Example) -> str | None:
        """What is seen before anything is encoded, the cheapest first."""
        texts = (example.response, *(turn["content"] for turn in example.prompt))
        reason = example.reason
        if self._success_only and example.row.get("origin", "reference") == "reference":
            reason = "fallback"
        elif reason is None and (not texts[0].strip() or not any(text.strip() for text in texts[1:])):
            reason = "empty"
        elif reason is None and sum(map(len, texts)) > self._max_tokens * self._chat.longest_token:
            reason = "too_long"
        elif reason is None and any(map(self._chat.spells_control_token, texts)):
            reason = "control_tokens"
        return reason


def _tables(rows: Iterator[dict[str, Any]]) -> Iterator["pyarrow.Table"]:
    """As tables of 32-bit numbers: lists of Python's numbers would take ten times the memory."""
    import pyarrow

    tokens = pyarrow.list_(pyarrow.int32())
    schema = pyarrow.schema([("input_ids", tokens), ("labels", tokens), ("own", pyarrow.bool_())])
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield pyarrow.Table.from_pylist(some, schema=schema)


def _joined(tables: list["pyarrow.Table"]) -> "pyarrow.Table":
    import pyarrow

    return pyarrow.concat_tables(tables)


def _said(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in Counter(left_out.values()).items()) or "the file is empty"
