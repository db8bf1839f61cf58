"""Axolotl's own reward worker, a child process, and what its GRPO trainer makes of the rewards, inside its environment.

python axolotl_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import json
import math
import sys
import tempfile

import torch
from axolotl.core.trainers.grpo.fast_async_trainer import FastAsyncGRPOConfig, FastAsyncGRPOTrainer
from datasets import Dataset

from rewright.clients.adapters.blocking import BlockingRewardFunction
from tests.trainers.byte_tokenizer import byte_tokenizer
from tests.trainers.tiny_gpt2 import said, tiny_gpt2

PROMPT = [{"role": "user", "content": "x"}]
ROW = {"prompt": PROMPT, "problem": "p", "reference": "r"}


def deferred(texts, tokenizer):
    """A generated batch that awaits its scores."""
    prompt = tokenizer.apply_chat_template(PROMPT, return_tensors="pt", add_generation_prompt=True, return_dict=True)
    prompt_ids = prompt["input_ids"].repeat(len(texts), 1)
    rows, completion_ids = said(texts, tokenizer)
    lengths = torch.tensor([len(row) for row in rows])
    return {
        "_deferred_inputs": [dict(ROW) for _ in texts],
        "_deferred_prompts": [PROMPT for _ in texts],
        "_deferred_completions": [[{"role": "assistant", "content": text}] for text in texts],
        "_deferred_completion_ids_list": [row.tolist() for row in rows],
        "_pending_policy_logps": True,
        "prompt_ids": prompt_ids,
        "prompt_mask": torch.ones_like(prompt_ids),
        "completion_ids": completion_ids,
        "completion_mask": (torch.arange(completion_ids.shape[1])[None] < lengths[:, None]).long(),
        "num_items_in_batch": lengths.sum(),
    }


def main(url, cases, settings):
    tokenizer = byte_tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        trainer = FastAsyncGRPOTrainer(
            tiny_gpt2(tokenizer),
            reward_funcs=[BlockingRewardFunction(url, num_generations=4, **settings)],
            args=FastAsyncGRPOConfig(
                output_dir=folder, num_generations=4, per_device_train_batch_size=4, max_completion_length=64,
                reward_num_workers=2, report_to=[], use_cpu=True, bf16=False,
            ),
            train_dataset=Dataset.from_list([ROW]),
            processing_class=tokenizer,
        )  # fmt: skip
        # Axolotl 0.19.0 reads two numbers here that the TRL it asks for no longer keeps.
        trainer.eos_token_id, trainer.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        told = {}
        for name, texts in cases.items():
            batch = deferred(texts, tokenizer)
            try:
                scored = trainer._compute_deferred_scores(batch)
            except Exception as error:
                told[name] = {"raised": type(error).__name__}
                continue
            # A row that no function scores counts as 0 in its sum over functions.
            rewards = [0.0 if math.isnan(r) else r for r in list(trainer._logs["rewards"]["rewright"])[-4:]]
            told[name] = {"rewards": rewards, "advantages": scored["advantages"].tolist()}
        trainer._shutdown_reward_workers()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
