"""The train part of a GRPO step on a GPU, by TRL's own trainer and by ours, on random models of real shapes.

    python tests/bench/grpo_gpu.py [--smoke] [--shapes 0.5b] [--sizes 8 10] [--groups 4] [--out FOLDER]

Needs torch, transformers, accelerate, datasets, peft and trl beside the checkout; no weights are downloaded. One group
a micro-batch, bfloat16, LoRA of rank 64, β > 0; lengths are drawn around those of rewriting prompts (each holds a
problem and a whole solution) and of rewrites. A step is reference, forward and backward; rollouts and rewards are
given. What our trainer says of its own measurement stands between the rows.

Then gradients: of both trainers in bfloat16 against TRL's in float32, and in float32 against one another. Then a
profile of one step of each. --smoke runs a tiny shape anywhere, to see that it works.
"""

import argparse
import gc
import importlib.metadata
import json
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from rewright.trainer.grpo.trainer import SharedPromptTrainer

SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 1000, "tie_word_embeddings": True},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True},
    "7b": {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": False},
}  # fmt: skip
LENGTHS = {"short": (420, 260), "long": (1200, 900), "tiny": (40, 20)}
"""Mean tokens of prompt and response: solutions of grade school and of competitions."""
TRAINERS = {"TRL": GRPOTrainer, "ours": SharedPromptTrainer}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 10])
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if DEVICE.type == "cpu" and not options.smoke:
        print("no GPU here; --smoke runs a tiny shape on the CPU")
        return 1
    logging.basicConfig(format="  %(message)s", stream=sys.stdout)
    logging.getLogger("rewright").setLevel(logging.INFO)
    shapes = options.shapes or (["tiny"] if options.smoke else ["0.5b"])
    lengths = options.lengths or (["tiny"] if options.smoke else ["short", "long"])
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    versions = {package: importlib.metadata.version(package) for package in ("torch", "transformers", "trl", "peft")}
    print(f"{name}; {versions}; {options.groups} groups a step, one a micro-batch")
    report = {"device": name, "versions": versions, "steps": [], "gradients": []}
    for shape in shapes:
        for case in lengths:
            # Gradients first: they are what a run that is cut short must have shown.
            report["gradients"].append(gradients(shape, case))
            for size in options.sizes:
                for checkpointing in (False, True):
                    report["steps"] += steps(shape, case, size, checkpointing, options)
                    if options.out:
                        options.out.mkdir(parents=True, exist_ok=True)
                        (options.out / "grpo_gpu.json").write_text(json.dumps(report, indent=1))
        profiled(shape, lengths[0], options)
    return 0


def steps(shape, case, size, checkpointing, options):
    """The timed steps of both trainers."""
    found = []
    for name in TRAINERS:
        step, counted = prepared(name, shape, case, size, options.groups, checkpointing=checkpointing)
        step()
        seconds = []
        reset_peak()
        weights = allocated()
        for _ in range(options.repeats):
            counted.clear()
            seconds.append(timed(step))
        found.append({
            "shape": shape, "lengths": case, "K": size, "checkpointing": checkpointing, "trainer": name,
            "tokens": sum(counted), "seconds": min(seconds), "peak_gib": (peak() - weights) / 2**30,
        })  # fmt: skip
        del step
        forget()
    trl, ours = found
    for each in found:
        print(
            f"{shape} {case:<6} K {size:>2} checkpointing {checkpointing!s:<6}{each['trainer']:<5}"
            f"{each['tokens']:>9} tokens {each['seconds']:>8.3f} s {each['peak_gib']:>7.2f} GiB over weights"
        )
    memory = ours["peak_gib"] / max(trl["peak_gib"], 1e-9)
    print(
        f"  {trl['seconds'] / ours['seconds']:.2f} times faster, {memory:.0%} of the memory, "
        f"{ours['tokens'] / trl['tokens']:.0%} of the tokens",
        flush=True,
    )
    return found


def gradients(shape, case):
    """How far the gradients of a step lie apart, as the length of the difference over the length."""
    made = {}
    for precision in ("float32", "bfloat16"):
        for name in TRAINERS:
            step, _ = prepared(name, shape, case, 8, 2, checkpointing=True, precision=precision)
            made[name, precision] = [g.float().cpu() for g in step()]
            del step
            forget()
    right = made["TRL", "float32"]
    row = {
        "shape": shape, "lengths": case,
        "float32, ours against TRL's": apart(right, made["ours", "float32"]),
        "bfloat16, TRL's against float32": apart(right, made["TRL", "bfloat16"]),
        "bfloat16, ours against float32": apart(right, made["ours", "bfloat16"]),
        "bfloat16, ours against TRL's": apart(made["TRL", "bfloat16"], made["ours", "bfloat16"]),
    }  # fmt: skip
    print("gradients apart: " + ", ".join(f"{k}: {v if isinstance(v, str) else f'{v:.1e}'}" for k, v in row.items()))
    return row


def profiled(shape, case, options):
    """Where a step's time goes."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if DEVICE.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    by = "self_device_time_total" if DEVICE.type == "cuda" else "self_cpu_time_total"
    for name in TRAINERS:
        step, _ = prepared(name, shape, case, options.sizes[-1], options.groups, checkpointing=False)
        step()
        with torch.profiler.profile(activities=activities) as profile:
            timed(step)
        table = profile.key_averages().table(sort_by=by, row_limit=22, max_name_column_width=60)
        print(f"profile of a step, {name}, {shape} {case} K {options.sizes[-1]}\n{table}")
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / f"profile-{name}.txt").write_text(table)
        del step
        forget()


def prepared(name, shape, case, size, groups, *, checkpointing, precision="bfloat16"):
    """A function that runs one step and gives the adapter's gradients; and a list of the tokens of each forward."""
    drawn = rollouts(case, size, groups, SHAPES[shape]["vocab_size"])
    precision = precision if DEVICE.type == "cuda" else "float32"

    def given(prompts, trainer):
        return {
            "prompt_ids": [prompt for prompt, responses in drawn for _ in responses],
            "completion_ids": [ids for _, responses in drawn for ids in responses],
            "logprobs": None,
        }

    def reward(completions, **_):
        return torch.linspace(0, 1, len(completions)).tolist()

    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), num_generations=size, per_device_train_batch_size=size,
        gradient_accumulation_steps=groups, beta=0.001, use_cpu=DEVICE.type == "cpu", bf16=precision == "bfloat16",
        report_to=[], loss_type="grpo", gradient_checkpointing=checkpointing, max_completion_length=8192, seed=17,
    )  # fmt: skip
    trainer = TRAINERS[name](
        model=random_model(shape, getattr(torch, precision)), reward_funcs=reward, args=config,
        train_dataset=Dataset.from_list([{"prompt": "p"}] * groups), processing_class=words(), rollout_func=given,
        peft_config=LoraConfig(r=64, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = groups
    model = trainer.model.train()
    adapter = [(weight, "lora_B" in each) for each, weight in model.named_parameters() if weight.requires_grad]
    draw = torch.Generator().manual_seed(5)
    for weight, is_b in adapter:
        if is_b:  # as after some steps: fresh LoRA has B = 0, and then no gradient of A could be wrong
            weight.data.copy_(torch.randn(weight.shape, generator=draw) * 0.01)
    counted = []
    model.get_base_model().model.register_forward_pre_hook(
        lambda _module, _tensors, named: counted.append(named["input_ids"].numel()), with_kwargs=True
    )
    batch = [{"prompt": "p"}] * (groups * size)

    def step():
        model.zero_grad()
        torch.manual_seed(3)
        for _ in range(groups):
            trainer.training_step(model, batch, None)
        return [weight.grad for weight, _ in adapter]

    return step, counted


def rollouts(case, size, groups, vocabulary):
    """Prompts and responses of unlike lengths, the same for both trainers."""
    draw = random.Random(9)
    prompt, response = LENGTHS[case]

    def ids(mean):
        return [draw.randrange(5, vocabulary) for _ in range(round(mean * draw.uniform(0.6, 1.4)))]

    return [(ids(prompt), [[*ids(response), 1] for _ in range(size)]) for _ in range(groups)]


def random_model(shape, dtype):
    torch.manual_seed(5)
    config = Qwen2Config(
        **SHAPES[shape], max_position_embeddings=32_768, rope_theta=1_000_000.0, attn_implementation="sdpa",
        initializer_range=0.04,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(DEVICE):
            return Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def words():
    """A tokenizer that TRL can decode with; ids are given, so no text is ever tokenized with it."""
    backend = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def apart(right, found):
    length = sum(float(g.square().sum()) for g in right) ** 0.5
    return sum(float((a - b).square().sum()) for a, b in zip(right, found, strict=True)) ** 0.5 / length


def timed(step):
    synchronise()
    start = time.perf_counter()
    step()
    synchronise()
    return time.perf_counter() - start


def synchronise():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def reset_peak():
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak():
    return torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else 0


def allocated():
    return torch.cuda.memory_allocated() if DEVICE.type == "cuda" else 0


def forget():
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
