"""OpenRLHF's own agent executor, loaded as its engine loads it, and its group normalisation.

python openrlhf_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import sys
from types import SimpleNamespace

import torch
from openrlhf.utils.agent import AgentExecutorBase

from rewright.clients.adapters.openrlhf import agent_executor


class Bytes:
    """A tokenizer of bytes."""

    def __call__(self, *, text, add_special_tokens, return_tensors):
        return {"input_ids": torch.tensor([list(text.encode())])}

    def decode(self, ids, *, skip_special_tokens):
        return bytes(ids).decode()


class Engine:
    """Generates the texts that it is told, one a call."""

    def __init__(self, texts):
        self.texts = list(texts)

    async def generate(self, prompt_token_ids, sampling_params, multi_modal_data=None):
        text = self.texts.pop(0)
        output = SimpleNamespace(token_ids=list(text.encode()), text=text, finish_reason="stop", logprobs=None)
        return SimpleNamespace(outputs=[output])


async def main(url, cases, settings):
    executor = agent_executor(url, size=4, **settings)()
    assert isinstance(executor, AgentExecutorBase)
    label = json.dumps({"problem": "p", "reference": "r"})
    told = {}
    for name, texts in cases.items():
        engine, parameters = Engine(texts), SimpleNamespace(max_tokens=99, logprobs=None)
        try:
            calls = [executor.execute(name, label, parameters, 999, Bytes(), engine) for _ in texts]
            outputs = await asyncio.gather(*calls)
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        rewards = torch.tensor([output["reward"] for output in outputs])
        # experience_maker.py, advantage estimator group_norm.
        advantages = (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-9)
        assert all(isinstance(value, float) for output in outputs for value in output["extra_logs"].values())
        told[name] = {"rewards": rewards.tolist(), "advantages": advantages.tolist()}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
