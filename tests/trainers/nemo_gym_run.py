"""NeMo-Gym's own resources server over HTTP, asked as its simple agent asks it.

python nemo_gym_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import statistics
import sys

import httpx
from nemo_gym.base_resources_server import BaseResourcesServerConfig

from rewright.clients.adapters.nemo_gym import FAILURE, resources_server


def rollout(name, number, text):
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "responses_create_params": {"input": [{"role": "user", "content": "rewrite"}]},
        "response": {
            "id": f"{name}{number}",
            "created_at": 0,
            "model": "m",
            "object": "response",
            "output": [message],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        },
        "problem": name,
        "reference": "r",
        "_ng_task_index": 7,
    }


async def verified(transport, body):
    async with httpx.AsyncClient(transport=transport, base_url="http://gym", timeout=60) as http:
        await http.post("/seed_session", json={})
        return await http.post("/verify", json=body)


async def main(url, cases, settings):
    told = {}
    for name, texts in cases.items():
        config = BaseResourcesServerConfig(
            host="127.0.0.1", port=1, name="rewright", entrypoint="app.py", domain="math"
        )
        server = resources_server(url, size=len(texts), **settings).model_construct(config=config)
        transport = httpx.ASGITransport(server.setup_webserver(), raise_app_exceptions=False)
        answers = await asyncio.gather(*(verified(transport, rollout(name, k, t)) for k, t in enumerate(texts)))
        if failed := [answer.status_code for answer in answers if answer.status_code != 200]:
            told[name] = {"raised": str(failed[0])}
            continue
        bodies = [answer.json() for answer in answers]
        classes = {body.get("_ng_failure_class") for body in bodies}
        assert classes == ({None} if name == "all scored" else {FAILURE})
        masked = {body.get("instance_config", {}).get("mask_sample", False) for body in bodies}
        assert masked == {name != "all scored"}
        assert bodies[-1]["rewright_nll"] == 1.5 and "reward_components" not in bodies[-1]
        rewards = [body["reward"] for body in bodies]
        deviation = statistics.stdev(rewards) or 1.0
        told[name] = {"rewards": rewards, "advantages": [(r - statistics.mean(rewards)) / deviation for r in rewards]}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
