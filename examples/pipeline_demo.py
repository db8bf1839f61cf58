"""The whole experiment on this machine: rewriter, four datasets, SFT, evaluation, report. Run by `make pipeline-demo`.

    python examples/pipeline_demo.py [WORK_FOLDER]

Runs the shipped recipe `pipeline-demo` on SmolLM2-135M with the service as its own process, on problems and questions
of ../shared/data where it is there, else on those of examples/groups.json. Ends with an error unless every step left
what it should. The model is far too small, and the runs far too short, to say anything about methods; that every part
works together is the point. With the work folder of an earlier run, what is done already is skipped.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from service_process import QUIET, running_service

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
METHODS = ("sft", "sdft", "mind_the_gap", "agent", "select")


def main() -> int:
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="rewright-pipeline-")) / "work"
    started = time.monotonic()
    print(f"the work folder is {work}", flush=True)
    with running_service() as url:
        command = [sys.executable, "-m", "rewright.clients.cli.main", "pipeline", "--config", "pipeline-demo"]
        for setting in (f"work={work}", f"service.base_urls={url}", *_data(work)):
            command += ["--set", setting]
        status = subprocess.run(command, env={**os.environ, **QUIET}, check=False).returncode  # noqa: S603
        if status:
            sys.exit(status)
    wrong = _show(work)
    print(f"\n{time.monotonic() - started:.0f} s in all")
    for what in wrong:
        print(f"not as it should be: {what}", file=sys.stderr)
    return 1 if wrong else 0


def _data(work: Path) -> list[str]:
    if (DATA / "train_pool.jsonl").is_file() and (DATA / "eval.jsonl").is_file():
        return [f"corpus.sources.0.path={DATA / 'train_pool.jsonl'}", f"evaluate.data={DATA / 'eval.jsonl'}"]
    groups = json.loads((HERE / "groups.json").read_text(encoding="utf-8"))["groups"]
    problems = [
        {"id": g["id"], "problem": g["problem"], "solution": g["reference"], "answer": g.get("answer")} for g in groups
    ]
    questions = [
        {"id": p["id"], "benchmark": "Math500", "subject": None, "question": p["problem"], "answer": p["answer"]}
        for p in problems
        if p["answer"]
    ]
    general = {"subject": "everyday", "options": ["a cube", "a sphere", "a square"], "answer": "B"}
    questions += [{"id": "ball", "benchmark": "MMLU", "question": "Which shape does a ball have?", **general}]
    work.mkdir(parents=True, exist_ok=True)
    for name, rows in (("problems", problems), ("questions", questions)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (work / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return [
        f"corpus.sources.0.path={work / 'problems.jsonl'}",
        "corpus.max_solution_characters=1000",
        f"evaluate.data={work / 'questions.jsonl'}",
    ]


def _show(work: Path) -> list[str]:
    """Print what each step took and the report; what is not as it should be."""
    records = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in (work / "steps").glob("*.json")}
    wanted = {"rewriter-agent", "evaluate-base", "report"}
    wanted |= {f"{kind}-{method}" for kind in ("build", "sft", "evaluate") for method in METHODS}
    wrong = [f"no step {name}" for name in sorted(wanted - records.keys())]
    print("\n" + "\n".join(f"{record['seconds']:>7.0f} s  {name}" for name, record in records.items()))
    if "report" in records:
        folder = work / records["report"]["folder"]
        print(f"\n{(folder / 'report.md').read_text(encoding='utf-8')}\nthe report is {folder / 'report.md'}")
        wrong += [] if list(folder.glob("figure-2-*.png")) else ["no figure 2"]
    for method in METHODS:
        if f"build-{method}" in records:
            built = json.loads((work / records[f"build-{method}"]["folder"] / "build.json").read_text(encoding="utf-8"))
            if not built["rows"] == built["samples"] > 0:
                wrong.append(f"{method} has {built['rows']} rows of {built['samples']} problems")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
