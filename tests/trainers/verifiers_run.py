"""Traces and an episode of verifiers v1, as an environment has them in `finalize`.

python verifiers_run.py URL CASES_JSON SETTINGS_JSON   →   one line of JSON
"""

import asyncio
import json
import statistics
import sys

import verifiers.v1 as vf
from verifiers.v1.episode import Episode
from verifiers.v1.graph import MessageNode
from verifiers.v1.trace import AgentInfo, Trace, TraceTask
from verifiers.v1.types import AssistantMessage

from rewright.clients.adapters.verifiers import EpisodeRewards, NoReward


class Row(vf.TaskData):
    problem: str
    reference: str


async def main(url, cases, settings):
    told = {}
    for name, texts in cases.items():
        task = vf.Task(Row(prompt="rewrite", problem="p", reference="r"))
        of = TraceTask(type="Task", data=task.data)
        traces = [
            Trace(
                task=of,
                ok=True,
                agent=AgentInfo.model_construct(),
                nodes=[MessageNode(message=AssistantMessage(content=text), sampled=True)],
            )
            for text in texts
        ]
        episode = Episode(task=of, traces=traces)
        try:
            await EpisodeRewards(url, **settings)(task, episode)
        except NoReward:
            assert all(trace.has_error and not trace.rewards for trace in traces)
            told[name] = {"rejected": True}
            continue
        except Exception as error:
            assert all(trace.has_error for trace in traces)
            told[name] = {"raised": type(error).__name__}
            continue
        rewards = [trace.reward for trace in traces]
        mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
        told[name] = {"rewards": rewards, "advantages": [(reward - mean) / deviation for reward in rewards]}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
