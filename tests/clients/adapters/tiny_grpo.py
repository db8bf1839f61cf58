"""TRL's own GRPOTrainer on a random model of a few thousand weights, rewarded over HTTP.

As a program, one rank of several (gloo): trains with whole groups per rank, then tries with half a group a rank, and
writes what it saw to FOLDER/rank-N.json.

    python -m torch.distributed.run --nproc_per_node 2 -m tests.clients.adapters.tiny_grpo URL FOLDER
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rewright.clients.adapters.groups import PartialGroup
from rewright.clients.adapters.trl import RewardFunction
from tests.service.scorers.tiny_models import TRIMS_AND_PRINTS_THE_DATE, tiny_model, tiny_tokenizer

PROBLEMS = ["How many legs has a spider?", "What is 6 times 7?", "Name the third prime.", "Halve 90."]


def dataset(*, conversational: bool) -> Dataset:
    rows = [
        {
            "prompt": [{"role": "user", "content": problem}] if conversational else problem,
            "problem": problem,
            "reference": f"It is {n}.",
            "answer": str(n),
        }
        for n, problem in enumerate(PROBLEMS)
    ]
    return Dataset.from_list(rows)


def trainer(rewards: RewardFunction, folder: Path, *, conversational: bool = True, **changes: Any) -> GRPOTrainer:
    settings = {
        "output_dir": str(folder), "num_generations": 4, "per_device_train_batch_size": 8, "max_steps": 2,
        "max_completion_length": 6, "learning_rate": 1e-3, "use_cpu": True, "report_to": [], "save_strategy": "no",
        "logging_steps": 1, "disable_tqdm": True, "bf16": False, "seed": 3, "gradient_checkpointing": False,
    }  # fmt: skip
    return GRPOTrainer(
        tiny_model("llama").requires_grad_(True),
        reward_funcs=rewards,
        args=GRPOConfig(**(settings | changes)),
        train_dataset=dataset(conversational=conversational),
        processing_class=tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE),
    )


def seen(trained: GRPOTrainer) -> dict[str, Any]:
    """What TRL's own log holds of the last step, over all ranks."""
    logs = trained._logs
    return {
        "problems": [prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in logs["prompt"]],
        "completions": [c if isinstance(c, str) else c[0]["content"] for c in logs["completion"]],
        "rewards": list(logs["rewards"]["rewright"]),
        "advantages": list(logs["advantages"]),
        "extra": {column: list(values) for column, values in logs["extra"].items()},
        "history": trained.state.log_history,
    }


def one_rank(url: str, folder: Path) -> None:
    rewards = RewardFunction(url, num_generations=4, patience_s=30)
    whole = trainer(rewards, folder / "whole", per_device_train_batch_size=4)
    whole.train()
    half = trainer(
        RewardFunction(url, num_generations=8), folder / "half", per_device_train_batch_size=4, num_generations=8
    )
    try:
        half.train()
        refused = ""
    except PartialGroup as error:
        refused = str(error)
    report = {**seen(whole), "refused": refused, "world": whole.accelerator.num_processes}
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    one_rank(sys.argv[1], Path(sys.argv[2]))
