"""One row of tests/bench/nll.py, in the interpreter that has its software: job as JSON in, result as JSON out.

    python tests/bench/nll_rows.py ROW REPEATS < job.json

A row is a function that takes the job and gives the nll of every candidate; the last line of output is the fastest of
the repeats.
"""
# ruff: noqa: S310 - every address asked is this machine's own

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PADDED_TOKENS = 4096
GROUPS = {4: 6, 8: 6}
"""Candidates per group: how many such groups."""


def prepare():
    """The job: the model's folder, and for each group its texts and the ids that every row scores."""
    from rewright.service.models.backbone import load_backbone
    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.locating import locate
    from rewright.service.models.rendering import Rendering
    from tests.bench.nll import DATA

    backbone = load_backbone("embedded", precision="bfloat16", device="cpu")
    format_ = ChatFormat.of(backbone.tokenizer, Rendering(), eos_ids=backbone.eos_ids)
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    chosen = []
    for members, count in GROUPS.items():
        alike = [row for row in rows if len(row["candidates"]) == members]
        chosen += alike[:: len(alike) // count][:count]
    trees = [
        {
            "problem": row["problem"],
            "texts": row["candidates"],
            "prefix": format_.encode_prefix(row["problem"]),
            "candidates": [[*format_.encode_candidate(text), *format_.end_of_turn] for text in row["candidates"]],
        }
        for row in chosen
    ]
    return {"model": locate("embedded", setting="bench").source, "trees": trees}


def pairs(trees):
    return [(tree["prefix"], ids) for tree in trees for ids in tree["candidates"]]


@contextmanager
def padded_full(job):
    with _model(job) as (torch, model):

        def run(trees):
            found = {}
            for batch, ids, mask in _padded(torch, pairs(trees)):
                logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
                logprobs = logits.float().log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
                for at, (i, prefix, target) in enumerate(batch):
                    found[i] = -float(logprobs[at, len(prefix) - 1 : len(prefix) - 1 + len(target)].double().mean())
            return [found[i] for i in range(len(found))]

        yield run


@contextmanager
def padded_targets(job):
    with _model(job) as (torch, model):

        def run(trees):
            found = {}
            for batch, ids, mask in _padded(torch, pairs(trees)):
                states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
                for at, (i, prefix, target) in enumerate(batch):
                    logits = model.lm_head(states[at, len(prefix) - 1 : len(prefix) - 1 + len(target)])
                    at_target = torch.tensor(target)[:, None]
                    found[i] = -float(logits.float().log_softmax(-1).gather(1, at_target).double().mean())
            return [found[i] for i in range(len(found))]

        yield run


@contextmanager
def lm_eval(job):
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=job["model"], dtype="bfloat16", device="cpu", batch_size=8)

    def run(trees):
        asked = [(("", ""), list(prefix), list(ids)) for prefix, ids in pairs(trees)]
        scores = model._loglikelihood_tokens(asked, disable_tqdm=True)
        return [-score / len(ids) for (score, _), (_, _, ids) in zip(scores, asked, strict=True)]

    yield run


@contextmanager
def vllm(job):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        job["model"],
        "--dtype",
        "bfloat16",
    ]
    command += ["--enforce-eager", "--max-model-len", "2048", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        command, env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2"}, stdout=sys.stderr, stderr=sys.stderr
    )
    url = f"http://127.0.0.1:{port}"

    def post(pair):
        prefix, ids = pair
        body = {"model": job["model"], "prompt": [*prefix, *ids], "max_tokens": 1, "prompt_logprobs": 0}
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            rows = json.load(answer)["choices"][0]["prompt_logprobs"][len(prefix) :]
        return -sum(row[str(token)]["logprob"] for row, token in zip(rows, ids, strict=True)) / len(ids)

    def run(trees):
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(post, pairs(trees)))

    try:
        _wait_for(f"{url}/health", server)
        yield run
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def in_process(job):
    with _scorer() as score:
        yield lambda trees: [item.nll for group in score(_groups(trees)) for item in group.candidates]


@contextmanager
def http(job):
    from tests.live_server import serve_process

    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("VERIFY", "JUDGE", "DIVERSITY")}
    # What is remembered from one repeat to the next is no measure of the scorer.
    with serve_process({"REWRIGHT_DEADLINE_S": "3600", "REWRIGHT_CACHE__ENTRIES": "0", **off}) as server:

        def run(trees):
            body = {"groups": [{"problem": tree["problem"], "candidates": tree["texts"]} for tree in trees]}
            request = urllib.request.Request(
                f"{server.url}/v1/nll", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=3600) as answer:
                return [item["nll"] for group in json.load(answer)["groups"] for item in group["candidates"]]

        yield run


def gemm_limit(job, repeats):
    """Each token once through every matrix of the model, at the best of several numbers of rows; nothing else."""
    with _model(job) as (torch, model):
        rows = sum(len(t["prefix"]) + sum(len(ids) - 1 for ids in t["candidates"]) for t in job["trees"])
        targets = sum(len(ids) for _, ids in pairs(job["trees"]))
        head = model.get_output_embeddings().weight
        body = [part.weight for part in model.get_decoder().modules() if isinstance(part, torch.nn.Linear)]

        def a_row(weights, size):
            inputs = {w.shape[1]: torch.randn(size, w.shape[1], dtype=w.dtype) for w in weights}
            times = []
            for _ in range(repeats + 1):
                started = time.perf_counter()
                for weight in weights:
                    torch.nn.functional.linear(inputs[weight.shape[1]], weight)
                times.append(time.perf_counter() - started)
            return min(times) / size

        through_body = min(a_row(body, size) for size in (512, 1024, 2048))
        through_head = min(a_row([head], size) for size in (128, 256, 512))
    return {"seconds": rows * through_body + targets * through_head}


def products(job, repeats):
    """The same products as `gemm_limit`, run for all tokens, a share on each core as this scorer does: a limit that
    can be kept up, where the other is the fastest second of the machine."""
    with _model(job) as (torch, model):
        rows = sum(len(t["prefix"]) + sum(len(ids) - 1 for ids in t["candidates"]) for t in job["trees"])
        targets = sum(len(ids) for _, ids in pairs(job["trees"]))
        head = [model.get_output_embeddings().weight]
        body = [part.weight for part in model.get_decoder().modules() if isinstance(part, torch.nn.Linear)]
        cores = torch.get_num_threads()

        def run_rows(weights, count, size):
            inputs = {w.shape[1]: torch.randn(size, w.shape[1], dtype=w.dtype) for w in weights}
            for at in range(0, count, size):
                for weight in weights:
                    torch.nn.functional.linear(inputs[weight.shape[1]][: min(size, count - at)], weight)

        def share(_):
            torch.set_num_threads(1)
            with torch.inference_mode():
                run_rows(body, -(-rows // cores), 1024)
                run_rows(head, -(-targets // cores), 256)

        def run():
            started = time.perf_counter()
            with ThreadPoolExecutor(cores) as threads:
                list(threads.map(share, range(cores)))
            return time.perf_counter() - started

        run()
        return {"seconds": min(run() for _ in range(repeats))}


def memory(job, repeats):
    """Peak of resident memory while 8 candidates of 4,000 tokens are scored, over what it was before."""
    tree = {"problem": "Count.", "texts": [" ".join(str(n % 10) for n in range(k, k + 1990)) for k in range(8)]}
    with _scorer() as score:
        score(_groups(job["trees"][:1]))
        before = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from here
        started = time.perf_counter()
        (group,) = score(_groups([tree]))
        return {
            "mib": (_resident("VmHWM") - before) / 1024,
            "tokens": [item.n_tokens for item in group.candidates],
            "seconds": time.perf_counter() - started,
        }


@contextmanager
def _model(job):
    import torch
    from transformers import AutoModelForCausalLM

    with torch.inference_mode():
        yield torch, AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16).eval()


def _padded(torch, texts):
    """Right-padded batches of texts of like length."""
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    while order:
        longest = sum(map(len, texts[order[-1]]))
        batch = [order.pop() for _ in range(min(len(order), max(1, PADDED_TOKENS // longest)))]
        rows = [[*texts[i][0], *texts[i][1]] for i in batch]
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        yield [(i, *texts[i]) for i in batch], ids, mask


@contextmanager
def _scorer():
    from rewright.service.models.backbone import load_backbone
    from rewright.service.scorers.nll.scorer import BackboneNll
    from rewright.service.settings import NllSettings

    s = NllSettings()
    with asyncio.Runner() as loop:
        scorer = BackboneNll(
            load=lambda: load_backbone("embedded", precision="bfloat16", device="cpu"),
            score_end_of_turn=s.score_end_of_turn,
            rendering=s.rendering,
            max_tokens=s.max_tokens,
            batch_tokens=s.batch_tokens,
            queue_tokens=s.queue_tokens,
        )
        loop.run(scorer.open())
        try:
            yield lambda groups: loop.run(scorer.score(groups))
        finally:
            loop.run(scorer.close())


def _groups(trees):
    from rewright.service.schema import Group

    return [Group(id=str(i), problem=t["problem"], candidates=t["texts"]) for i, t in enumerate(trees)]


def _wait_for(url, server):
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError("the server did not come up in 300 s")


def _resident(name):
    """KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _timed(row, job, repeats):
    with row(job) as run:
        run(job["trees"][:1])
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            found = run(job["trees"])
            seconds.append(time.perf_counter() - started)
    return {"seconds": min(seconds), "all_seconds": seconds, "nll": found}


TIMED = {
    "padded-full": padded_full,
    "padded-targets": padded_targets,
    "lm-eval": lm_eval,
    "vllm": vllm,
    "in-process": in_process,
    "http": http,
}


def main():
    name = sys.argv[1]
    if name == "prepare":
        print(json.dumps(prepare()))
        return
    job, repeats = json.load(sys.stdin), int(sys.argv[2])
    if name in TIMED:
        result = _timed(TIMED[name], job, repeats)
    else:
        result = {"gemm-limit": gemm_limit, "products": products, "memory": memory}[name](job, repeats)
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
