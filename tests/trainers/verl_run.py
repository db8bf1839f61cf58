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
        {"responses": ids[None], "prompts": torch.tensor([[1]]), "attention_mask": torch.ones(1, len(ids) + 1)},
        batch_size=1,
    )
    columns = {"uid": group, "session_id": session, "extra_info": {"problem": "p", "reference": "r"}}
    return DataProto(batch=batch, non_tensor_batch={k: np.array([v], dtype=object) for k, v in columns.items()})


async def main(url, cases, settings):
    file = Path(tempfile.mkdtemp()) / "rewright_verl.py"
    file.write_text(
        "from rewright.clients.adapters.verl import reward_manager\n"
        f"Rewright = reward_manager({url!r}, **{settings!r})\n"
    )
    config = OmegaConf.create(
        {
            "reward": {"reward_manager": {"source": "importlib", "name": "Rewright", "module": {"path": str(file)}}},
            "actor_rollout_ref": {"rollout": {"n": 4, "val_kwargs": {"n": 1}}},
        }
    )
    told = {}
    for name, texts in cases.items():
        manager = load_reward_manager(config, Bytes())
        try:
            calls = [manager.run_single(sample(text, k, name + url)) for k, text in enumerate(texts)]
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


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
