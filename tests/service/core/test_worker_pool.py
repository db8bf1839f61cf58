"""The pool against real processes that hang, die, eat memory, print and flood."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rewright.service.core.request_context import due_in
from rewright.service.core.workers.pool import Failure, Outcome, Value, WorkerPool
from rewright.service.errors import Overloaded, ScorerUnavailable
from tests.waiting import until, until_so

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def pool(**changes: Any) -> Iterator[WorkerPool]:
    limits = {
        "workers": 1,
        "cpu_s": 1.0,
        "memory_mb": 256,
        "queue": 100,
        "first_try_s": 0.3,
        "slow_workers": 1,
        **changes,
    }
    opened = WorkerPool("tests.service.core.pool_jobs:work", **limits)
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerPool]:
    with pool(workers=2) as opened:
        yield opened


def run(opened: WorkerPool, *jobs: Any) -> list[Outcome]:
    return asyncio.run(opened.run(list(jobs)))


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def wait_gone(pids: list[int]) -> None:
    until(lambda: not any(exists(pid) for pid in pids))


def cpu_seconds(pid: int) -> float:
    """Used by the process so far; 0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def test_results_come_in_order(shared: WorkerPool) -> None:
    assert run(shared, *[["echo", n] for n in range(200)]) == [Value(n) for n in range(200)]


def test_large_payloads_and_odd_characters_arrive_whole(shared: WorkerPool) -> None:
    text = "é\x00\ud800" + "x" * 1_000_000
    assert run(shared, ["echo", text]) == [Value(text)]


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        (["spin", 60.0], "overran"),
        (["spin_deaf"], "overran"),
        (["in_c"], "overran"),
        (["eat"], "out_of_memory"),
        (["eat_quietly"], "out_of_memory"),
        (["die"], "died"),
        (["flood"], "died"),
    ],
)
def test_a_bad_item_is_tried_twice_and_harms_no_neighbour(shared: WorkerPool, job: Any, kind: str) -> None:
    outcomes = run(shared, ["echo", "before"], job, *[["echo", n] for n in range(20)])
    bad = outcomes[1]
    assert isinstance(bad, Failure)
    assert (bad.kind, bad.tries, bad.own_doing) == (kind, 2, True)
    assert outcomes[0] == Value("before")
    assert outcomes[2:] == [Value(n) for n in range(20)]


@pytest.mark.parametrize("job", [["sleep", 60.0], ["half_a_message"]])
def test_an_item_that_hangs_is_ended_and_not_blamed(job: Any) -> None:
    with pool(workers=2, cpu_s=0.5) as opened:
        bad, after = run(opened, job, ["echo", 1])
    assert isinstance(bad, Failure)
    assert (bad.kind, bad.own_doing, after) == ("stalled", False, Value(1))


def test_the_slow_lane_gives_an_honest_item_its_full_time() -> None:
    with pool(cpu_s=20.0) as opened:
        assert run(opened, ["spin", 0.6]) == [Value("spun")]


def test_an_item_whose_worker_was_killed_is_tried_again(shared: WorkerPool, tmp_path: Path) -> None:
    assert run(shared, ["die_once", str(tmp_path / "marker")]) == [Value("second try")]


def test_an_exception_is_reported_by_type_alone(shared: WorkerPool) -> None:
    assert run(shared, ["raise"]) == [Failure("raised", 1, "ValueError")]


def test_printing_workers_are_silent(shared: WorkerPool, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(shared, ["print", 1000]) == [Value("printed")]
    assert capfd.readouterr() == ("", "")


def test_poison_does_not_queue_before_the_innocent() -> None:
    with pool() as opened:

        async def both() -> None:
            poison = asyncio.create_task(opened.run([["spin", 60.0]] * 3))
            await asyncio.sleep(0)
            assert await opened.run([["echo", 1]]) == [Value(1)]
            assert not poison.done()
            await poison

        asyncio.run(both())


@pytest.mark.parametrize(("seconds", "told"), [(0.5, "spun"), (9.0, None)])
def test_what_overran_its_first_try_has_no_other_when_it_is_asked_again(seconds: float, told: str | None) -> None:
    with pool(workers=1, cpu_s=1.5, first_try_s=0.2) as opened:
        tries = []
        for _ in range(2):
            before = opened.state().batches
            (outcome,) = run(opened, ["spin", seconds])
            tries.append(opened.state().batches - before)
            if told is None:
                assert isinstance(outcome, Failure) and outcome.own_doing and outcome.tries == 2
            else:
                assert outcome == Value(told)
        assert tries == [2, 1]


def test_an_item_that_lingers_gives_up_its_place() -> None:
    """One place, two items that use nearly the whole first try: a third is answered before either."""
    with pool(cpu_s=5.0, first_try_s=5.0) as opened:

        async def both() -> list[str]:
            done: list[str] = []
            slow = asyncio.create_task(opened.run([["spin", 0.8]] * 2))
            slow.add_done_callback(lambda _: done.append("slow"))
            await asyncio.sleep(0)
            await opened.run([["echo", 1]])
            done.append("innocent")
            assert await slow == [Value("spun")] * 2
            await asyncio.sleep(0)
            return done

        assert asyncio.run(both()) == ["innocent", "slow"]


def test_a_killed_child_is_replaced_by_one_that_was_ready() -> None:
    with pool() as opened:
        until(lambda: len(opened.child_pids()) >= 2)
        ready = set(opened.child_pids())
        died, after = run(opened, ["die"], ["pid"])
        assert isinstance(died, Failure)
        assert isinstance(after, Value)
        assert after.value in ready


def test_children_rehearse_before_they_work() -> None:
    with pool(rehearsal=["leak", 0]) as opened:
        assert run(opened, ["leaked"]) == [Value(1)]
    with pool(rehearsal=["raise"]) as opened:
        assert run(opened, ["echo", 1]) == [Failure("no_worker", 3)]


def test_what_the_deadline_finds_unfinished_is_nobodys_fault_and_told_when_it_is_done() -> None:
    """Eight items want 0.6 CPU seconds each of the one slow child, and their caller has two seconds in all."""
    told: dict[int, Outcome] = {}
    with pool(cpu_s=2.0, first_try_s=0.1) as opened:

        async def hurried() -> list[Outcome]:
            with due_in(2.0):
                return await opened.run([["spin", 0.6]] * 8, late=told.__setitem__)

        outcomes = asyncio.run(hurried())
        left = [k for k, outcome in enumerate(outcomes) if outcome != Value("spun")]
        assert left and all(isinstance(o, Failure) and o.kind == "unfinished" for o in (outcomes[k] for k in left))
        assert not any(isinstance(o, Failure) and o.own_doing for o in outcomes)
    # Closing waits for what is at work, and what had not begun again is dropped.
    assert set(told) <= set(left)
    assert not any(isinstance(outcome, Failure) and outcome.own_doing for outcome in told.values())


def test_children_killed_while_they_wait_are_not_used() -> None:
    with pool() as opened:
        first = set(opened.child_pids())
        run(opened, ["echo", 1])
        for pid in opened.child_pids():
            os.kill(pid, signal.SIGKILL)
        assert run(opened, *[["echo", n] for n in range(20)]) == [Value(n) for n in range(20)]
        assert not first & {pid for pid in opened.child_pids() if exists(pid)}


def test_a_child_killed_again_and_again_is_nobodys_doing() -> None:
    """Somebody outside kills whatever works: the item is told as killed, and is well when it is left alone."""
    with pool(cpu_s=30.0, first_try_s=30.0) as opened:

        async def killed() -> list[Outcome]:
            running = asyncio.create_task(opened.run([["spin", 20.0]]))
            while not running.done():
                busy = [pid for pid in opened.child_pids() if cpu_seconds(pid) > 0.2]
                for pid in busy:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.02)
            return await running

        (outcome,) = asyncio.run(killed())
        assert isinstance(outcome, Failure)
        assert (outcome.kind, outcome.tries, outcome.own_doing) == ("killed", 3, False)
        assert run(opened, ["spin", 0.5]) == [Value("spun")]


def test_the_forkserver_may_be_killed() -> None:
    with pool(workers=2) as opened:
        run(opened, ["echo", 1])
        (pid, *_) = opened.child_pids()
        os.kill(int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
        wait_gone([pid])
        assert run(opened, *[["echo", n] for n in range(50)]) == [Value(n) for n in range(50)]


def test_a_full_queue_refuses_at_once_and_queues_nothing(tmp_path: Path) -> None:
    with pool(queue=3, cpu_s=60.0, first_try_s=60.0) as opened:

        async def crowd() -> None:
            first = asyncio.create_task(opened.run([["wait_for", str(tmp_path / "go")]] + [["echo", 1]] * 2))
            await until_so(lambda: opened.waiting == 2)
            with pytest.raises(Overloaded):
                await opened.run([["echo", 2]] * 2)
            assert not first.done()
            (tmp_path / "go").touch()
            assert len(await first) == 3

        asyncio.run(crowd())


def test_a_caller_who_left_is_skipped(tmp_path: Path) -> None:
    with pool(cpu_s=60.0, first_try_s=60.0) as opened:

        async def leave() -> None:
            unwanted = [["touch", str(tmp_path / "unwanted")]] * 20
            left = asyncio.create_task(opened.run([["wait_for", str(tmp_path / "go")], *unwanted]))
            await until_so(lambda: opened.waiting == 20)
            left.cancel()
            await until_so(lambda: opened.waiting == 0)
            (tmp_path / "go").touch()
            assert await opened.run([["echo", 1]]) == [Value(1)]

        asyncio.run(leave())
    assert not (tmp_path / "unwanted").exists()


def test_children_are_recycled_and_leaking_ones_replaced() -> None:
    with pool(recycle_after=5) as opened:
        pids = [o.value for o in run(opened, *[["pid"]] * 12) if isinstance(o, Value)]
        assert len(pids) == 12
        assert len(set(pids)) == 3
    with pool() as opened:
        (leaked,) = run(opened, ["leak", 150])
        (after,) = run(opened, ["pid"])
        assert isinstance(leaked, Value)
        assert isinstance(after, Value)
        assert leaked.value != after.value


def test_no_child_outlives_close_and_a_closed_pool_refuses() -> None:
    with pool(workers=2) as opened:
        run(opened, ["echo", 1])
        pids = opened.child_pids()
        assert pids
    wait_gone(pids)
    opened.close()
    with pytest.raises(ScorerUnavailable):
        run(opened, ["echo", 1])


def test_no_child_outlives_a_killed_parent_and_main_needs_no_guard(tmp_path: Path) -> None:
    """The script has no `__name__` guard: run again in a child it would start pools without end."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio
            from rewright.service.core.workers.pool import WorkerPool
            pool = WorkerPool("tests.service.core.pool_jobs:work",
                              workers=2, cpu_s=60.0, memory_mb=256, queue=10, first_try_s=60.0,
                              slow_workers=1)
            pool.start()
            async def stuck():
                jobs = asyncio.create_task(pool.run([["spin_deaf"], ["sleep", 60.0]]))
                while len(pool.child_pids()) < 4 or pool.waiting:  # two at work, two in reserve
                    await asyncio.sleep(0.05)
                print(*pool.child_pids(), flush=True)
                await jobs
            asyncio.run(stuck())
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 4
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_gone(pids)
