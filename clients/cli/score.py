"""`rewright score`: JSONL groups in, JSONL rewards out, in order, and able to go on where it stopped."""

import argparse
import asyncio
import contextlib
import io
import os
import stat
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rewright.clients.cli.group_rows import GroupRows
from rewright.clients.cli.interrupt import run_interruptible
from rewright.clients.cli.jsonl import DoneLine, RewardFile, digest_of, numbered_groups
from rewright.clients.cli.options import (
    DEFAULT_URL,
    add_api_key_file,
    add_columns,
    add_rule,
    api_key_of,
    columns_of,
    positive,
    positive_count,
    rule_of,
)
from rewright.clients.cli.progress import ProgressBar
from rewright.clients.cli.table import Row, print_table
from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.reward_statistics import AnyRewardGroup, outcomes, statistics_of
from rewright.clients.rows.reading import HUB
from rewright.clients.rows.source_files import KINDS, PACKED
from rewright.clients.transport.batches import cut
from rewright.clients.transport.errors import SERVICES_OWN
from rewright.clients.transport.scoring_call import retryable_codes
from rewright.service.errors import InvalidRequest, RequestError, TooLarge
from rewright.service.schema import Group, Rule

CANDIDATES_A_REQUEST = 32
CHARACTERS_A_REQUEST = 2_000_000
NAMED = 20
"""Groups named one by one in messages; of more, only the number is told."""
JUDGE_REJECTED = "judge_rejected"
DESCRIPTION = """\
Score groups of candidate rewrites. Every line of FILE is one group:

  {"id": "g1", "problem": "...", "reference": "...", "answer": "42", "candidates": ["...", "..."]}

and every line of the output its reward group, in the same order (id, one result per candidate, and a digest of the
group's content and the rule). A summary goes to standard error.

Data of other layouts needs no conversion: JSON arrays, CSV, Parquet, Arrow, packed files, folders, globs and
hub:owner/name are read, with the columns that --layout or the options after it name.

With --out, groups whose id the file already holds are left out, so the same command goes on where it stopped. Where
such a group, or the rule, has changed since, nothing is sent: the message names the groups, and a new file helps. One
run at a time may write to a file.

A group with failures that may pass (a judge that is away, say) is not written, nor is one that the service refuses (too
large, say), which is named; running the command again tries them again. Failures that will not pass (a gold answer that
cannot be read) are written, with total null.

exit status: 0 everything scored; 1 something could not be scored; 2 a mistake in the input or the options
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rewright score` and its options."""
    parser = commands.add_parser(
        "score",
        help="score groups of candidates in a file",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="JSONL of groups, - for standard input, or data of another layout: see docs/data.md",
    )
    parser.add_argument(
        "--url", action="append", metavar="URL", help=f"the service; repeat for replicas (default {DEFAULT_URL})"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="append rewards here (default standard output)")
    parser.add_argument(
        "--patience-s",
        type=positive,
        default=600.0,
        metavar="S",
        help="give up when nothing was scored for so long (default 600)",
    )
    parser.add_argument(
        "--concurrency", type=positive_count, default=8, metavar="N", help="requests at once (default 8)"
    )
    add_api_key_file(parser)
    add_columns(parser)
    add_rule(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Score what is not scored yet, and print the summary even after an interrupt; the exit status of `DESCRIPTION`.

    Raises `InvalidRequest` for a mistake in the input, before anything is sent, and errors of `rewright.service.errors`
    for a service that refuses or stays away.
    """
    rule = rule_of(options)
    with _read_twice(options, needs_reference=rule.reasoning != "off") as groups:
        # The whole input is checked before anything is sent: a mistake in the last line should not cost an hour.
        inputs = {group.id or "": _Input(line, digest_of(group, rule)) for line, group in groups()}
        left_out = groups.rows.left_out if groups.rows is not None else Counter()
        if left_out:
            print(f"rows of no use: {', '.join(f'{n} {r}' for r, n in left_out.most_common())}", file=sys.stderr)
        if not inputs:
            raise InvalidRequest(f"{options.file} holds no groups")
        with RewardFile(options.out) as out:
            done = {name: line for name, line in out.done().items() if name in inputs}
            _check_done(done, inputs, options)
            todo = (group for _, group in groups() if group.id not in done)
            bar = ProgressBar(len(inputs), unit="groups", done=len(done))
            scoring = _Scoring(options, rule, inputs, bar)
            try:
                run_interruptible(scoring.all(todo, out))
            finally:
                scoring.report()
    return 1 if scoring.failed or left_out else 0


class _Input(NamedTuple):
    """One group of the input. line: its number, from 1."""

    line: int
    digest: str


def _check_done(done: Mapping[str, DoneLine], inputs: Mapping[str, _Input], options: argparse.Namespace) -> None:
    """Say what is there already. Raises `InvalidRequest` where it is not what would be scored now."""
    other = [name for name, line in done.items() if line.digest not in (None, inputs[name].digest)]
    if other:
        raise InvalidRequest(
            f"{options.out} holds rewards of other texts, or by another rule, under ids of {options.file}: "
            f"{_listed([f'{name!r} (line {done[name].line} there, {inputs[name].line} here)' for name in other])}. "
            "Write to a new file, or give groups that have changed new ids"
        )
    if done:
        print(f"{len(done)} of {len(inputs)} groups are in {options.out} already", file=sys.stderr)
    if old := sum(line.digest is None for line in done.values()):
        print(
            f"{old} of them were written by an older version, which kept no digest: they are taken as done by their id",
            file=sys.stderr,
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


class _Groups:
    """The input's groups with the numbers of their lines, from the beginning at each call."""

    def __init__(self, options: argparse.Namespace, source: BinaryIO | None, *, needs_reference: bool) -> None:
        self._name = options.file
        self._source = source
        self._needs_reference = needs_reference
        self.rows = GroupRows(options.file, columns_of(options), needs_reference) if source is None else None

    def __call__(self) -> Iterator[tuple[int, Group]]:
        if self.rows is not None:
            return iter(self.rows)
        assert self._source is not None  # noqa: S101
        self._source.seek(0)
        return numbered_groups(self._source, self._name, needs_reference=self._needs_reference)


@contextlib.contextmanager
def _read_twice(options: argparse.Namespace, *, needs_reference: bool) -> Iterator[_Groups]:
    """Lines of the documented form are checked strictly; whatever else is named goes through the reader of all data."""
    if options.file != "-" and (columns_of(options).are_given or not _are_lines(options.file)):
        yield _Groups(options, None, needs_reference=needs_reference)
        return
    with _rewindable(options.file) as source:
        yield _Groups(options, source, needs_reference=needs_reference)


def _are_lines(name: str) -> bool:
    """Whether the name may be one of JSON lines: whatever is no folder, glob or hub data set, nor of another kind."""
    other = name.startswith(HUB) or Path(name).is_dir() or (not Path(name).exists() and any(c in name for c in "*?["))
    suffix = Path(name).suffix.lower()
    return not other and suffix not in PACKED and KINDS.get(suffix, "jsonl") == "jsonl"


@contextlib.contextmanager
def _rewindable(name: str) -> Iterator[BinaryIO]:
    """The input, to be read twice; what is no file of its own (a pipe, a terminal) is read into memory."""
    if name == "-":
        yield io.BytesIO(sys.stdin.buffer.read())
        return
    with contextlib.ExitStack() as closing:
        try:
            source: BinaryIO = closing.enter_context(Path(name).open("rb"))
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                source = io.BytesIO(source.read())
        except OSError as error:
            raise InvalidRequest(f"cannot read {name}: {error.strerror}") from None
        yield source


@dataclass(frozen=True)
class _Refused:
    """A group that the service does not take."""

    name: str
    reason: str


class _Scoring:
    def __init__(self, options: argparse.Namespace, rule: Rule, inputs: Mapping[str, _Input], bar: ProgressBar) -> None:
        self._options = options
        self._rule = rule
        self._inputs = inputs
        self._bar = bar
        self._groups: list[AnyRewardGroup] = []
        self._left_out: Counter[str] = Counter()
        self._refused: list[_Refused] = []
        self._judged = False
        self._started = time.monotonic()
        self.failed = False

    async def all(self, todo: Iterator[Group], out: RewardFile) -> None:
        """Score all, and write each group in order as soon as it and those before it are scored."""
        options = self._options
        client = AsyncRewardClient(
            options.url or [DEFAULT_URL],
            api_key=api_key_of(options),
            deadline_s=None,
            patience_s=options.patience_s,
            concurrency=options.concurrency,
            batch_candidates=CANDIDATES_A_REQUEST,
            batch_characters=CHARACTERS_A_REQUEST,
        )
        waiting: deque[asyncio.Task[list[AnyRewardGroup | _Refused]]] = deque()
        with self._bar:
            async with client:
                try:
                    for batch in cut(todo, candidates=CANDIDATES_A_REQUEST, characters=CHARACTERS_A_REQUEST):
                        waiting.append(asyncio.create_task(self._score(client, batch)))
                        # The oldest is waited for, so that lines come in order while later batches are under way.
                        if len(waiting) > 2 * options.concurrency:
                            self._take(await waiting.popleft(), out)
                    while waiting:
                        self._take(await waiting.popleft(), out)
                finally:
                    for task in waiting:
                        task.cancel()
                    await asyncio.gather(*waiting, return_exceptions=True)

    async def _score(self, client: AsyncRewardClient, batch: list[Group]) -> list[AnyRewardGroup | _Refused]:
        """One result per group; a batch that is refused for a group of its is cut until that one is alone."""
        try:
            return list((await client.reward(batch, rule=self._rule)).groups)
        except (TooLarge, InvalidRequest) as refused:
            if not _is_of_a_group(refused):
                raise
            if len(batch) == 1:
                return [_Refused(batch[0].id or "", refused.message)]
        middle = len(batch) // 2
        return [*await self._score(client, batch[:middle]), *await self._score(client, batch[middle:])]

    def _take(self, results: list[AnyRewardGroup | _Refused], out: RewardFile) -> None:
        groups = [result for result in results if not isinstance(result, _Refused)]
        self._judged = self._judged or any(c.v_rea is not None for group in groups for c in group.candidates)
        self._refused += [result for result in results if isinstance(result, _Refused)]
        self.failed = self.failed or bool(self._refused) or any(group.failed for group in groups)
        for group in groups:
            if unfinished := self._unfinished(group):
                self._left_out.update(unfinished)
            else:
                out.write(group, self._inputs[group.id].digest)
                self._groups.append(group)
        self._bar.advance(len(results))

    def _unfinished(self, group: AnyRewardGroup) -> set[str]:
        """Codes for which the group is not written: they may pass, or tell of the service rather than of a text."""
        final = {c.error.code for c in group.candidates if c.status == "failed" and not c.error.retryable}
        # Of a judge that has judged nothing yet, a refusal may be one of our key or of the route.
        own = final & (SERVICES_OWN if self._judged else SERVICES_OWN | {JUDGE_REJECTED})
        return own | set(retryable_codes(group))

    def report(self) -> None:
        """The summary of what this run wrote, and what it left out."""
        if not self._groups and not self._left_out and not self._refused:
            return
        numbers = statistics_of(self._groups)
        rows: list[Row] = [
            ("groups written", len(self._groups)),
            ("groups left out", dict(self._left_out)),
            ("groups refused", len(self._refused)),
            ("candidates", dict(outcomes(self._groups).most_common())),
            ("yield (r_task = 1)", numbers.get("yield")),
            ("v_ans", numbers.get("v_ans")),
            ("mean total", numbers.get("total")),
            ("mean nll, nats/token", numbers.get("nll")),
            ("mean diversity D", numbers.get("diversity")),
            ("in-group std of r_dist", numbers.get("in_group_std/r_dist")),
            ("in-group std of r_div", numbers.get("in_group_std/r_div")),
            *((name, value) for name, value in numbers.items() if name.startswith("scores/")),
            ("seconds", time.monotonic() - self._started),
        ]
        print_table(rows, sys.stderr)
        for refused in self._refused[:NAMED]:
            place = f"{self._options.file}, line {self._inputs[refused.name].line} ({refused.name!r})"
            print(f"{place} is refused: {refused.reason}", file=sys.stderr)
        if len(self._refused) > NAMED:
            print(f"so are {len(self._refused) - NAMED} more groups", file=sys.stderr)
        if JUDGE_REJECTED in self._left_out:
            print(
                f"the judge answered nobody; see to its key and address (`{JUDGE_REJECTED}` is in the service's log)",
                file=sys.stderr,
            )
        if self._left_out or self._refused:
            print("run the same command with --out again to score what was left out", file=sys.stderr)


def _is_of_a_group(refused: RequestError) -> bool:
    """Whether fewer or smaller groups could help, rather than another rule."""
    if isinstance(refused, TooLarge):
        return True
    places = refused.detail if isinstance(refused.detail, list) else []
    return any(isinstance(p, dict) and str(p.get("place", "")).startswith("groups.") for p in places)
