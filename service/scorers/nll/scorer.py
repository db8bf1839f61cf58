"""ℓ_dist of eq. 6: the mean negative log-likelihood of a candidate under the frozen backbone π0, in nats per token; and
the same over its least likely tokens.

Promises: conditioned on x alone; the prefix once a group; equal candidates scored once and counted each; a candidate
that cannot be scored is `Failed` and costs its neighbours nothing; the event loop never tokenises or computes.

Codes of failed candidates: `blank`, `too_long` and `not_finite` (not retryable), `out_of_memory` and `internal`
(retryable).

Not covered: what a missing nll means for `total` (`rewright.service.reward.rule`), and the format (`rendering`) and
speed (`rewright.service.models.forward.choose`, `rewright.service.models.forward.packed`) of it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import torch
from pydantic import ValidationError

from rewright.service.core.batcher import Batcher, QueueState
from rewright.service.errors import InvalidRequest, OutOfTime, Overloaded, ScorerUnavailable
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.forward.choose import TargetScorer, fastest_scorer
from rewright.service.models.forward.packing import Tree
from rewright.service.models.memory_split import OutOfMemory
from rewright.service.models.rendering import Rendering
from rewright.service.schema import Failed, Group, NllGroup, NllScored, TokenLogprob
from rewright.service.scorers.base import failed

_log = logging.getLogger(__name__)

_BLANK = Failed.because("blank", "the candidate holds nothing but white space", retryable=False)
_NO_MEMORY = Failed.because("out_of_memory", "the candidate does not fit into the device's memory", retryable=True)
_NOT_FINITE = Failed.because(
    "not_finite", "the backbone's log-likelihood is not finite or out of range", retryable=False
)

TAIL = 5
"""One token in so many, the least likely ones, counts for `nll_tail` (rounded up)."""

_Ids = tuple[int, ...]
_Outcome = torch.Tensor | OutOfMemory | Exception
"""Log-probabilities of one candidate's ids, float32, shape [n]; or why there are none."""


class _Job(NamedTuple):
    """Candidates of one prefix that are scored together."""

    prefix: _Ids
    targets: tuple[_Ids, ...]

    @property
    def tree(self) -> Tree:
        return Tree(self.prefix, self.targets)

    @property
    def cost(self) -> int:
        """Tokens that are computed."""
        return self.tree.rows


class Loaded(Protocol):
    """What is asked of a loaded π0 here; how it computes is the business of its `TargetScorer`."""

    tokenizer: Any
    eos_ids: frozenset[int]
    name: str
    revision: str
    device: Any
    dtype: Any
    context_window: int
    embedded: bool


class ScorerOf(Protocol):
    def __call__(self, loaded: Any, /, *, batch_tokens: int) -> TargetScorer: ...


class _Open(NamedTuple):
    """What exists between `open` and `close`."""

    backbone: Loaded
    format: ChatFormat
    scorer: TargetScorer
    limit: int


class _Prepared(NamedTuple):
    """One group, tokenised: for each candidate its ids, or why it is not scored."""

    prefix: _Ids
    candidates: list[_Ids | Failed]
    spells_control: list[bool]


class BackboneNll:
    """`contract.NllScorer` over π0 in this process, or in an engine that belongs to it.

    load: gives π0 (a `Loaded`); called in `open`, off the event loop. score_end_of_turn: count the end of turn among
    the scored tokens. rendering: pinned inputs of the chat template. max_tokens: longest prefix and
    candidate together; None is the model's window. batch_tokens: tokens of one batch. queue_tokens: tokens that may
    wait. scorer: makes what computes log-probabilities out of what `load` gave, and `batch_tokens`. turn: held while
    the device works, so that scorers sharing a device take turns.
    """

    name = "nll"

    def __init__(
        self,
        *,
        load: Callable[[], Any],
        score_end_of_turn: bool,
        rendering: Rendering,
        max_tokens: int | None,
        batch_tokens: int,
        queue_tokens: int,
        scorer: ScorerOf = fastest_scorer,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self._load = load
        self._score_end_of_turn = score_end_of_turn
        self._rendering = rendering
        self._max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._queue_tokens = queue_tokens
        self._scorer = scorer
        self._turn = turn
        self._open: _Open | None = None
        self._batcher: Batcher[_Job, list[_Outcome]] | None = None

    async def open(self) -> None:
        self._open = await asyncio.to_thread(self._build)
        self._batcher = Batcher(
            self.name,
            self._run,
            lambda job: job.cost,
            budget=self._batch_tokens,
            capacity=self._queue_tokens,
            turn=self._turn,
            # Failures of single candidates are data here; a batch of nothing else is no sign of a living device.
            worked=lambda outcomes: any(isinstance(outcome, torch.Tensor) for outcome in outcomes),
        )
        self._batcher.start()

    async def close(self) -> None:
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            await batcher.close()
        opened, self._open = self._open, None
        if opened is not None:
            await asyncio.to_thread(opened.scorer.close)

    def describe(self) -> dict[str, Any]:
        if self._open is None:
            return {}
        backbone, format_, scorer, limit = self._open
        return {
            "model": backbone.name,
            "revision": backbone.revision,
            "embedded": backbone.embedded,
            "device": str(backbone.device),
            "precision": str(backbone.dtype).removeprefix("torch."),
            "max_tokens": limit,
            "score_end_of_turn": self._score_end_of_turn,
            "template": format_.describe(),
            "way": scorer.way,
        }

    def last_worked(self) -> float | None:
        return self._batcher.last_worked() if self._batcher is not None else None

    def queue_state(self) -> QueueState:
        return self._batcher.state() if self._batcher is not None else QueueState(0, 0, 0.0)

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> Sequence[NllGroup]:
        """One result per group in order. Raises `Overloaded`, `ScorerUnavailable`, and `InvalidRequest` for a group
        without a problem."""
        opened, batcher = self._open, self._batcher
        if opened is None or batcher is None:
            raise ScorerUnavailable("nll is not running")
        prepared = await asyncio.to_thread(self._prepare, opened, groups)
        jobs = [job for group in prepared for job in _jobs(group, self._batch_tokens)]
        outcomes = await batcher.submit(jobs) if jobs else []
        return await asyncio.to_thread(_results, groups, prepared, jobs, outcomes, opened.format if tokens else None)

    # --- off the event loop -------------------------------------------------------------------------------------------

    def _build(self) -> _Open:
        backbone = self._load()
        format_ = ChatFormat.of(backbone.tokenizer, self._rendering, eos_ids=backbone.eos_ids)
        _log.info("nll: %s", format_.picture())
        window = backbone.context_window
        limit = window if self._max_tokens is None else min(window, self._max_tokens)
        return _Open(backbone, format_, self._scorer(backbone, batch_tokens=self._batch_tokens), limit)

    def _prepare(self, opened: _Open, groups: Sequence[Group]) -> list[_Prepared]:
        return [self._tokenise(opened, group) for group in groups]

    def _tokenise(self, opened: _Open, group: Group) -> _Prepared:
        if group.problem is None:
            raise InvalidRequest(f"group {group.id!r} has no problem, which nll needs")
        end = opened.format.end_of_turn if self._score_end_of_turn else []
        prefix = tuple(opened.format.encode_prefix(group.problem))
        candidates: list[_Ids | Failed] = []
        for text in group.candidates:
            ids = opened.format.encode_candidate(text)
            total = len(prefix) + len(ids) + len(end)
            if not ids:
                candidates.append(_BLANK)
            elif total > opened.limit:
                message = f"problem and candidate are {total} tokens; at most {opened.limit} fit"
                candidates.append(Failed.because("too_long", message, retryable=False))
            else:
                candidates.append((*ids, *end))
        return _Prepared(prefix, candidates, [opened.format.spells_control_token(c) for c in group.candidates])

    def _run(self, jobs: Sequence[_Job]) -> list[list[_Outcome]]:
        opened = self._open
        if opened is None:
            raise ScorerUnavailable("nll is closed")
        return _score_jobs(opened.scorer, jobs)


def _jobs(group: _Prepared, batch_tokens: int) -> list[_Job]:
    """The group's distinct candidates, together as far as they fit into one batch."""
    jobs: list[_Job] = []
    targets: list[_Ids] = []
    for ids in dict.fromkeys(c for c in group.candidates if not isinstance(c, Failed)):
        if targets and _Job(group.prefix, (*targets, ids)).cost > batch_tokens:
            jobs.append(_Job(group.prefix, tuple(targets)))
            targets = []
        targets.append(ids)
    return [*jobs, _Job(group.prefix, tuple(targets))] if targets else jobs


def _score_jobs(scorer: TargetScorer, jobs: Sequence[_Job]) -> list[list[_Outcome]]:
    """All together; where that raises, each job by itself, then each candidate."""
    try:
        return [list(each) for each in scorer.score([job.tree for job in jobs])]
    except Exception as error:
        if len(jobs) == 1 and len(jobs[0].targets) == 1:
            # The type alone: an exception's message may quote the text.
            _log.error("nll of a candidate failed: %s", type(error).__name__)
            return [[error]]
    if len(jobs) > 1:
        return [outcomes for job in jobs for outcomes in _score_jobs(scorer, [job])]
    prefix, targets = jobs[0]
    return [[outcome for ids in targets for (outcome,) in _score_jobs(scorer, [_Job(prefix, (ids,))])]]


def _results(
    groups: Sequence[Group],
    prepared: Sequence[_Prepared],
    jobs: Sequence[_Job],
    outcomes: Sequence[list[_Outcome] | Exception],
    format_: ChatFormat | None,
) -> list[NllGroup]:
    """format_: given where every token's text and log-probability is wanted."""
    found: dict[tuple[_Ids, _Ids], _Outcome] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, (Overloaded, ScorerUnavailable)):
            raise outcome
        each = [outcome] * len(job.targets) if isinstance(outcome, Exception) else outcome
        found.update(((job.prefix, ids), one) for ids, one in zip(job.targets, each, strict=True))
    return [
        NllGroup(
            id=group.id or "",
            candidates=[
                ids if isinstance(ids, Failed) else _item(ids, found[ready.prefix, ids], spells, format_)
                for ids, spells in zip(ready.candidates, ready.spells_control, strict=True)
            ],
        )
        for group, ready in zip(groups, prepared, strict=True)
    ]


def _item(ids: _Ids, outcome: _Outcome, spells_control: bool, format_: ChatFormat | None) -> NllScored | Failed:
    if isinstance(outcome, OutOfMemory):
        return _NO_MEMORY
    if isinstance(outcome, OutOfTime):
        return failed(outcome)
    if isinstance(outcome, Exception):
        return Failed.because("internal", f"scoring raised {type(outcome).__name__}", retryable=True)
    logprobs = outcome.double()
    nll = -float(logprobs.mean())
    tail = -float(logprobs.topk(-(-len(ids) // TAIL), largest=False).values.mean())
    tokens = None
    try:
        if format_ is not None:
            pairs = zip(ids, outcome.tolist(), strict=True)
            tokens = [TokenLogprob(text=format_.token_text(token), logprob=logprob) for token, logprob in pairs]
        # A single infinite log-probability makes the mean infinite, and two that cancel make it NaN.
        return NllScored(nll=nll, n_tokens=len(ids), nll_tail=tail, control_tokens=spells_control, tokens=tokens)
    except ValidationError:
        return _NOT_FINITE
