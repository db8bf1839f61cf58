"""verl's own data, manager loading and GRPO advantages, inside verl's environment.

python verl_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.trainer.ppo.reward import load_reward_manager


class Bytes:
    """A tokenizer of bytes."""

    def decode(self, ids, *, skip_special_tokens):
        return bytes(int(i) for i in ids).decode()


def sample(text, session, group):
    ids = torch.tensor(list(text.encode()))
    batch = TensorDict(
        {
            "responses": ids[None],
            "prompts": torch.tensor([[1]]),
            "attention_mask": torch.ones(1, len(ids) + 1, dtype=torch.long),
        },
        batch_size=1,
    )
    columns = {
        "uid": group,
        "session_id": session,
        "data_source": "rewrites",
        "reward_model": {"ground_truth": None},
        "extra_info": {"problem": "p", "reference": "r"},
    }
    return DataProto(batch=batch, non_tensor_batch={k: np.array([v], dtype=object) for k, v in columns.items()})


def configured(**reward):
    rollout = {"n": 4, "val_kwargs": {"n": 1}}
    return OmegaConf.create({"reward": reward, "actor_rollout_ref": {"rollout": rollout}})


def user_file(content):
    file = Path(tempfile.mkdtemp()) / "rewright_verl.py"
    file.write_text(content)
    return str(file)


def manager(url, settings):
    path = user_file(
        "from rewright.clients.adapters.verl import reward_manager\n"
        f"Rewright = reward_manager({url!r}, **{settings!r})\n"
    )
    return configured(reward_manager={"source": "importlib", "name": "Rewright", "module": {"path": path}})


async def main(config_of, url, cases, settings):
    told = {}
    for name, texts in cases.items():
        managing = load_reward_manager(config_of(url, settings), Bytes())
        try:
            calls = [managing.run_single(sample(text, k, name + url)) for k, text in enumerate(texts)]
            outputs = await asyncio.gather(*calls)
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        rewards = [output["reward_score"] for output in outputs]
        assert len({tuple(output["reward_extra_info"]) for output in outputs}) == 1
        advantages, _ = compute_grpo_outcome_advantage(
            torch.tensor(rewards)[:, None], torch.ones(len(rewards), 1), np.array(["g"] * len(rewards))
        )
        told[name] = {"rewards": rewards, "advantages": advantages[:, 0].tolist()}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(manager, sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
