"""K rewrites of each held-back problem, sampled once and kept as JSONL: what the selection study and before/after read.

    python tests/bench/sample_rewrites.py --model MODEL --problems FILE.jsonl --out rewrites.jsonl
        [--server http://127.0.0.1:8001/v1] [--adapter RUN/adapter] [--count 64] [--k 8] [--max-tokens 320] [--batch 64]
        [--max-solution 600]

MODEL: hub name, folder, .gguf or `embedded`. With `--server` an OpenAI-compatible server (vLLM) that serves the same
model does the sampling, which on a CPU is several times as fast; without, transformers does. Held back are problems of
the side of the split that Stage I never sees (rewright.trainer.data.split, share 0.5). Problems that stand in the
output already are not sampled again.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.service.models.chat_format import ChatFormat  # noqa: E402
from rewright.service.models.rendering import Rendering  # noqa: E402
from rewright.trainer.data.prompts import rewriting_prompt  # noqa: E402
from rewright.trainer.data.samples import Sample, read_all  # noqa: E402
from rewright.trainer.data.split import place_in_draw, stage_of  # noqa: E402
from rewright.trainer.generation.base import Asked, Decoding  # noqa: E402
from rewright.trainer.generation.engine import open_generator  # noqa: E402
from rewright.trainer.models.policy import chat_format, load_tokenizer, locate  # noqa: E402
from rewright.trainer.recipes.blocks import Backbone, Source  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--problems", type=Path, required=True, help="JSONL with problem, solution, answer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--server", help="OpenAI-compatible base URL, …/v1, serving MODEL without an adapter")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=320)
    parser.add_argument("--max-solution", type=int, default=600, help="characters")
    parser.add_argument("--batch", type=int, default=64, help="candidates decoded together")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--prompt", default="rewrite-v1")
    parser.add_argument("--template-date", default="2025-01-01")
    options = parser.parse_args()
    if options.server and options.adapter:
        parser.error("--server serves the model as it is: leave it out to sample with --adapter")
    held_back = held_back_problems(options.problems, options.count, max_solution=options.max_solution)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    there = {row["id"] for row in read_rows(options.out)}
    missing = [s for s in held_back if s.id not in there]
    print(f"{len(held_back)} problems, {len(missing)} to sample", flush=True)
    if missing:
        _sample(missing, options)
    return 0


def held_back_problems(file: Path, count: int, *, max_solution: int) -> list[Sample]:
    """The first `count` of the draw that belong to Stage II, so that no run of Stage I has seen them."""
    samples = read_all(Source(path=str(file), answer="answer"))
    chosen = [s for s in samples if len(s.reference) <= max_solution and stage_of(s.problem_hash, share=0.5) == "two"]
    return sorted(chosen, key=lambda s: place_in_draw(s.problem_hash, seed=17))[:count]


def read_rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _sample(samples: list[Sample], options: argparse.Namespace) -> None:
    located = locate(Backbone(model=options.model))
    prompt = rewriting_prompt(options.prompt)
    chat = chat_format(located, load_tokenizer(located), Rendering(template_date=options.template_date))
    turns = [[{"role": "user", "content": prompt.fill(problem=s.problem, solution=s.reference)}] for s in samples]
    write = _from_server(turns, chat, options) if options.server else _in_process(turns, options)
    started = time.monotonic()
    with options.out.open("a", encoding="utf-8") as out:
        for number, (sample, texts) in enumerate(zip(samples, write, strict=True), start=1):
            row = {
                "id": sample.id, "problem": sample.problem, "reference": sample.reference, "answer": sample.answer,
                "candidates": [text.strip() for text in texts], "model": located.name, "revision": located.revision,
                "adapter": str(options.adapter) if options.adapter else None, "prompt": prompt.sha256,
                "sampler": "server" if options.server else "transformers",
            }  # fmt: skip
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            print(f"{number} of {len(samples)}, {time.monotonic() - started:.0f} s", flush=True)


def _in_process(turns: list[Any], options: argparse.Namespace) -> Iterator[list[str]]:
    decoding = Decoding(max_tokens=options.max_tokens, temperature=options.temperature)
    with open_generator(
        Backbone(model=options.model), adapter=options.adapter, decoding=decoding, engine="transformers",
        batch_size=options.batch, rendering=Rendering(template_date=options.template_date),
    ) as generator:  # fmt: skip
        texts = (answered.text for answered in generator.run(_Draws(turns, options.k, options.batch)))
        while some := list(islice(texts, options.k)):
            yield some


class _Draws:
    """K draws of each prompt, in order."""

    def __init__(self, turns: list[Any], k: int, batch: int) -> None:
        self._asked = (Asked((n, draw), turn, draw) for n, turn in enumerate(turns) for draw in range(k))
        self._batch = batch

    def next_batch(self, *, wait: bool) -> list[Asked] | None:
        return list(islice(self._asked, self._batch)) or None


def _from_server(turns: list[Any], chat: ChatFormat, options: argparse.Namespace) -> Iterator[list[str]]:
    with httpx.Client(base_url=options.server, timeout=3600) as client:
        served = client.get("models").raise_for_status().json()["data"][0]["id"]

        def ask(number: int) -> list[str]:
            # Every sampling default of the model is set aside by name. No seed of each request: it ends vLLM 0.32 on a
            # CPU ("CPU Generator does not use offset"); start the server with --seed.
            body = {
                "model": served, "prompt": chat.encode_prompt(turns[number]), "n": options.k,
                "temperature": options.temperature, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
                "max_tokens": options.max_tokens,
            }  # fmt: skip
            choices = client.post("completions", json=body).raise_for_status().json()["choices"]
            return [choice["text"] for choice in sorted(choices, key=lambda choice: choice["index"])]

        with ThreadPoolExecutor(max(1, options.batch // options.k)) as threads:
            yield from threads.map(ask, range(len(turns)))


if __name__ == "__main__":
    sys.exit(main())
