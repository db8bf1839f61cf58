"""ms-swift's own `compute_rewards_per_func` and `compute_advantages`, inside its environment.

python ms_swift_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import json
import sys
from types import SimpleNamespace

import torch
from swift.rewards import orms
from swift.rl_core.advantage import compute_advantages
from swift.rl_core.data import GRPOSample
from swift.rl_core.grpo_algorithm import compute_rewards_per_func

from rewright.clients.adapters.blocking import ms_swift_reward


def main(url, cases, settings):
    orms["rewright"] = ms_swift_reward(url, **settings)
    told = {}
    for name, texts in cases.items():
        rewards = orms["rewright"](args=SimpleNamespace(num_generations=4))
        samples = [
            GRPOSample.from_row(
                {
                    "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": text}],
                    "prompt_id": name,
                    "request_id": f"{name}-{k}",
                    "problem": "p",
                    "reference": "r",
                }
            )
            for k, text in enumerate(texts)
        ]
        try:
            per_function = compute_rewards_per_func(samples, [rewards], [None], torch.device("cpu"))
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        advantages, summed = compute_advantages(per_function, torch.ones(1), 4)
        told[name] = {"rewards": summed.tolist(), "advantages": advantages.tolist()}
    print(json.dumps(told))


main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
