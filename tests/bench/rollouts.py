"""Rollouts for real rewriting prompts: transformers' `generate`, its continuous batching, and ours: one table.

    python tests/bench/rollouts.py [--rows 16 32 64] [--group 8] [--new 80] [--repeats 2] [--model embedded]
        [--precision float32] [--data FILE.jsonl]

Real problems and solutions (../shared/data/train_pool.jsonl) in the rewriting prompt, the recipe's LoRA with weights
that are not zero; on a GPU where there is one, and there ours also without CUDA graphs. All rows are written to the
limit, so that every way writes as many tokens; each row of the table is the fastest of its runs, and runs of the ways
alternate. The limit: what the weights' bytes of one decode step need at the speed at which this machine reads a large
matrix, and its products at the speed of a large product.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "train_pool.jsonl"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--new", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--prompt", default="rewrite-small-v1")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--ways", nargs="+", default=["generate", "continuous", "ours", "ungraphed"])
    options = parser.parse_args()
    if not options.data.is_file():
        print(f"the public test data is absent: {DATA.name} is expected in ../shared/data beside the checkout")
        return 1
    import torch

    model, tokenizer = policy(options.model, options.precision)
    ways = {"generate": generate(model, tokenizer), "continuous": continuous(model), "ours": ours(model)}
    if model.device.type == "cuda":
        ways["ungraphed"] = ours(model, graphs=False)
    ways = {name: way for name, way in ways.items() if name in options.ways}
    speeds = machine(model)
    where = torch.cuda.get_device_name() if model.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{options.model}, {options.precision}, {where}, load {os.getloadavg()[0]:.1f}; a step reads "
          f"{speeds['read'] / 1e9:.1f} GB/s at best, products {speeds['products'] / 1e9:.0f} GFLOP/s")  # fmt: skip
    print(
        f"{'rows':>5} {'way':>11} {'tokens':>7} {'seconds':>8} {'tokens/s':>9} {'of generate':>12} {'of the limit':>13}"
    )
    for rows in options.rows:
        prompts = [ids for ids in some(tokenizer, rows // options.group, options) for _ in range(options.group)]
        taken = {name: [] for name in ways}
        for _ in range(options.repeats):
            for name, way in ways.items():
                torch.manual_seed(3)
                start = time.perf_counter()
                way(prompts, options.new)
                synchronise()
                taken[name].append(time.perf_counter() - start)
        least = limit(model, prompts, options, speeds)
        for name, seconds in taken.items():
            rate = rows * options.new / min(seconds)
            more = min(taken["generate"]) / min(seconds)
            print(
                f"{rows:>5} {name:>11} {rows * options.new:>7} {min(seconds):>8.1f} {rate:>9.1f} {more:>11.2f}x "
                f"{least / min(seconds):>12.0%}",
                flush=True,
            )
    return 0


def policy(name, precision):
    import torch
    from peft import get_peft_model

    from rewright.trainer.models.policy import load_model, load_tokenizer, locate, lora_config
    from rewright.trainer.recipes.blocks import Backbone, Lora

    backbone = Backbone(model=name, precision=precision)
    located = locate(backbone)
    model = get_peft_model(load_model(located, backbone), lora_config(Lora(r=64, alpha=32))).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(5)
    for part, weight in model.named_parameters():
        if "lora_B" in part:
            weight.data.normal_(0, 0.01)
    return model, load_tokenizer(located)


def some(tokenizer, count, options):
    from rewright.trainer.data.prompts import rewriting_prompt

    prompt = rewriting_prompt(options.prompt)
    with options.data.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    turns = (
        [{"role": "user", "content": prompt.fill(problem=row["problem"], solution=row["solution"])}]
        for row in random.Random(7).sample(rows, count)
    )
    return [tokenizer.apply_chat_template(each, add_generation_prompt=True, return_dict=False) for each in turns]


def generate(model, tokenizer):
    import torch

    def write(prompts, new):
        longest = max(map(len, prompts))
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(each)) + each for each in prompts])
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts])
        ids, mask = ids.to(model.device), mask.to(model.device)
        with torch.no_grad():
            model.generate(input_ids=ids, attention_mask=mask, generation_config=sampling(new, pad))

    return write


def continuous(model):
    import torch

    def write(prompts, new):
        with torch.no_grad():
            model.generate_batch(prompts, generation_config=sampling(new, 0), progress_bar=False)

    return write


def ours(model, *, graphs=True):
    from rewright.trainer.generation.packed_decoder import PackedDecoder

    decoder = PackedDecoder(model.get_base_model())
    decoder._capturable = graphs

    def write(prompts, new):
        decoder.write(prompts, [new] * len(prompts), [], temperature=0.8)

    return write


def sampling(new, pad):
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=new, do_sample=True, temperature=0.8, top_k=0, eos_token_id=None, pad_token_id=pad
    )


def machine(model):
    """Bytes a second of a product that only reads, and operations a second of one that computes."""
    import torch

    as_model = {"device": model.device, "dtype": model.dtype}
    # On a GPU larger than its cache, and large enough to fill it.
    wide, deep = (65536, 8192) if model.device.type == "cuda" else (65536, 1024)
    matrix = torch.randn(wide, deep, **as_model)
    vector, square = torch.randn(1, deep, **as_model), torch.randn(deep, deep, **as_model)
    best = {"read": 0.0, "products": 0.0}
    for _ in range(5):
        synchronise()
        start = time.perf_counter()
        torch.nn.functional.linear(vector, matrix)
        synchronise()
        best["read"] = max(best["read"], matrix.nbytes / (time.perf_counter() - start))
        start = time.perf_counter()
        torch.nn.functional.linear(square, matrix[:8192])
        synchronise()
        best["products"] = max(best["products"], 2 * deep * deep * 8192 / (time.perf_counter() - start))
    return best


def synchronise():
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def limit(model, prompts, options, speeds):
    """Seconds in which the weights are read once a step, or multiplied, whichever is more; prompts once a group."""
    base = sum(w.numel() for name, w in model.named_parameters() if "lora" not in name)
    step = max(model.dtype.itemsize * base / speeds["read"], 2 * base * len(prompts) / speeds["products"])
    prefill = 2 * base * sum(map(len, prompts)) / options.group / speeds["products"]
    return options.new * step + prefill


if __name__ == "__main__":
    raise SystemExit(main())
