"""The reward as a resources server of NeMo-Gym (0.4.0): `POST /verify`, for its own rollouts and for NeMo-RL (0.6.0).

`app.py` of a resources server:

    from rewright.clients.adapters.nemo_gym import resources_server
    Rewright = resources_server("http://127.0.0.1:8000", size=8)    # num_repeats
    if __name__ == "__main__":
        Rewright.run_webserver()

Rows have `problem` and `reference` or `answer` beside `responses_create_params`. Rollouts of a task meet at the
service, found by `_ng_task_index` and the sample.

**No reward:** the answer has `_ng_failure_class` for every member of the group, so that collections write them to the
failures' file and try again, and `instance_config.mask_sample`, by which NeMo-RL leaves them out of its loss. `reward`,
which must be a number, is the same for all of them: a masked sample still counts in its group's mean. A service that is
away for longer than `patience_s` is a 500, and the rollout fails. Components are numbers of the answer, `rewright_nll`
and so on, and not its `reward_components`, which NeMo-RL wants to sum to the reward. NeMo-Gym is not imported before
`resources_server` is called.
"""

import math
import uuid
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from rewright.clients.adapters.one_member import OneMember
from rewright.clients.adapters.samples import mapped_columns, sample_of
from rewright.service.errors import InvalidRequest

FAILURE = "rewright_no_reward"
"""The failure class of rollouts whose group has no reward."""


def resources_server(
    base_urls: str | Sequence[str], *, size: int, columns: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """A class for a resources server. size: K, the rollouts of a task; options: those of `OneMember`.

    columns: names of a row's fields, where they are not `problem`, `reference` and `answer`.
    """
    from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, Request, SimpleResourcesServer
    from nemo_gym.global_config import TASK_INDEX_KEY_NAME
    from nemo_gym.rollout_collection import NG_FAILURE_CLASS_KEY
    from nemo_gym.server_utils import SESSION_ID_KEY
    from pydantic import ConfigDict

    if size < 1:
        raise InvalidRequest(f"size must be at least 1, not {size}; give it the rollouts per task")
    names = mapped_columns(columns)
    members = OneMember(base_urls, **options)

    class VerifyRequest(BaseVerifyRequest):  # type: ignore[misc]
        model_config = ConfigDict(extra="allow")

    class VerifyResponse(BaseVerifyResponse):  # type: ignore[misc]
        model_config = ConfigDict(extra="allow")

    class Rewright(SimpleResourcesServer):  # type: ignore[misc]
        async def verify(self, request: Request, body: VerifyRequest) -> VerifyResponse:
            """The reward of one rollout, when all of its task are here."""
            row = body.model_extra or {}
            sample = sample_of(row, "row", columns=names)
            identity = repr((row.get(TASK_INDEX_KEY_NAME), sample)).encode("utf-8", "surrogatepass")
            rewarded = await members.reward(
                sample,
                _text(body.response.output),
                group=blake2b(identity, digest_size=16).hexdigest(),
                size=size,
                # A rollout has a session of its own, and keeps it when the call is repeated.
                member=str(request.session.get(SESSION_ID_KEY) or uuid.uuid4().hex),
                again=True,
            )
            known = {f"rewright_{name}": value for name, value in rewarded.logs.items() if not math.isnan(value)}
            fields = body.model_dump() | known | {"reward": rewarded.total}
            if rewarded.logs["neutral"]:
                fields[NG_FAILURE_CLASS_KEY] = FAILURE
                fields["instance_config"] = {**(row.get("instance_config") or {}), "mask_sample": True}
            answer: VerifyResponse = VerifyResponse.model_validate(fields)
            return answer

    return Rewright


def _text(output: Sequence[Any]) -> str:
    """Of the last message; "" where there is none."""
    for item in reversed(output):
        if getattr(item, "type", None) == "message":
            return "".join(part.text for part in item.content if getattr(part, "type", None) == "output_text")
    return ""
