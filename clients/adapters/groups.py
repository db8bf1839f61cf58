"""Flat rollouts ↔ whole groups, keyed explicitly.

Trainers hand over one candidate per row; the reward needs the K candidates of a problem together, because r_dist and
r_div are relative to the group (eq. 7 and 10). Rows belong together by a key that the caller gives for each row, and
nothing is guessed from their order; where a key comes n · K times, its rows make n groups in order of appearance.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rewright.clients.transport.batches import text_trouble
from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group

T = TypeVar("T")


class PartialGroup(InvalidRequest):
    """Rows of a group are missing here; the message says which setting to change."""


@dataclass(frozen=True)
class Rollout:
    """One row. key: equal for the members of a group and for nobody else."""

    key: Hashable
    problem: str
    reference: str | None
    candidate: str
    answer: str | None = None


@dataclass(frozen=True)
class Grouping:
    """Whole groups, and where each of their members stood. members: (groups, K) row numbers."""

    groups: list[Group]
    members: list[list[int]]

    def flat(self, per_group: Sequence[Sequence[T]]) -> list[T]:
        """One value per row, in the rows' order, from one sequence of K values per group."""
        placed: dict[int, T] = {}
        for rows, values in zip(self.members, per_group, strict=True):
            placed.update(zip(rows, values, strict=True))
        return [placed[row] for row in range(len(placed))]


def whole_groups(rollouts: Sequence[Rollout], *, num_generations: int, fix: str) -> Grouping:
    """The rows as groups of `num_generations` members each, in order of first appearance.

    Raises `PartialGroup`, whose message ends with `fix` (the trainer's setting to change), where a key's rows are no
    multiple of `num_generations`; `InvalidRequest` where rows of one key differ in problem, reference or answer, and
    for a row that holds something else than text.
    """
    if num_generations < 1:
        raise InvalidRequest(f"num_generations must be at least 1, not {num_generations}")
    rows_of: dict[Hashable, list[int]] = {}
    for row, rollout in enumerate(rollouts):
        _check_texts(row, rollout)
        rows_of.setdefault(rollout.key, []).append(row)
    members: list[list[int]] = []
    for rows in rows_of.values():
        if len(rows) % num_generations:
            raise PartialGroup(
                f"the group of row {rows[0]} has {len(rows)} rollouts here, which is no multiple of "
                f"num_generations = {num_generations}; {fix}"
            )
        first = _shared(rollouts[rows[0]])
        odd = next((row for row in rows if _shared(rollouts[row]) != first), None)
        if odd is not None:
            raise InvalidRequest(
                f"rows {rows[0]} and {odd} share a key but differ in problem, reference or answer; "
                "give every problem a key of its own"
            )
        members += [rows[start : start + num_generations] for start in range(0, len(rows), num_generations)]
    members.sort(key=lambda rows: rows[0])
    return Grouping(
        [_group(str(index), [rollouts[row] for row in rows]) for index, rows in enumerate(members)], members
    )


def _check_texts(row: int, rollout: Rollout) -> None:
    for name in ("problem", "reference", "candidate", "answer"):
        value = getattr(rollout, name)
        if not (name in ("answer", "reference") and value is None) and (trouble := text_trouble(value)) is not None:
            raise InvalidRequest(f"row {row}, {name}: {trouble}")


def _shared(rollout: Rollout) -> tuple[str, str | None, str | None]:
    return rollout.problem, rollout.reference, rollout.answer


def _group(name: str, rollouts: list[Rollout]) -> Group:
    first = rollouts[0]
    return Group(
        id=name,
        problem=first.problem,
        reference=first.reference,
        answer=first.answer,
        candidates=[rollout.candidate for rollout in rollouts],
    )
