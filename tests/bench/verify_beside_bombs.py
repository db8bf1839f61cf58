"""300 right answers that take long, beside 100 bombs of another caller: none may be `undecided`, all must come right.

    python tests/bench/verify_beside_bombs.py [--right 300] [--bombs 100] [--deadline-s 60]

The two families of right answers need CPU seconds each (an integral, a product of sine and cosine); a bomb is a tower
of powers that uses up its limit twice. Both callers post everything at once to the real service, and send again what
failed, as clients do. Ends with status 1 where a right answer was `undecided` or wrong, or failed for good.
"""

import argparse
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from rewright.service.schema import Group
from tests.bench.serving_processes import load_average, started
from tests.trouble.test_01_load_is_nobodys_fault import bombs, right_answers

OFF = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
PAUSE_S = 1.0


@dataclass
class Caller:
    """Posts all that is left, until nothing is or somebody says stop. rounds: what came back each time, by outcome."""

    name: str
    url: str
    left: list[Group]
    deadline_s: float
    stop: threading.Event = field(default_factory=threading.Event)
    rounds: list[Counter[str]] = field(default_factory=list)
    lost_for_good: int = 0

    def run(self) -> None:
        headers = {"X-Request-Id": self.name, "X-Deadline-Ms": str(int(self.deadline_s * 1000))}
        with httpx.Client(base_url=self.url, headers=headers, timeout=self.deadline_s + 60) as client:
            while self.left and not self.stop.is_set():
                body = {"groups": [group.model_dump(exclude_none=True) for group in self.left]}
                self._take(client.post("/v1/verify", json=body))
                print(f"{time.strftime('%X')} {self.name}: {dict(self.rounds[-1])}, {len(self.left)} left", flush=True)
                self.stop.wait(PAUSE_S if self.left else 0)

    def _take(self, answer: httpx.Response) -> None:
        said: dict[str, Any] = answer.json()
        if answer.status_code != httpx.codes.OK:
            self.rounds.append(Counter({f"{answer.status_code} {said['error']['code']}": len(self.left)}))
            self.lost_for_good += 0 if said["error"]["retryable"] else len(self.left)
            return
        items = [group["candidates"][0] for group in said["groups"]]
        again = [item["status"] == "failed" for item in items]
        self.rounds.append(
            Counter(i["error"]["code"] if f else i["verdict"] for i, f in zip(items, again, strict=True))
        )
        self.lost_for_good += sum(f and not i["error"]["retryable"] for i, f in zip(items, again, strict=True))
        self.left = [group for group, failed in zip(self.left, again, strict=True) if failed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--right", type=int, default=300)
    parser.add_argument("--bombs", type=int, default=100)
    parser.add_argument("--deadline-s", type=float, default=60.0, help="of each request")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {load_average()}")
    with started(["-m", "rewright.service"], OFF | {"REWRIGHT_LOG_LEVEL": "error"}) as server:
        hostile = Caller("hostile", server.url, bombs(options.bombs), options.deadline_s)
        honest = Caller("honest", server.url, right_answers(options.right), options.deadline_s)
        beside = threading.Thread(target=hostile.run)
        began = time.monotonic()
        beside.start()
        honest.run()
        took = time.monotonic() - began
        hostile.stop.set()
        beside.join()
    outcomes = sum(honest.rounds, Counter())
    print(f"{options.right} right answers in {took:.0f} s and {len(honest.rounds)} requests: {dict(outcomes)}")
    print(f"{options.bombs} bombs: {dict(sum(hostile.rounds, Counter()))}; load {load_average()}")
    return 0 if outcomes["correct"] == options.right and not honest.lost_for_good else 1


if __name__ == "__main__":
    sys.exit(main())
