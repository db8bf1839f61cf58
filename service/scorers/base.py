"""What every scorer promises, local or remote, and the check that it kept it.

A scorer gets whole groups and answers one result object per group, same length and same order, with one item a
candidate, same length and same order. An item that could not be scored is `Failed`; an exception out of `score`
means trouble of the whole service (`rewright.service.errors`), and is never one candidate's fault. Scorers know nothing
of the gate: the caller passes only the candidates it wants scored (`select_candidates`).

How a scorer is made known is said by its `ScorerSpec` (`rewright.service.scorers.spec`); CONTRIBUTING.md has an
example.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import ValidationError

from rewright.service.core.batcher import QueueState
from rewright.service.errors import InternalError, RewrightError, ScorerOff
from rewright.service.schema import NOT_FINITE, Failed, Group, GroupScores

GroupResult_co = TypeVar("GroupResult_co", bound=GroupScores[Any], covariant=True)
_Result = TypeVar("_Result", bound=GroupScores[Any])
_OUT_OF_RANGE = Failed.because(NOT_FINITE, "the scorer gave a number out of its range, or none", retryable=False)


class Scorer(Protocol[GroupResult_co]):
    """One kind of score for whole groups. Every group that reaches `score` has an id."""

    name: str

    async def open(self) -> None:
        """Load what is needed. Raises `SettingsError` naming the setting when that is impossible."""

    async def close(self) -> None:
        """Give everything back; waits for work in flight, refuses new work. May be called twice."""

    async def score(self, groups: Sequence[Group]) -> Sequence[GroupResult_co]:
        """One result per group in order. Raises `Overloaded` or `ScorerUnavailable` for trouble of the whole scorer.

        Where the spec names `options`, they are keywords of this method.
        """

    def describe(self) -> dict[str, Any]:
        """Model, revision and settings that a score depends on; secret-free, for `served_by` and `/v1/info`.

        Replicas that say something else are not mixed, so what belongs to one process or moment (an id, a time) has no
        place here; `device` and `way` may differ.
        """

    def last_worked(self) -> float | None:
        """`time.monotonic()` of the last finished piece of work (a batch, not a request); None before the first."""


class StageCost(NamedTuple):
    """What one stage of a scorer has done so far: items that ended there, and the seconds spent in it."""

    items: int
    seconds: float


@runtime_checkable
class Staged(Protocol):
    """A scorer that works in stages of very different cost and says what each took. Read when metrics are scraped."""

    name: str

    def stage_costs(self) -> Mapping[str, StageCost]:
        """Totals since the start, by stage."""


@runtime_checkable
class Queued(Protocol):
    """A scorer with a queue of its own. Read when metrics are scraped."""

    name: str

    def queue_state(self) -> QueueState:
        """What waits now, and what was done since the start."""


class CacheState(NamedTuple):
    """Texts looked up since the start: found here, in the shared store, or nowhere; and failed calls of that store."""

    here: int
    shared: int
    nowhere: int
    errors: int


@runtime_checkable
class Caching(Protocol):
    """A scorer that remembers scores of the one inside it."""

    name: str

    @property
    def inner(self) -> Scorer[Any]:
        """Who computes what is not remembered."""

    def cache_state(self) -> CacheState:
        """Totals since the start."""


class ReplicaState(NamedTuple):
    """Replicas that are in use, those that are away, and groups sent again since the start. different: well, but left
    out, since their scores depend on something else than those of the replicas in use."""

    well: int
    away: int
    retries: int
    different: int = 0


@runtime_checkable
class Replicated(Protocol):
    """A scorer spread over several pods."""

    name: str

    def replica_state(self) -> ReplicaState:
        """As it is now."""


@runtime_checkable
class Elsewhere(Protocol):
    """A scorer whose work other processes do. Their trouble does not take this process away, but is told."""

    name: str

    def troubles(self) -> list[str]:
        """What ails them now, in words to act on; no secrets."""


class Scorers:
    """The scorers of one process, by name and in gate order; those that a setting turned off are not among them.

    local: names of those that work in this process, whose health is this process's health. A judge asked over HTTP or
    a scorer in another pod is not among them: its death must not take the gateway away. checked: names of those whose
    numbers were checked when their items were made, as built-in scorers' are, or when their pods' answers were read.
    """

    def __init__(
        self,
        *,
        local: frozenset[str] = frozenset(),
        checked: frozenset[str] = frozenset(),
        **by_name: Scorer[Any] | None,
    ) -> None:
        self._by_name = {name: scorer for name, scorer in by_name.items() if scorer is not None}
        self.local = local
        self.checked = checked | {name for name, s in self._by_name.items() if getattr(s, "checks_answers", False)}

    def get(self, name: str) -> Scorer[Any] | None:
        """The scorer of that name; None where it is off."""
        return self._by_name.get(name)

    def __getitem__(self, name: str) -> Scorer[Any]:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Scorer[Any]]:
        return iter(self._by_name.values())


def warnings(scorers: Scorers) -> list[str]:
    """What an operator must know of the scorers in use, in plain words."""
    return [
        f"the {scorer.name} is the embedded stand-in, which is too small to judge reasoning: v_rea is noise. Set "
        "REWRIGHT_SCORERS__JUDGE__MODEL, or BACKEND=openai with BASE_URLS, to a model that can."
        for scorer in scorers
        if scorer.describe().get("stand_in")
    ]


def layers(scorers: Scorers) -> Iterator[Scorer[Any]]:
    """Every scorer, and the one inside where a cache stands before it."""
    for scorer in scorers:
        yield scorer
        if isinstance(scorer, Caching):
            yield scorer.inner


def troubles_elsewhere(scorers: Scorers) -> dict[str, list[str]]:
    """By scorer, what ails the processes that work for it; those without trouble are left out."""
    told = ((s.name, s.troubles()) for s in layers(scorers) if isinstance(s, Elsewhere))
    return {name: found for name, found in told if found}


def failed(trouble: RewrightError) -> Failed:
    """What befell a whole scorer, or one item in its queue, as an item's failure."""
    # It may be over at the next try; only a scorer that is off stays off.
    return Failed.because(trouble.code, trouble.message, retryable=not isinstance(trouble, ScorerOff))


def select_candidates(group: Group, members: Sequence[int]) -> Group:
    """The same group with just those candidates, in the order given."""
    if group.feasible is None and len(members) == len(group.candidates) and list(members) == sorted(set(members)):
        return group
    return group.model_copy(update={"candidates": [group.candidates[i] for i in members], "feasible": None})


def check_contract(
    name: str, groups: Sequence[Group], results: Sequence[_Result], *, checked: bool = False
) -> list[_Result]:
    """The results, every number finite and in its range: an item that says anything else is `Failed`, `not_finite`.

    checked: its numbers were checked before (`Scorers.checked`). Raises `InternalError` unless there is one result per
    group and one item per candidate, in order.
    """
    if len(results) != len(groups):
        raise InternalError(f"scorer {name} answered {len(results)} groups for {len(groups)}")
    for group, result in zip(groups, results, strict=True):
        if result.id != group.id or len(result.candidates) != len(group.candidates):
            raise InternalError(
                f"scorer {name} broke its contract: {len(result.candidates)} results for "
                f"{len(group.candidates)} candidates, or groups out of order"
            )
    return list(results) if checked else [_in_range(result) for result in results]


def _in_range(result: _Result) -> _Result:
    """Read the result as if it came from elsewhere, since a scorer may make its items without their being checked."""
    kind = type(result)
    try:
        items = [_read(item) for item in result.candidates]
    except (ValidationError, TypeError, AttributeError):
        items = [_read_or_failed(item) for item in result.candidates]
    # Items that every group takes, as many as there are: what else a result holds may have to be as many.
    stand_ins = [_OUT_OF_RANGE] * len(items)
    try:
        beside = kind.model_validate(vars(result) | {"candidates": stand_ins})
    except ValidationError:
        # What else a group's result holds is told of scored candidates, and there are none.
        beside = kind.model_validate(dict.fromkeys(kind.model_fields) | {"id": result.id, "candidates": stand_ins})
        items = stand_ins
    return beside.model_copy(update={"candidates": items})


def _read(item: Any) -> Any:
    return type(item).model_validate(vars(item))


def _read_or_failed(item: Any) -> Any:
    try:
        return _read(item)
    except (ValidationError, TypeError, AttributeError):
        return _OUT_OF_RANGE
