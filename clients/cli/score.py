"""`rewright score`: JSONL groups in, JSONL rewards out, in order, and able to go on where it stopped."""

import argparse
import asyncio
import contextlib
import io
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rewright.clients.cli.jsonl import RewardLines, groups_of, scored_ids
from rewright.clients.cli.options import (
    DEFAULT_URL,
    add_api_key_file,
    add_rule,
    api_key_of,
    positive,
    positive_count,
    rule_of,
)
from rewright.clients.cli.progress import ProgressBar
from rewright.clients.cli.table import Row, print_table
from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.reward_statistics import AnyRewardGroup, outcomes, statistics_of
from rewright.clients.transport.batches import cut
from rewright.clients.transport.scoring_call import retryable_codes
from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group

CANDIDATES_A_REQUEST = 32
CHARACTERS_A_REQUEST = 2_000_000
DESCRIPTION = """\
Score groups of candidate rewrites. Every line of FILE is one group:

  {"id": "g1", "problem": "...", "reference": "...", "answer": "42", "candidates": ["...", "..."]}

and every line of the output its reward group, in the same order (id, and one result per candidate). A summary goes to
standard error.

With --out, groups whose id the file already holds are left out, so the same command goes on where it stopped. A group
with failures that may pass (a judge that is away, say) is not written; running the command again tries it again.
Failures that will not pass (a gold answer that cannot be read) are written, with total null. The lines do not hold the
rule: after a change of rule, write to a new file.

exit status: 0 everything scored; 1 something could not be scored; 2 a mistake in the input or the options
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rewright score` and its options."""
    parser = commands.add_parser(
        "score",
        help="score a JSONL file of groups",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="JSONL of groups, or - for standard input")
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
    add_rule(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Score what is not scored yet, and print the summary even after an interrupt; the exit status of `DESCRIPTION`.

    Raises `InvalidRequest` for a mistake in the input, before anything is sent, and errors of `rewright.service.errors`
    for a service that refuses or stays away.
    """
    with _reopenable(options.file) as source:
        # The whole input is checked before anything is sent: a mistake in the last line should not cost an hour.
        ids = [group.id for group in groups_of(source, options.file)]
        if not ids:
            raise InvalidRequest(f"{options.file} holds no groups")
        source.seek(0)
        done = scored_ids(options.out) & set(ids) if options.out is not None else set()
        if done:
            print(f"{len(done)} of {len(ids)} groups are in {options.out} already", file=sys.stderr)
        todo = (group for group in groups_of(source, options.file) if group.id not in done)
        scoring = _Scoring(options, ProgressBar(len(ids), unit="groups", done=len(done)))
        try:
            asyncio.run(scoring.all(todo))
        finally:
            scoring.report()
    return 1 if scoring.failed else 0


@contextlib.contextmanager
def _reopenable(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield io.BytesIO(sys.stdin.buffer.read())
        return
    with contextlib.ExitStack() as closing:
        try:
            opened = closing.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise InvalidRequest(f"cannot read {name}: {error.strerror}") from None
        yield opened


class _Scoring:
    def __init__(self, options: argparse.Namespace, bar: ProgressBar) -> None:
        self._options = options
        self._rule = rule_of(options)
        self._bar = bar
        self._groups: list[AnyRewardGroup] = []
        self._left_out: Counter[str] = Counter()
        self._started = time.monotonic()
        self.failed = False

    async def all(self, todo: Iterator[Group]) -> None:
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
        waiting: deque[asyncio.Task[list[AnyRewardGroup]]] = deque()
        with RewardLines(options.out) as out, self._bar:
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

    async def _score(self, client: AsyncRewardClient, batch: list[Group]) -> list[AnyRewardGroup]:
        return (await client.reward(batch, rule=self._rule)).groups

    def _take(self, groups: list[AnyRewardGroup], out: RewardLines) -> None:
        for group in groups:
            self.failed = self.failed or group.failed > 0
            passing = retryable_codes(group)
            if passing:
                self._left_out.update(set(passing))
            else:
                out.write(group)
                self._groups.append(group)
        self._bar.advance(len(groups))

    def report(self) -> None:
        """The summary of what this run wrote, and what it left out."""
        if not self._groups and not self._left_out:
            return
        numbers = statistics_of(self._groups)
        rows: list[Row] = [
            ("groups written", len(self._groups)),
            ("groups left out", dict(self._left_out)),
            ("candidates", dict(outcomes(self._groups).most_common())),
            ("yield (r_task = 1)", numbers.get("yield")),
            ("v_ans", numbers.get("v_ans")),
            ("mean total", numbers.get("total")),
            ("mean nll, nats/token", numbers.get("nll")),
            ("mean diversity D", numbers.get("diversity")),
            ("in-group std of r_dist", numbers.get("in_group_std/r_dist")),
            ("in-group std of r_div", numbers.get("in_group_std/r_div")),
            ("seconds", time.monotonic() - self._started),
        ]
        print_table(rows, sys.stderr)
        if self._left_out:
            print("run the same command with --out again to score what was left out", file=sys.stderr)
