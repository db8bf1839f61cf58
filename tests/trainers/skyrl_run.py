"""SkyRL's own generator and environments, with an engine that writes what it is told, and its GRPO advantages.

python skyrl_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import sys

import numpy as np
import torch
from byte_tokenizer import byte_tokenizer
from skyrl.backends.skyrl_train.utils.ppo_utils import compute_grpo_outcome_advantage
from skyrl.train.config.config import GeneratorConfig, SkyRLGymConfig
from skyrl.train.generators.base import TrajectoryID
from skyrl.train.generators.skyrl_gym_generator import SkyRLGymGenerator

from rewright.clients.adapters.skyrl import rewarded


class Engine:
    """Writes the texts that it is told, one a trajectory."""

    def __init__(self, texts, tokenizer):
        self.texts, self.tokenizer = list(texts), tokenizer

    async def generate(self, asked, model=None):
        text = self.texts[int(asked["session_ids"][0].rpartition("_")[2])]
        return {"responses": [text], "response_ids": [self.tokenizer.encode(text)], "stop_reasons": ["stop"]}

    async def finish_session(self, session):
        pass


def advantages_of(rewards):
    told = compute_grpo_outcome_advantage(
        torch.tensor(rewards)[:, None], torch.ones(len(rewards), 1), np.array(["g"] * len(rewards))
    )
    return told[0][:, 0].tolist()


async def main(url, cases, settings):
    tokenizer = byte_tokenizer()
    told = {}
    for name, texts in cases.items():
        generator = rewarded(url, SkyRLGymGenerator, **settings)(
            generator_cfg=GeneratorConfig(max_input_length=999),
            skyrl_gym_cfg=SkyRLGymConfig(),
            inference_engine_client=Engine(texts, tokenizer),
            tokenizer=tokenizer,
        )
        batch = {
            "prompts": [[{"role": "user", "content": "rewrite"}]] * len(texts),
            "env_classes": ["rewright"] * len(texts),
            "env_extras": [{"problem": "p", "reference": "r"} for _ in texts],
            "trajectory_ids": [TrajectoryID(name, k) for k in range(len(texts))],
            "sampling_params": None,
        }
        try:
            output = await generator.generate(batch, disable_tqdm=True)
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        assert "rewright/v_ans" in output["rollout_metrics"]
        trained_on = [any(mask) for mask in output["loss_masks"]]
        assert trained_on == [name == "all scored"] * len(texts)
        told[name] = {"rewards": output["rewards"], "advantages": advantages_of(output["rewards"])}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
