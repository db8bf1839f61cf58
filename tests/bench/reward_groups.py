"""All real groups of ../shared/data/groups.jsonl through /v1/reward: a summary, and an error if anything is lost.

    python tests/bench/reward_groups.py [--url http://127.0.0.1:8000] [--groups N] [--batch 24]

Without --url it starts the service on the embedded models. Ends with status 1 on any answer that is not a 200, and on
any candidate without a result.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data" / "groups.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--groups", type=int)
    parser.add_argument("--batch", type=int, default=24)
    options = parser.parse_args()
    if not DATA.is_file():
        print(f"the public test data is absent: {DATA.name} is expected in ../shared/data beside the checkout")
        return 1
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()][: options.groups]

    from tests.live_server import LiveServer, serve_process

    service = nullcontext(LiveServer(options.url)) if options.url else serve_process({"REWRIGHT_DEADLINE_S": "3600"})
    with service as server, httpx.Client(base_url=server.url, timeout=3600) as client:
        answers, statuses, seconds = _post_all(client, rows, options.batch)
        info = client.get("/v1/info").json()
    return _report(rows, answers, statuses, seconds, info)


def _post_all(client, rows, size):
    answers, statuses = [], Counter()
    started = time.monotonic()
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        body = {
            "groups": [
                {
                    "id": row["id"],
                    "problem": row["problem"],
                    "reference": row["reference_solution"],
                    "candidates": row["candidates"],
                }
                for row in some
            ]
        }
        response = client.post("/v1/reward", json=body)
        statuses[response.status_code] += 1
        if response.status_code == httpx.codes.OK:
            answers += response.json()["groups"]
        print(f"\r{len(answers)} of {len(rows)} groups", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return answers, statuses, time.monotonic() - started


def _report(rows, answers, statuses, seconds, info):
    items = [c for group in answers for c in group["candidates"]]
    expected = sum(len(row["candidates"]) for row in rows)
    labels = [label for row in rows for label in row["candidates_correct"]]
    agree = sum((c["v_ans"] or 0) == label for c, label in zip(items, labels, strict=False))
    gates = Counter(c["gate"] or c["error"]["code"] for c in items)

    def mean(values):
        known = [v for v in values if v is not None]
        return statistics.fmean(known) if known else float("nan")

    def spread(name):
        inside = [[c[name] for c in g["candidates"] if c[name] is not None] for g in answers]
        return mean([statistics.pstdev(v) for v in inside if len(v) > 1])

    lines = [
        ("groups", f"{len(answers)} of {len(rows)}"),
        ("candidates", f"{len(items)} of {expected}"),
        ("answers by status", dict(statuses)),
        ("gates", dict(gates.most_common())),
        ("v_ans as labelled", f"{agree} of {len(labels)} ({agree / max(1, len(labels)):.1%})"),
        ("yield (r_task = 1)", f"{gates['open'] / max(1, len(items)):.3f}"),
        ("mean nll, nats/token", f"{mean([c['nll'] for c in items]):.4f}"),
        ("mean diversity D", f"{mean([g['diversity'] for g in answers if g['feasible'] > 1]):.4f}"),
        ("in-group std of r_dist", f"{spread('r_dist'):.4f}"),
        ("in-group std of r_div", f"{spread('r_div'):.5f}"),
        ("seconds", f"{seconds:.1f} ({len(items) / seconds:.1f} candidates/s)"),
        ("models", {name: s.get("model") for name, s in info["scorers"].items()}),
        ("ran on", f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"),
    ]
    for name, value in lines:
        print(f"{name:<24} {value}")
    complete = len(items) == expected and set(statuses) == {httpx.codes.OK}
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
