"""Start the service on loopback, post `groups.json`, print every component, and stop. Run by `make demo`.

Ends with an error if any v_ans differs from `groups.expected.json`. The embedded judge is too small to judge well, so
v_rea, and what hangs on it, is shown and held to nothing.
"""

import json
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
from service_process import ProgressLine, running_service

HERE = Path(__file__).resolve().parent
BODY = HERE / "groups.json"
EXPECTED = HERE / "groups.expected.json"

NEXT = """\
The embedded judge is too small to judge reasoning: its v_rea means nothing. docs/judge.md tells how to use another.

What next
  keep the service up:   make serve
  ask it by hand:        curl -s http://127.0.0.1:8000/v1/reward -H 'Content-Type: application/json' \\
                           -d @examples/groups.json
  train with it in TRL:  from rewright.clients.adapters.trl import RewardFunction
                         rewards = RewardFunction("http://127.0.0.1:8000", num_generations=config.num_generations)
                         GRPOTrainer(model, reward_funcs=rewards, args=config, train_dataset=dataset)"""


def main() -> int:
    with running_service() as url:
        wrong = _show(_scored(url))
    if wrong:
        print(f"\nv_ans is not what {EXPECTED.name} says:\n  " + "\n  ".join(wrong), file=sys.stderr)
        return 1
    print(f"\nEvery v_ans is as {EXPECTED.name} says.", NEXT, sep="\n")
    return 0


def _scored(url: str) -> dict:
    """The service's answer to `groups.json`, behind a line of progress."""
    body = BODY.read_bytes()
    groups = json.loads(body)["groups"]
    scoring = f"scoring {sum(len(g['candidates']) for g in groups)} candidates of {len(groups)} groups"
    line = ProgressLine()
    with ThreadPoolExecutor(1) as worker:
        post = worker.submit(
            httpx.post,
            f"{url}/v1/reward",
            content=body,
            headers={"Content-Type": "application/json"},
            timeout=300,
        )
        while wait([post], timeout=0.3).not_done:
            line.show(scoring)
    response = post.result()
    if response.is_error:
        sys.exit(f"/v1/reward answered {response.status_code}: {response.text}")
    line.end(scoring)
    return response.json()


def _show(answer: dict) -> list[str]:
    """Print a table of every component; return where v_ans differs from what is expected."""
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
    texts = {g["id"]: g for g in json.loads(BODY.read_text(encoding="utf-8"))["groups"]}
    wrong = []
    for group in answer["groups"]:
        source = texts[group["id"]]
        print(f"\n{group['id']}: {textwrap.shorten(source['problem'], 100)}")
        print(
            f"  feasible {group['feasible']}, failed {group['failed']}, nll mean {_number(group['nll_mean'])}, "
            f"std {_number(group['nll_std'])}, diversity {_number(group['diversity'], 4)}"
        )
        print("   total  gate        v_ans v_rea    nll  nll_z r_dist   r_div  words repeated copied  candidate")
        for k, c in enumerate(group["candidates"]):
            s = c["signals"]
            print(
                f"  {_number(c['total']):>6}  {c['gate'] or c['error']['code']:<11} {_number(c['v_ans'], 0):>5} "
                f"{_number(c['v_rea'], 0):>5} {_number(c['nll']):>6} {_number(c['nll_z'], 2):>6} "
                f"{_number(c['r_dist']):>6} {_number(c['r_div'], 5):>7} {s['n_tokens']:>6} {s['repeated']:>8.2f} "
                f"{_number(s['copied'], 2):>6}  {textwrap.shorten(source['candidates'][k], 48) or '(blank)'}"
            )
            # A blank never reaches the verifier: its v_ans is null, and its reward 0.
            if (c["v_ans"] or 0) != expected[group["id"]][k] or c["status"] != "scored":
                wrong.append(f"{group['id']}[{k}]: v_ans {c['v_ans']}, expected {expected[group['id']][k]}")
    return wrong


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
