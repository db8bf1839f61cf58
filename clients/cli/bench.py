"""`rewright bench`: a load generator for one service, and a report.

Closed loop: each of `--concurrency` workers posts a request, reads the answer and posts the next. Nothing is retried,
so that the statuses are what the service said; a lost connection counts as one.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import ValidationError

from rewright.clients.cli.bench_groups import BENCH_GROUPS
from rewright.clients.cli.interrupt import run_interruptible
from rewright.clients.cli.jsonl import groups_of
from rewright.clients.cli.options import add_api_key_file, add_rule, api_key_of, positive, positive_count, rule_of
from rewright.clients.cli.progress import ProgressBar
from rewright.clients.cli.table import Row, print_table
from rewright.clients.http_client import CONNECT_S, RewardClient
from rewright.clients.reward_statistics import AnyRewardGroup, outcomes, statistics_of, suggested_lambda_div
from rewright.clients.transport.task_group import run_all
from rewright.service.errors import InternalError, InvalidRequest
from rewright.service.schema import Group, RewardAnswer, ScoreRequest

DESCRIPTION = """\
Post groups to /v1/reward of a service and report throughput, latency, statuses, and the in-group deviations of r_dist
and r_div with the lambda_div that would give both the same weight within a group.

exit status: 0 every request answered and every candidate scored; 1 not so; 2 a mistake in the input or the options
"""
REFUSED_PAUSE_S = 0.1
"""After a lost connection, so that a dead service is not asked thousands of times per second."""
KEPT_GROUPS = 10_000
"""Answers kept for the statistics; more would only cost memory."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rewright bench` and its options."""
    parser = commands.add_parser(
        "bench",
        help="measure a service under load",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the service, such as http://127.0.0.1:8000")
    parser.add_argument("--groups", metavar="FILE", help="JSONL of groups (default: three small ones of our own)")
    parser.add_argument(
        "--groups-a-request", type=positive_count, default=1, metavar="N", help="groups per request (default 1)"
    )
    parser.add_argument(
        "--concurrency", type=positive_count, default=4, metavar="N", help="requests at once (default 4)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--requests", type=positive_count, metavar="N", help="stop after so many requests")
    length.add_argument("--seconds", type=positive, metavar="S", help="stop after so long (default 10)")
    parser.add_argument(
        "--request-s", type=positive, default=120.0, metavar="S", help="longest wait for one answer (default 120)"
    )
    add_api_key_file(parser)
    add_rule(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, and print the report even after an interrupt; the exit status that `DESCRIPTION` names.

    Raises errors of `rewright.service.errors` for a service that is not there, and for groups that are none.
    """
    groups = _groups(options)
    api_key = api_key_of(options)
    # A dead address or a wrong key should be an error, not a measurement.
    with RewardClient(options.url, api_key=api_key, deadline_s=CONNECT_S) as client:
        client.info()
    seconds = options.seconds or (None if options.requests else 10.0)
    load = _Load(options, groups, api_key, seconds)
    try:
        run_interruptible(load.run())
    finally:
        load.report()
    return 0 if load.is_well() else 1


def _groups(options: argparse.Namespace) -> list[Group]:
    if options.groups is None:
        return list(BENCH_GROUPS)
    try:
        with Path(options.groups).open("rb") as lines:
            groups = list(groups_of(lines, options.groups))
    except OSError as error:
        raise InvalidRequest(f"cannot read {options.groups}: {error.strerror}") from None
    if not groups:
        raise InvalidRequest(f"{options.groups} holds no groups")
    return groups


@dataclass
class _Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    groups: int = 0
    candidates: int = 0
    failed: int = 0
    kept: list[AnyRewardGroup] = field(default_factory=list)


class _Load:
    def __init__(
        self, options: argparse.Namespace, groups: list[Group], api_key: str | None, seconds: float | None
    ) -> None:
        self._options = options
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._bodies = self._cycle(groups)
        self._tickets = itertools.repeat(None) if options.requests is None else itertools.repeat(None, options.requests)
        self._seconds = seconds
        self._tally = _Tally()
        self._began = time.monotonic()
        self._took = 0.0

    async def run(self) -> None:
        """Post until the requests or the seconds are used up."""
        options = self._options
        timeout = httpx.Timeout(options.request_s, connect=CONNECT_S)
        limits = httpx.Limits(max_connections=options.concurrency)
        async with httpx.AsyncClient(base_url=options.url, timeout=timeout, limits=limits) as pool:
            with ProgressBar(options.requests, unit="requests") as bar:
                self._began = time.monotonic()
                try:
                    await run_all([self._work(pool, bar) for _ in range(options.concurrency)])
                finally:
                    self._took = time.monotonic() - self._began

    def is_well(self) -> bool:
        """Whether every request was answered with 200 and every candidate scored; false where nothing was asked."""
        return bool(self._tally.statuses) and set(self._tally.statuses) == {"200"} and not self._tally.failed

    def report(self) -> None:
        """Print rates, latencies in seconds, statuses and the reward's statistics, as one table."""
        tally, took = self._tally, self._took or 1e-9
        numbers = statistics_of(tally.kept)
        rows: list[Row] = [
            ("requests", sum(tally.statuses.values())),
            ("answers by status", dict(tally.statuses.most_common())),
            ("seconds", took),
            ("requests/s", len(tally.latencies) / took),
            ("groups/s", tally.groups / took),
            ("candidates/s", tally.candidates / took),
            ("latency of a 200, s", _percentiles(tally.latencies)),
            ("candidates", dict(outcomes(tally.kept).most_common())),
            ("yield (r_task = 1)", numbers.get("yield")),
            ("mean nll, nats/token", numbers.get("nll")),
            ("mean diversity D", numbers.get("diversity")),
            ("in-group std of r_dist", numbers.get("in_group_std/r_dist")),
            ("in-group std of r_div", numbers.get("in_group_std/r_div")),
            ("suggested lambda_div", suggested_lambda_div(numbers, lambda_dist=self._options.lambda_dist)),
        ]
        print_table(rows, sys.stdout)

    async def _work(self, pool: httpx.AsyncClient, bar: ProgressBar) -> None:
        for _ in self._tickets:
            if self._seconds is not None and time.monotonic() - self._began >= self._seconds:
                return
            body = next(self._bodies)
            asked = time.monotonic()
            try:
                answer = await pool.post("/v1/reward", content=body, headers=self._headers)
            except httpx.HTTPError as lost:
                self._tally.statuses[type(lost).__name__] += 1
                bar.advance(1)
                await asyncio.sleep(REFUSED_PAUSE_S)
                continue
            self._tally.statuses[str(answer.status_code)] += 1
            if answer.status_code == httpx.codes.OK:
                self._tally.latencies.append(time.monotonic() - asked)
                self._note(answer.content)
            bar.advance(1)

    def _note(self, content: bytes) -> None:
        try:
            groups = RewardAnswer.model_validate_json(content).groups
        except ValidationError:
            raise InternalError("/v1/reward answered in another shape; is the service of the same version?") from None
        self._tally.groups += len(groups)
        self._tally.candidates += sum(len(group.candidates) for group in groups)
        self._tally.failed += sum(group.failed for group in groups)
        if len(self._tally.kept) < KEPT_GROUPS:
            self._tally.kept += groups

    def _cycle(self, groups: list[Group]) -> Iterator[bytes]:
        rule = rule_of(self._options)
        endless = itertools.cycle(groups)
        while True:
            some = [next(endless).model_copy(update={"id": str(i)}) for i in range(self._options.groups_a_request)]
            yield ScoreRequest(groups=some, rule=rule).model_dump_json(exclude_none=True).encode()


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"p50": cuts[49], "p90": cuts[89], "p95": cuts[94], "p99": cuts[98], "max": max(values)}
