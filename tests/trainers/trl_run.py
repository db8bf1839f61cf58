"""TRL's own GRPOTrainer before 1.16, inside its environment: what it makes of a group whose texts are given.

python trl_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import json
import math
import sys
import tempfile

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rewright.clients.adapters.blocking import BlockingRewardFunction
from tests.trainers.byte_tokenizer import byte_tokenizer
from tests.trainers.tiny_gpt2 import said, tiny_gpt2

ROW = {"prompt": [{"role": "user", "content": "x"}], "problem": "p", "reference": "r"}


def says(texts, tokenizer):
    """`generate` of a model that says these texts, whatever it is asked."""
    _, told = said(texts, tokenizer)
    return lambda input_ids, **_: torch.cat([input_ids, told], dim=1)


def main(url, cases, settings):
    tokenizer = byte_tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            tiny_gpt2(tokenizer),
            reward_funcs=[BlockingRewardFunction(url, num_generations=4, **settings)],
            args=GRPOConfig(
                output_dir=folder, num_generations=4, per_device_train_batch_size=4, max_completion_length=64,
                max_prompt_length=None, report_to=[], use_cpu=True, bf16=False,
            ),
            train_dataset=Dataset.from_list([ROW]),
            processing_class=tokenizer,
        )  # fmt: skip
        logs = getattr(trainer, "_logs", None) or trainer._textual_logs
        told = {}
        for name, texts in cases.items():
            trainer.model.generate = says(texts, tokenizer)
            try:
                scored = trainer._generate_and_score_completions([dict(ROW) for _ in range(4)])
            except Exception as error:
                told[name] = {"raised": type(error).__name__}
                continue
            # A row that no function scores counts as 0 in its sum over functions.
            rewards = [0.0 if math.isnan(r) else r for r in list(logs["rewards"]["rewright"])[-4:]]
            told[name] = {"rewards": rewards, "advantages": scored["advantages"].tolist()}
    print(json.dumps(told))


main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
