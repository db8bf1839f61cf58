"""Gateway and four stand-in pods under mixed load for 20 minutes: `make soak-serving`.

Every minute a line: answers, memory of the gateway and of a pod. Callers that leave half way, requests past their
deadline and broken bodies are part of the load. Ends with status 1 when memory grew by more than a tenth after the
first two minutes, or a request that was let in was lost.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from tests.bench.serving_load import Tally, body, keep_posting
from tests.bench.serving_processes import Server, gateway, load_average, pods

GROWTH = 1.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=20)
    options = parser.parse_args()
    with pods(4, "--batch-ms", "50") as servers, gateway([s.url for s in servers]) as front:
        return asyncio.run(_soak(front, servers[0], options.minutes))


async def _soak(front: Server, pod: Server, minutes: int) -> int:
    until = time.monotonic() + 60 * minutes
    # New texts at every request of a caller would fill no memory either; a few large ones in turn do for the load.
    posts = [
        body(groups, characters=characters, seed=groups) for groups, characters in ((1, 300), (16, 1500), (64, 300))
    ]
    tally = Tally()
    work = [
        asyncio.create_task(
            keep_posting(front.url, "/v1/nll", posts, connections=6, until=until, tally=tally, pause_s=0.05)
        ),
        asyncio.create_task(_rude(front.url, posts[1], until)),
    ]
    sizes: list[tuple[float, float]] = []
    for minute in range(1, minutes + 1):
        await asyncio.sleep(60)
        sizes.append((front.rss_mb(), pod.rss_mb()))
        print(
            f"minute {minute:2}: {dict(tally.statuses)}, lost {tally.lost}, failed {tally.failed_candidates}, "
            f"gateway {sizes[-1][0]:.0f} MB, pod {sizes[-1][1]:.0f} MB (load average {load_average()})",
            flush=True,
        )
        tally.seconds.clear()
        tally.finished_at.clear()
    await asyncio.gather(*work)
    settled = sizes[min(1, len(sizes) - 1)]
    grown = any(after > GROWTH * before for before, after in zip(settled, sizes[-1], strict=True))
    print("memory grew" if grown else "memory is flat", "and", f"{tally.lost} requests were lost")
    return 1 if grown or tally.lost or tally.failed_candidates else 0


async def _rude(url: str, content: bytes, until: float) -> None:
    """Callers who leave, ask for the impossible, or send nonsense."""
    async with httpx.AsyncClient(base_url=url) as client:
        while time.monotonic() < until:
            for options in (
                {"content": content, "timeout": 0.05},
                {"content": content, "headers": {"X-Deadline-Ms": "20"}},
                {"content": content[: len(content) // 2]},
            ):
                with contextlib.suppress(httpx.HTTPError):
                    await client.post("/v1/nll", **options)  # type: ignore[arg-type]
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
