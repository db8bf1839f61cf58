"""The rows of a built dataset as ids and labels: the loss falls on the response and its end of turn, on nothing else.

Promises: rows keep their order, so that every method trains on the same problems in the same order; a row that cannot
be trained on is left out, counted and named with its reason (`fallback`, `empty`, `control_tokens`,
`refused` by the chat template, `too_long`); nothing is cut.

A row has `prompt` and `completion`, each a list of messages (TRL's conversational form); the last message of
`completion` is the response. Other columns are left alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.reading import read_rows
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import ModelError
from rewright.trainer.errors import CorpusError

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100
"""The label that torch's cross entropy passes over."""


@dataclass(frozen=True)
class SftRows:
    """dataset: columns input_ids and labels; left_out: row id → reason; sha256: over the texts trained on."""

    dataset: "Dataset"
    left_out: dict[str, str]
    tokens: int
    sha256: str

    def counts(self) -> dict[str, int]:
        return dict(Counter(self.left_out.values()).most_common())


def read_dataset(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a JSONL or Parquet file. Raises `CorpusError` where it cannot be read."""
    try:
        yield from (row.values for row in read_rows(str(path)))
    except UnreadableData as error:
        raise CorpusError(f"data.path: {error.message}") from None


def sft_rows(path: Path, *, chat: ChatFormat, max_tokens: int, success_only: bool = False) -> SftRows:
    """success_only: leave out rows of origin `reference`, the fallbacks (Table 4, Figure 3 of the paper).

    Raises `CorpusError` for a file that cannot be read, a row of another form, and where no row is left."""
    from datasets import Dataset

    rows: list[dict[str, list[int]]] = []
    left_out: dict[str, str] = {}
    digest = hashlib.sha256()
    trained = 0
    for number, row in enumerate(read_dataset(path), start=1):
        prompt, response = _turns(row, f"{path.name}, row {number}")
        name = str(row.get("id", number))
        if success_only and row.get("origin", "reference") == "reference":
            left_out[name] = "fallback"
            continue
        if not response.strip() or not any(turn["content"].strip() for turn in prompt):
            left_out[name] = "empty"
            continue
        if any(chat.spells_control_token(text) for text in (response, *(turn["content"] for turn in prompt))):
            left_out[name] = "control_tokens"
            continue
        try:
            target = chat.encode_target(prompt, response)
        except ModelError:
            left_out[name] = "refused"
            continue
        if len(target.ids) > max_tokens:
            left_out[name] = "too_long"
            continue
        digest.update(json.dumps([prompt, response], ensure_ascii=False).encode())
        trained += len(target.ids) - target.start
        labels = [IGNORED] * target.start + target.ids[target.start :]
        rows.append({"input_ids": target.ids, "labels": labels})
    if not rows:
        raise CorpusError(f"data.path: no row of {path.name} can be trained on; left out: {_said(left_out)}")
    return SftRows(Dataset.from_list(rows), left_out, trained, f"sha256:{digest.hexdigest()}")


def _turns(row: Mapping[str, Any], place: str) -> tuple[list[dict[str, str]], str]:
    for column in ("prompt", "completion"):
        turns = row.get(column)
        if not isinstance(turns, list) or not turns or not all(map(_is_turn, turns)):
            raise CorpusError(
                f"{place}: {column!r} must be a list of messages with role and content; "
                "give a dataset that `rewright build` wrote"
            )
    return [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]], row["completion"][-1][
        "content"
    ]


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def _said(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in Counter(left_out.values()).items()) or "the file is empty"
