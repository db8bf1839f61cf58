"""The train part of a GRPO step, reference, forward and backward, by TRL's own trainer and by ours: one table.

    python tests/bench/grpo.py [--groups 2] [--sizes 8 10] [--prompt rewrite-small-v1] [--repeats 1] [--out FILE]

Real problems and solutions (../shared/data/train_pool.jsonl) in the rewriting prompt, the embedded 135M model with the
recipe's LoRA in float32, one group a micro-batch. Rollouts are given: the solution's own tokens, cut or repeated to 60
to 140 % of its length, so that both trainers get the same and nothing is generated. Each row runs in a process of its
own: `memory` is what its peak is over what it needs after loading. `tokens` are those that go through the model's
layers, the reference's among them. Gradients are those that the optimizer would get, all LoRA weights together.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "train_pool.jsonl"
TRAINERS = {"trl": "TRL's trainer", "shared": "each prompt once"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 10])
    parser.add_argument("--prompt", default="rewrite-small-v1")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--row", choices=TRAINERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not DATA.is_file():
        print(f"the public test data is absent: {DATA.name} is expected in ../shared/data beside the checkout")
        return 1
    if options.row:
        logging.basicConfig()
        logging.getLogger("rewright").setLevel(logging.INFO)
        print(json.dumps(row(options.row, options, options.sizes[0])))
        return 0
    results = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            pair = {}
            for name in TRAINERS:
                out = Path(folder) / f"{name}.pt"
                command = [sys.executable, __file__, "--row", name, "--sizes", str(size), "--out", str(out)]
                command += ["--groups", str(options.groups), "--prompt", options.prompt]
                command += ["--repeats", str(options.repeats)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=_env())
                pair[name] = {"size": size, **json.loads(done.stdout.splitlines()[-1])}
                print(f"K = {size}, {name}: {pair[name]['seconds']:.1f} s", file=sys.stderr, flush=True)
            pair["shared"]["apart"] = apart(*(Path(folder) / f"{name}.pt" for name in TRAINERS))
        results.append(pair)
    _print(results, options)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))
    return 0


def row(name, options, size):
    """One trainer's step, timed."""
    import torch

    groups = rollouts(options.groups, size, options.prompt)
    trainer, counted = made(name, groups, size)
    batch = [{"prompt": group["prompt"], "row": n} for n, group in enumerate(groups) for _ in range(size)]
    _give_the_adapter_something_to_do(trainer.model)
    _warm_up(trainer)
    before = _resident()
    seconds, used = [], []
    for _ in range(options.repeats):
        trainer.model.zero_grad()
        counted.clear()
        torch.manual_seed(3)
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.groups):
            trainer.training_step(trainer.model, batch, None)
        seconds.append(time.perf_counter() - start)
        used.append(time.process_time() - cpu)
    gradients = {name: w.grad for name, w in trainer.model.named_parameters() if w.grad is not None}
    torch.save(gradients, options.out)
    prompt = sum(len(group["prompt_ids"]) for group in groups) / len(groups)
    response = [len(ids) for group in groups for ids in group["responses"]]
    return {
        "seconds": min(seconds), "cpu": min(used), "tokens": sum(counted), "memory": _peak() - before,
        "prompt": prompt, "response": sum(response) / len(response), "gradients": len(gradients),
        "load": os.getloadavg()[0],
    }  # fmt: skip


def rollouts(groups, size, prompt_file):
    """Real prompts and the ids of `size` responses to each, the same in every process."""
    import random

    from rewright.trainer.data.prompts import rewriting_prompt
    from rewright.trainer.models.policy import load_tokenizer, locate
    from rewright.trainer.recipes.blocks import Backbone

    tokenizer = load_tokenizer(locate(Backbone(model="embedded")))
    prompt = rewriting_prompt(prompt_file)
    with DATA.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = []
    for sample in random.Random(7).sample(rows, groups):
        turns = [{"role": "user", "content": prompt.fill(problem=sample["problem"], solution=sample["solution"])}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        solution = tokenizer(sample["solution"], add_special_tokens=False)["input_ids"]
        draw = random.Random(sample["id"])
        lengths = [max(1, round(len(solution) * draw.uniform(0.6, 1.4))) for _ in range(size)]
        responses = [[*(solution * 2)[: length - 1], tokenizer.eos_token_id] for length in lengths]
        found.append({"prompt": turns, "prompt_ids": ids, "responses": responses})
    return found


def made(name, groups, size):
    """The trainer, and a list that grows by the tokens that go through the model's layers."""
    import torch
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    from rewright.trainer.grpo.trainer import SharedPromptTrainer
    from rewright.trainer.models.policy import load_model, load_tokenizer, locate, lora_config
    from rewright.trainer.recipes.blocks import Backbone, Lora

    def given(prompts, trainer):
        drawn = iter(ids for group in groups for ids in group["responses"])
        return {
            "prompt_ids": [group["prompt_ids"] for group in groups for _ in range(size)],
            "completion_ids": list(drawn),
            "logprobs": None,
        }

    def reward(completions, **_):
        return torch.linspace(0, 1, len(completions)).tolist()

    backbone = Backbone(model="embedded", device="cpu", precision="float32")
    located = locate(backbone)
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), num_generations=size, per_device_train_batch_size=size,
        gradient_accumulation_steps=len(groups), beta=0.001, use_cpu=True, bf16=False, report_to=[],
        loss_type="grpo", gradient_checkpointing=False, max_completion_length=4096, seed=17,
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": group["prompt"]} for group in groups])
    kind = SharedPromptTrainer if name == "shared" else GRPOTrainer
    trainer = kind(
        model=load_model(located, backbone), reward_funcs=reward, args=config, train_dataset=data,
        processing_class=load_tokenizer(located), peft_config=lora_config(Lora()), rollout_func=given,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = len(groups)
    trainer.model.train()
    counted = []
    body = trainer.model.get_base_model().model
    body.register_forward_pre_hook(
        lambda _module, _tensors, named: counted.append(named["input_ids"].numel()), with_kwargs=True
    )
    return trainer, counted


def apart(one, other):
    """How far the gradients of two trainers lie apart, over their length; and the worst of one weight's."""
    import torch

    right, found = torch.load(one), torch.load(other)
    assert right.keys() == found.keys()
    length = sum(float(g.square().sum()) for g in right.values()) ** 0.5
    off = {name: float((right[name] - found[name]).square().sum()) ** 0.5 for name in right}
    worst = max(off[name] / float(right[name].square().sum()) ** 0.5 for name in right)
    return {"all": sum(o**2 for o in off.values()) ** 0.5 / length, "worst": worst}


def _give_the_adapter_something_to_do(model):
    """As after some steps: fresh LoRA has B = 0, and then no gradient of A could be wrong."""
    import torch

    draw = torch.Generator().manual_seed(5)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.01, generator=draw)


def _warm_up(trainer):
    """Also where our trainer measures itself."""
    import torch

    ids = torch.arange(2 * 40).view(2, 40) % 30 + 100
    ids[1, :20] = ids[0, :20]
    found = trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 20)
    found[0].sum().backward()


def _resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _env():
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": path}


def _print(results, options):
    first = results[0]["trl"]
    print(
        f"{options.groups} groups a step, prompt {options.prompt}: {first['prompt']:.0f} tokens, "
        f"responses {first['response']:.0f}, float32, LoRA r 64 on all linear layers"
    )
    print(f"{'K':>3} {'':<20}{'tokens':>8}{'seconds':>9}{'CPU s':>8}{'memory MiB':>12}{'gradients apart (worst)':>26}")
    for pair in results:
        for name, title in TRAINERS.items():
            row = pair[name]
            off = f"{row['apart']['all']:.1e} ({row['apart']['worst']:.1e})" if "apart" in row else ""
            print(
                f"{row['size']:>3} {title:<20}{row['tokens']:>8}{row['seconds']:>9.1f}{row['cpu']:>8.1f}"
                f"{row['memory']:>12.0f}{off:>26}"
            )
        trl, ours = pair["trl"], pair["shared"]
        print(
            f"    {trl['seconds'] / ours['seconds']:.2f} times faster ({trl['cpu'] / ours['cpu']:.2f} by CPU time), "
            f"{ours['memory'] / trl['memory']:.0%} of the memory, {ours['tokens'] / trl['tokens']:.0%} of the tokens"
        )
    loads = [pair[name]["load"] for pair in results for name in TRAINERS]
    print(f"{os.cpu_count()} cores, load {min(loads):.1f} to {max(loads):.1f}")


if __name__ == "__main__":
    sys.exit(main())
