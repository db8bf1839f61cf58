"""π0's NLL on a GPU: packed rows against the padded ways, on random models of real shapes. One command, one table.

    python tests/bench/nll_gpu.py [--smoke] [--shapes 1b 7b] [--rows 8192 32768] [--out FILE.json]

Needs torch and transformers alone beside the checkout; no weights are downloaded. Lengths are drawn so that their means
are those of real groups (prompt 92, candidate 267 tokens). `flops` counts what is useful: matrix products and causal
attention of each prompt once and each candidate once, and the output layer on target rows; no padding. --smoke runs
tiny shapes anywhere, to see that it works.
"""

import argparse
import importlib.metadata
import json
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rewright.service.models.forward.packed import PackedScorer
from rewright.service.models.forward.packing import Tree
from rewright.service.models.forward.parts import OutputLayer
from rewright.service.models.forward.target_logprobs import in_chunks

SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 1000, "tie_word_embeddings": True},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256, "tie_word_embeddings": True},
    "7b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 32_768, "tie_word_embeddings": False},
}  # fmt: skip
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "B200": 2250e12}
"""Dense bf16 by the makers' data sheets."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--rows", nargs="+", type=int)
    parser.add_argument("--groups", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.smoke:
        print("no GPU here; --smoke runs tiny shapes on the CPU")
        return 1
    shapes = options.shapes or (["tiny"] if options.smoke else ["1b", "7b"])
    sizes = options.rows or ([256] if options.smoke else [8192, 16_384, 32_768])
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = next((flops for card, flops in PEAK.items() if card in name), None)
    versions = {package: importlib.metadata.version(package) for package in ("torch", "transformers")}
    print(f"{name}; {versions}; peak {peak and peak / 1e12} TFLOP/s bf16")
    report = {"device": name, "versions": versions, "peak": peak, "rows": [], "parity": []}
    for shape in shapes:
        report["parity"] += parity(shape, device)
        count = options.groups or (4 if options.smoke else 96 if shape == "1b" else 48)
        report["rows"] += measured(shape, device, sizes=sizes, groups=count, peak=peak)
        if options.out:
            options.out.write_text(json.dumps(report, indent=1))
    return 0


def random_backbone(shape, device, dtype):
    torch.manual_seed(5)
    config = LlamaConfig(
        **SHAPES[shape], max_position_embeddings=8192, rope_theta=500_000.0, attn_implementation="sdpa",
        initializer_range=0.04,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.eval().requires_grad_(False)
    return SimpleNamespace(model=model, device=device, dtype=dtype)


def random_trees(count, vocabulary, *, seed=3, prompt=92, candidate=267, members=6):
    draw = random.Random(seed)

    def ids(mean):
        length = min(8 * mean, max(2, round(draw.lognormvariate(0, 0.5) * mean * 0.8825)))
        return [draw.randrange(vocabulary) for _ in range(length)]

    return [Tree(ids(prompt), [ids(candidate) for _ in range(members)]) for _ in range(count)]


def useful_flops(config, trees):
    """Of the matrix products that eq. 6 cannot do without."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    kept = 2 * config.num_key_value_heads * size
    matrices = config.hidden_size * (2 * heads * size + kept + 3 * config.intermediate_size) * config.num_hidden_layers
    rows = sum(tree.rows for tree in trees)
    targets = sum(len(ids) for tree in trees for ids in tree.candidates)
    seen = sum(
        len(tree.prefix) ** 2 / 2 + sum((len(ids) - 1) * (len(tree.prefix) + len(ids) / 2) for ids in tree.candidates)
        for tree in trees
    )
    attention = 4 * heads * size * seen * config.num_hidden_layers
    return 2 * matrices * rows + 2 * config.hidden_size * config.vocab_size * targets + attention


@torch.inference_mode()
def padded(backbone, trees, *, tokens, whole):
    """Right-padded batches of like length; whole: log-softmax over all rows, as trainers do it."""
    model, device = backbone.model, backbone.device
    output = OutputLayer(model)
    texts = [(tree.prefix, ids) for tree in trees for ids in tree.candidates]
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    batches = [[]]
    for i in order:
        if batches[-1] and (len(batches[-1]) + 1) * sum(map(len, texts[i])) > tokens:
            batches.append([])
        batches[-1].append(i)
    found = [None] * len(texts)
    for batch in batches:
        longest = sum(map(len, texts[batch[-1]]))
        rows = [[*texts[i][0], *texts[i][1]] for i in batch]
        ids_BL = torch.tensor([row + [0] * (longest - len(row)) for row in rows]).to(device)
        mask_BL = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]).to(device)
        if whole:
            logits_BLV = model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits[:, :-1]
            logprobs_BL = logits_BLV.float().log_softmax(-1).gather(2, ids_BL[:, 1:, None]).squeeze(2)
            for at, i in enumerate(batch):
                start = len(texts[i][0]) - 1
                found[i] = logprobs_BL[at, start : start + len(texts[i][1])]
            continue
        states_BLE = model.get_decoder()(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).last_hidden_state
        kept = [
            states_BLE[at, len(texts[i][0]) - 1 : len(texts[i][0]) - 1 + len(texts[i][1])] for at, i in enumerate(batch)
        ]
        targets = torch.tensor([token for i in batch for token in texts[i][1]]).to(device)
        logprobs = in_chunks(output, torch.cat(kept), targets, vocabulary=output.vocabulary)
        for i, one in zip(batch, logprobs.split([len(texts[i][1]) for i in batch]), strict=True):
            found[i] = one
    return [one.cpu() for one in found]


def packed(scorer, trees):
    return [ids for tree in scorer.score(trees) for ids in tree]


def measured(shape, device, *, sizes, groups, peak):
    backbone = random_backbone(shape, device, torch.bfloat16)
    config = backbone.model.config
    trees = random_trees(groups, config.vocab_size)
    targets = sum(len(ids) for tree in trees for ids in tree.candidates)
    flops = useful_flops(config, trees)
    print(f"\n{shape}: {groups} groups, {sum(len(t.candidates) for t in trees)} candidates, {targets} target tokens")
    print(f"{'way':<44}{'seconds':>9}{'targets/s':>12}{'TFLOP/s':>9}{'of peak':>9}{'over weights, MiB':>19}")
    results = []

    def row(name, run):
        try:
            run()  # warms up kernels, allocator and compiler
            seconds = min(timed(run, device) for _ in range(3))
        except Exception as error:
            print(f"{name:<44}{type(error).__name__}: {str(error).splitlines()[0][:90]}")
            results.append({"shape": shape, "way": name, "error": f"{type(error).__name__}: {error}"[:500]})
            return
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
        memory = None
        if device.type == "cuda":
            weights = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            run()
            memory = (torch.cuda.max_memory_allocated() - weights) / 2**20
        share = flops / seconds / peak if peak else None
        results.append(
            {"shape": shape, "way": name, "seconds": seconds, "targets_per_s": targets / seconds,
             "flops_per_s": flops / seconds, "of_peak": share, "peak_mib": memory}
        )  # fmt: skip
        print(
            f"{name:<44}{seconds:>9.3f}{targets / seconds:>12.0f}{flops / seconds / 1e12:>9.1f}"
            f"{'' if share is None else f'{share:.1%}':>9}{'' if memory is None else f'{memory:.0f}':>19}",
            flush=True,
        )

    row("padded, full log-softmax", lambda: padded(backbone, trees, tokens=min(sizes[0], 16_384), whole=True))
    row("padded, target rows", lambda: padded(backbone, trees, tokens=min(sizes[-1], 16_384), whole=False))
    for compiled in (False, True):
        for size in sizes:
            scorer = PackedScorer(backbone, batch_tokens=size, compiled=compiled)
            label = f"packed, {size} rows{', compiled' if compiled else ''}"
            row(label, lambda scorer=scorer: packed(scorer, trees))
    row("matrix products alone", lambda: products(config, trees, device, sizes[-1]))
    return results


@torch.inference_mode()
def products(config, trees, device, size):
    """The model's own shapes, as many as `trees` need: what no scorer of this model can beat."""
    rows = sum(tree.rows for tree in trees)
    targets = sum(len(ids) for tree in trees for ids in tree.candidates)
    wide, inner = config.hidden_size, config.intermediate_size
    small = wide // config.num_attention_heads * config.num_key_value_heads
    shapes = [(wide, wide), (small, wide), (small, wide), (wide, wide), (inner, wide), (inner, wide), (wide, inner)]
    weights = [torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in shapes]
    inputs = {
        width: torch.randn(min(size, rows), width, device=device, dtype=torch.bfloat16) for width in (wide, inner)
    }
    head = torch.randn(config.vocab_size, wide, device=device, dtype=torch.bfloat16)
    for _ in range(round(rows / min(size, rows)) * config.num_hidden_layers):
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)
    for _ in range(max(1, round(targets / 1024))):
        torch.nn.functional.linear(inputs[wide][:1024], head)


def timed(run, device):
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - started


def parity(shape, device):
    """Against a plain forward of one candidate at a time: in float32, and the model's own bfloat16 for scale."""
    results = []
    count = 1 if shape == "7b" else 3
    exact_backbone = random_backbone(shape, device, torch.float32)
    trees = random_trees(count, exact_backbone.model.config.vocab_size, seed=9)
    exact = one_at_a_time(exact_backbone, trees)
    torch.backends.cuda.matmul.allow_tf32 = False
    ways = [("packed, float32", exact_backbone, 0), ("packed in packs of 300, float32", exact_backbone, 300)]
    for name, backbone, rows in ways:
        results.append(difference(shape, name, packed_in(backbone, trees, rows), exact))
    half = SimpleNamespace(model=exact_backbone.model.to(torch.bfloat16), device=device, dtype=torch.bfloat16)
    # The float32 weights of the reference are not bfloat16 numbers; the reference is computed again from what is left.
    widened = random_backbone(shape, device, torch.float32)
    widened.model.load_state_dict(half.model.state_dict())
    exact = one_at_a_time(widened, trees)
    del widened
    results.append(difference(shape, "plain, bfloat16", one_at_a_time(half, trees), exact))
    for rows, compiled in ((0, False), (300, False), (0, True)):
        name = f"packed{f' in packs of {rows}' if rows else ''}, bfloat16{', compiled' if compiled else ''}"
        try:
            found = packed_in(half, trees, rows, compiled=compiled)
        except Exception as error:
            print(f"{shape}: {name}: {type(error).__name__}: {str(error).splitlines()[0][:150]}")
            continue
        results.append(difference(shape, name, found, exact))
    return results


def packed_in(backbone, trees, rows, *, compiled=False):
    return packed(PackedScorer(backbone, batch_tokens=rows or 16_384, compiled=compiled), trees)


@torch.inference_mode()
def one_at_a_time(backbone, trees):
    found = []
    for tree in trees:
        for ids in tree.candidates:
            row = torch.tensor([[*tree.prefix, *ids]], device=backbone.device)
            logits = backbone.model(input_ids=row, use_cache=False).logits[0, len(tree.prefix) - 1 : -1]
            found.append(logits.float().log_softmax(-1).gather(1, row[0, len(tree.prefix) :, None]).squeeze(1).cpu())
    return found


def difference(shape, name, found, exact):
    means = torch.tensor([abs(float(a.mean() - b.mean())) for a, b in zip(found, exact, strict=True)])
    tokens = max(float((a - b).abs().max()) for a, b in zip(found, exact, strict=True))
    print(
        f"{shape}: {name:<40} nll off by {means.mean():.2e} (mean), {means.max():.2e} (most); a token by {tokens:.2e}"
    )
    return {"shape": shape, "way": name, "mean": float(means.mean()), "most": float(means.max()), "token": tokens}


if __name__ == "__main__":
    sys.exit(main())
