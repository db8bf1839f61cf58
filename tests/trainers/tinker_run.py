"""The Tinker cookbook's own group rollout and advantages, with a policy that writes what it is told.

python tinker_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import sys
from dataclasses import dataclass

import tinker
from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs
from tinker_cookbook.renderers.base import ParseTermination
from tinker_cookbook.rl.data_processing import compute_advantages
from tinker_cookbook.rl.problem_env import ProblemEnv, ProblemGroupBuilder
from tinker_cookbook.rl.rollouts import do_group_rollout

from rewright.clients.adapters.tinker import GroupRewards


class Bytes:
    """A renderer of bytes."""

    def get_stop_sequences(self):
        return []

    def build_generation_prompt(self, messages):
        return tinker.ModelInput.empty()

    def parse_response(self, tokens):
        return {"role": "assistant", "content": bytes(tokens).decode()}, ParseTermination.STOP_SEQUENCE


class Rewrite(ProblemEnv):
    def get_question(self):
        return "rewrite"

    def check_answer(self, sample_str):
        return False

    def check_format(self, sample_str):
        return True

    def get_reference_answer(self):
        return ""


@dataclass(frozen=True)
class Rewrites(ProblemGroupBuilder):
    rewards: GroupRewards | None = None

    async def compute_group_rewards(self, trajectory_group, env_group):
        return await self.rewards({"problem": "p", "reference": "r"}, trajectory_group, env_group)


class Told(TokenCompleter):
    def __init__(self, texts):
        self.texts = list(texts)

    async def __call__(self, model_input, stop, *, max_tokens=None):
        ids = list(self.texts.pop(0).encode())
        return TokensWithLogprobs(tokens=ids, maybe_logprobs=[0.0] * len(ids))


async def main(url, cases, settings):
    told = {}
    for name, texts in cases.items():
        builder = Rewrites(
            env_thunk=lambda: Rewrite(Bytes(), format_coef=0.0),
            num_envs=len(texts),
            rewards=GroupRewards(url, **settings),
        )
        try:
            group = await do_group_rollout(builder, Told(texts))
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        (advantages,) = compute_advantages([group])
        told[name] = {"rewards": group.get_total_rewards(), "advantages": advantages.tolist()}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
