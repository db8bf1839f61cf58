"""The service under load and in pieces: `make bench-serving`. Load comes from this process, the servers are others.

    python tests/bench/serving.py                  # every part, one after the other, about 6 minutes
    python tests/bench/serving.py gateway scale    # only those

Parts: gateway (candidates a second with scorers that answer at once), overhead (the same groups on the real scorers
through HTTP and without), overload (5 times capacity), scale (1 to 16 replicas), kill and hang (one of four replicas
dies, or stops without closing), term (SIGTERM under load). Figures depend on what else the machine does, so every part
prints the load average, and the gateway its CPU time a candidate, which depends on that less.
"""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.serving_load import Connection, Tally, body, keep_posting, note
from tests.bench.serving_overhead import overhead
from tests.bench.serving_processes import STANDINS, Server, gateway, load_average, pods, started

BATCH, BATCH_MS = 32, 50.0
CAPACITY = BATCH / BATCH_MS * 1000
"""Candidates per second of one stand-in replica."""


def gateway_rate(seconds: float) -> None:
    """512 groups × 10 candidates of 1.5 kB, two requests under way."""
    step = body(512)
    with started([STANDINS], {}) as server:
        for path in ("/v1/reward", "/v1/nll"):
            tally, before = Tally(), server.cpu_s()
            began = time.monotonic()
            asyncio.run(keep_posting(server.url, path, [step], connections=2, until=began + seconds, tally=tally))
            took = time.monotonic() - began
            done = tally.statuses[200] * 5120
            cpu = (server.cpu_s() - before) / max(1, done) * 1e6
            print(f"gateway  {path:12} {done / took:9.0f} candidates/s   server {cpu:5.0f} µs CPU a candidate")


def overload(seconds: float) -> None:
    """Callers with 16-group requests at five times what one replica can do, and a curl of one group beside."""
    posts = [body(16, characters=300, seed=seed) for seed in range(8)]
    single = body(1, characters=300, seed=99)
    settings = {"REWRIGHT_SCORERS__NLL__WAITING": "640", "REWRIGHT_DEADLINE_S": "20"}
    with started([STANDINS, "--only", "nll", "--batch-ms", str(BATCH_MS)], settings) as server:

        async def scenario() -> tuple[Tally, Tally, Tally]:
            calm, crowd, beside = Tally(), Tally(), Tally()
            await keep_posting(
                server.url, "/v1/nll", [single], connections=1, until=time.monotonic() + 3, tally=calm, pause_s=0.1
            )
            until = time.monotonic() + seconds
            # 24 callers that come back after a second, with 160 candidates each, are 3,840 a second or 6 × capacity.
            await asyncio.gather(
                keep_posting(server.url, "/v1/nll", posts, connections=24, until=until, tally=crowd, pause_s=1.0),
                keep_posting(server.url, "/v1/nll", [single], connections=1, until=until, tally=beside, pause_s=0.1),
            )
            return calm, crowd, beside

        first = server.rss_mb()
        calm, crowd, beside = asyncio.run(scenario())
        good = (crowd.statuses[200] * 160 + beside.statuses[200] * 10) / seconds
        offered = sum(crowd.statuses.values()) * 160 / seconds
        print(
            f"overload offered {offered / CAPACITY:.1f} × capacity; goodput {good / CAPACITY:.2f} of capacity; "
            f"{dict(crowd.statuses)}; 429 without Retry-After {crowd.without_retry_after}; lost {crowd.lost}; "
            f"failed candidates {crowd.failed_candidates}; memory {first:.0f} → {server.rss_mb():.0f} MB"
        )
        print(
            f"overload one group: calm p50 {calm.percentile(0.5) * 1000:.0f} ms; beside {dict(beside.statuses)} "
            f"p50 {beside.percentile(0.5) * 1000:.0f} ms, p99 {beside.percentile(0.99) * 1000:.0f} ms "
            f"(3 × calm + one batch = {3 * calm.percentile(0.5) * 1000 + BATCH_MS:.0f} ms)"
        )


def _through(urls: list[str], seconds: float, replicas: int) -> float:
    """Candidates per second through a gateway, with enough under way to keep every replica busy."""
    posts = [body(64, candidates=8, characters=60, seed=seed) for seed in range(4)]
    with gateway(urls, REWRIGHT_SCORERS__NLL__WAITING="100000") as front:
        tally = Tally()

        async def scenario() -> None:
            until = time.monotonic() + seconds
            await keep_posting(front.url, "/v1/nll", posts, connections=2 + replicas, until=until, tally=tally)

        began = time.monotonic()
        asyncio.run(scenario())
        return tally.statuses[200] * 512 / (time.monotonic() - began)


def scale(seconds: float) -> None:
    """A gateway over replicas that sleep 50 ms per batch of 32."""
    with pods(16, "--batch-ms", str(BATCH_MS)) as servers:
        for count in (1, 2, 4, 8, 16):
            rate = _through([s.url for s in servers[:count]], seconds, count)
            share = rate / (count * CAPACITY)
            print(
                f"scale    {count:2} replicas {rate:8.0f} candidates/s   {share:.2f} of linear   load {load_average()}"
            )


def lose_one(seconds: float, how: signal.Signals) -> None:
    """Four replicas under load; one gets the signal after a third of the time."""
    name = "kill" if how is signal.SIGKILL else "hang"
    posts = [body(16, candidates=8, characters=60, seed=seed) for seed in range(4)]
    with pods(4, "--batch-ms", str(BATCH_MS)) as servers, gateway([s.url for s in servers]) as front:
        tally = Tally()
        began = time.monotonic()
        struck = began + seconds / 3

        async def strike() -> None:
            await asyncio.sleep(struck - time.monotonic())
            servers[0].send(how)

        async def scenario() -> None:
            load = keep_posting(front.url, "/v1/nll", posts, connections=12, until=began + seconds, tally=tally)
            await asyncio.gather(load, strike())

        asyncio.run(scenario())
        before = sum(struck - 5 < t < struck for t in tally.finished_at) * 128 / min(5.0, seconds / 3)
        after = [sum(struck + s <= t < struck + s + 1 for t in tally.finished_at) * 128 for s in range(6)]
        print(
            f"{name:8} {dict(tally.statuses)}; lost {tally.lost}; failed candidates {tally.failed_candidates}; "
            f"before {before:.0f} candidates/s; each second after: {after}; three of four is {before * 0.75:.0f}"
        )


def term(seconds: float) -> None:
    """SIGTERM while requests are inside: each that was let in must be answered."""
    posts = [body(8, characters=60, seed=seed) for seed in range(4)]
    with started([STANDINS, "--only", "nll", "--batch-ms", str(BATCH_MS)], {}) as server:
        tally = Tally()

        async def scenario() -> float:
            until = time.monotonic() + seconds
            inside = [asyncio.create_task(_until_refused(server, posts[n % 4], until, tally)) for n in range(16)]
            await asyncio.sleep(seconds / 2)
            server.send(signal.SIGTERM)
            at = time.monotonic()
            await asyncio.gather(*inside)
            await asyncio.to_thread(server.process.wait)
            return time.monotonic() - at

        ended = asyncio.run(scenario())
        print(
            f"term     {dict(tally.statuses)}; accepted and lost {tally.lost}; failed candidates "
            f"{tally.failed_candidates}; exit status {server.process.returncode} after {ended:.1f} s"
        )


async def _until_refused(server: Server, content: bytes, until: float, tally: Tally) -> None:
    connection = Connection(server.url, "/v1/nll")
    while time.monotonic() < until:
        started_at = time.monotonic()
        try:
            status, headers, answer = await connection.post(content)
        except ConnectionRefusedError:
            break  # the port is closed: nobody accepted this one
        except (OSError, asyncio.IncompleteReadError):
            tally.lost += 1
            break
        note(tally, status, headers, answer, time.monotonic() - started_at)
        if status == 503:
            break
    connection.close()


PARTS = {
    "gateway": lambda: gateway_rate(10),
    "overhead": overhead,
    "overload": lambda: overload(60),
    "scale": lambda: scale(10),
    "kill": lambda: lose_one(18, signal.SIGKILL),
    "hang": lambda: lose_one(18, signal.SIGSTOP),
    "term": lambda: term(8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all of them")
    for part in parser.parse_args().parts or PARTS:
        print(f"--- {part} (load average {load_average()})", flush=True)
        PARTS[part]()


if __name__ == "__main__":
    main()
