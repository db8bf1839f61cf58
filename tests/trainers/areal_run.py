"""AReaL's own workflow, grouped as its engine does it, and its group normalisation.

python areal_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import logging
import sys

from areal.api import ModelResponse
from areal.api.cli_args import GenerationHyperparameters, NormConfig
from areal.infra.remote_inf_engine import GroupedRolloutWorkflow
from areal.utils.data import Normalization
from byte_tokenizer import byte_tokenizer

from rewright.clients.adapters.areal import workflow


class Engine:
    """Writes the texts that it is told, one a call."""

    def __init__(self, texts, tokenizer):
        self.texts, self.tokenizer = list(texts), tokenizer

    async def agenerate(self, req):
        ids = self.tokenizer.encode(self.texts.pop(0))
        return ModelResponse(req.input_ids, ids, [0.0] * len(ids), [0] * len(ids))


async def main(url, cases, settings):
    tokenizer = byte_tokenizer()
    told = {}
    for name, texts in cases.items():
        one = workflow(url, **settings)(gconfig=GenerationHyperparameters(n_samples=len(texts)), tokenizer=tokenizer)
        grouped = GroupedRolloutWorkflow(one, len(texts), logging.getLogger("areal"))
        row = {"messages": [{"role": "user", "content": "rewrite"}], "problem": "p", "reference": "r"}
        try:
            result = await grouped.arun_episode(Engine(texts, tokenizer), row)
        except Exception as error:
            told[name] = {"raised": type(error).__name__}
            continue
        if result is None:
            told[name] = {"rejected": True}
            continue
        norm = Normalization(NormConfig(mean_level="group", std_level="group", group_size=len(texts)))
        told[name] = {"rewards": result["rewards"].tolist(), "advantages": norm(result["rewards"]).tolist()}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
