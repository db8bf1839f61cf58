"""The likelihood grading of evaluations beside lm-eval's, same questions, same model: do they choose alike?

    python tests/bench/likelihood.py --lm-eval-python PATH [--model embedded] [--benchmark MMLU] [--questions 200]

lm-eval runs two tasks of its own kind `multiple_choice` over a file of the questions, with its own tokenisation and the
model's chat template; the prompts are ours. Exit status 1 where less than 99 % of the choices agree. Needs
../shared/data.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval.jsonl"
ENOUGH = 0.99

PEER = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

job = json.load(sys.stdin)
def task(name, prompt, choices):
    return {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": job["file"]}},
            "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{" + prompt + "}}",
            "doc_to_choice": "{{" + choices + "}}", "doc_to_target": "{{gold}}", "num_fewshot": 0,
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]}
tasks = [task("letters", "letter_prompt", "letters"), task("texts", "text_prompt", "texts")]
model = HFLM(pretrained=job["model"], dtype="float32", device="cpu", batch_size=8)
done = simple_evaluate(model=model, tasks=tasks, apply_chat_template=True, log_samples=True, bootstrap_iters=0)
found = {}
for name in ("letters", "texts"):
    samples = sorted(done["samples"][name], key=lambda sample: sample["doc_id"])
    found[name] = {"sums": [[float(r[0]) for r in s["filtered_resps"]] for s in samples],
                   "acc": done["results"][name]["acc,none"], "acc_norm": done["results"][name]["acc_norm,none"]}
print(json.dumps(found))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval-python", required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--benchmark", default="MMLU")
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    if not DATA.is_file():
        print("the public test data is absent: eval.jsonl is expected in ../shared/data beside the checkout")
        return 1
    from rewright.service.models.rendering import Rendering
    from rewright.trainer.evaluate import likelihood
    from rewright.trainer.evaluate.benchmarks import read_questions
    from rewright.trainer.evaluate.stated import LETTERS
    from rewright.trainer.models.policy import locate
    from rewright.trainer.recipes.blocks import Backbone

    asked = read_questions(DATA, per_benchmark=None, seed=17).asked
    questions = [q for q in asked if q.benchmark == options.benchmark and q.options][: options.questions]
    backbone = Backbone(model=options.model, device="cpu", precision="float32")
    started = time.perf_counter()
    some = likelihood.option_likelihoods(questions, backbone=backbone, adapter=None, rendering=Rendering())
    mine = [row for rows in some for row in rows]
    print(f"ours: {time.perf_counter() - started:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "questions.json"
        file.write_text(
            "".join(
                json.dumps(
                    {
                        "letter_prompt": likelihood.letter_prompt(q),
                        "text_prompt": likelihood.text_prompt(q),
                        "letters": list(LETTERS[: len(q.options)]),
                        "texts": list(q.options),
                        "gold": LETTERS.index(q.answer),
                    }
                )
                + "\n"
                for q in questions
            )
        )
        job = {"file": str(file), "model": locate(backbone).source}
        started = time.perf_counter()
        done = subprocess.run(
            [options.lm_eval_python, "-c", PEER], input=json.dumps(job), capture_output=True, text=True, check=False
        )
    if done.returncode:
        print(done.stderr[-3000:])
        return 1
    peer = json.loads(done.stdout.splitlines()[-1])
    print(f"lm-eval: {time.perf_counter() - started:.0f} s", flush=True)
    return _compare(questions, mine, peer)


def _compare(questions, mine, peer):
    least = 1.0
    print(f"{'':<12}{'agree':>9}{'ours':>8}{'lm-eval':>9}{'largest |Δ| nats':>18}")
    for kind in ("letters", "texts", "texts_norm"):
        prompt = kind.removesuffix("_norm")
        sums = [(row[prompt], theirs) for row, theirs in zip(mine, peer[prompt]["sums"], strict=True)]
        divisors = [[len(t) if kind == "texts_norm" else 1 for t in q.options] for q in questions]
        measured = [(a, b, d, q) for (a, b), d, q in zip(sums, divisors, questions, strict=True) if a is not None]
        same = sum(_best(a, d) == _best(b, d) for a, b, d, _ in measured)
        right = sum("ABCDEFGHIJ"[_best(a, d)] == q.answer for a, _, d, q in measured)
        apart = max(abs(x - y) for a, b, _, _ in measured for x, y in zip(a, b, strict=True))
        theirs = peer[prompt]["acc_norm" if kind == "texts_norm" else "acc"]
        least = min(least, same / len(measured))
        print(f"{kind:<12}{same:>5}/{len(measured)}{right / len(measured):>8.3f}{theirs:>9.3f}{apart:>18.1e}")
    return 0 if least >= ENOUGH else 1


def _best(sums, divisors):
    values = [value / divisor for value, divisor in zip(sums, divisors, strict=True)]
    return values.index(max(values))


if __name__ == "__main__":
    sys.exit(main())
