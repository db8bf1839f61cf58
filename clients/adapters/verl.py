"""The reward as a reward manager of verl (0.9.1, reward loop).

`rewright_verl.py`, named by `reward.reward_manager.source=importlib`, `….module.path` and `….name=Rewright`:

    from rewright.clients.adapters.verl import reward_manager
    Rewright = reward_manager("http://127.0.0.1:8000")

or, where a reward function is wanted in place of a manager, `reward.custom_reward_function.path=rewright_verl.py` and
`….name=compute_score`:

    from rewright.clients.adapters.verl import score_function
    compute_score = score_function("http://127.0.0.1:8000", size=8)    # actor_rollout_ref.rollout.n

The data needs `extra_info` with `problem`, `reference` and perhaps `answer`: verl gives a reward no other way to the
problem. Samples of a prompt go to random workers; they meet at the service by `uid`. Where there is no `session_id`
(the older trainer) a call's own UUID stands for it. A reward function is told neither: its samples meet by what they
are of, so that two groups of one problem under way at once may mix; take the manager where that can be.

**No reward:** verl has no channel for it; whole groups become neutral (`rewright.clients.adapters.one_member`).
Components go to `reward_extra_info`, the same names for every sample, NaN where nothing is known. verl is not imported
before `reward_manager` is called.
"""

import uuid
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from rewright.clients.adapters.one_member import OneMember
from rewright.clients.adapters.samples import sample_of
from rewright.service.errors import InvalidRequest


def reward_manager(base_urls: str | Sequence[str], **options: Any) -> Any:
    """A class for `reward.reward_manager`. K is `actor_rollout_ref.rollout.n`; in validation `val_kwargs.n`.

    Options are those of `OneMember`.
    """
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

    class Rewright(RewardManagerBase):  # type: ignore[misc]
        def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
            super().__init__(config, tokenizer, compute_score)
            rollout = config.actor_rollout_ref.rollout
            self._size, self._validation_size = int(rollout.n), int(rollout.val_kwargs.n)
            self._members = OneMember(base_urls, **options)

        async def run_single(self, data: Any) -> dict[str, Any]:
            """The reward of the last sequence of one sample."""
            item = data[-1:][0]
            columns, responses = item.non_tensor_batch, item.batch["responses"]
            length = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
            text = await self.loop.run_in_executor(
                None, lambda: self.tokenizer.decode(responses[:length], skip_special_tokens=True)
            )
            if "uid" not in columns:
                raise InvalidRequest("uid: missing in non_tensor_batch; the reward needs it to find a sample's group")
            session = columns.get("session_id")
            rewarded = await self._members.reward(
                sample_of(columns.get("extra_info") or {}, "extra_info"),
                text,
                group=str(columns["uid"]),
                size=self._validation_size if data.meta_info.get("validate", False) else self._size,
                member=uuid.uuid4().hex if session is None else str(session),
                again=session is None,
            )
            return {"reward_score": rewarded.total, "reward_extra_info": {"score": rewarded.total} | rewarded.logs}

    return Rewright


def score_function(base_urls: str | Sequence[str], *, size: int | Mapping[str, int], **options: Any) -> Any:
    """An async function for `reward.custom_reward_function`. size: K, or K by `data_source`, such as 1 in validation.

    Options are those of `OneMember`. It answers the reward as `score`, with the components, for one sample.
    """
    members = OneMember(base_urls, **options)

    async def compute_score(
        data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **_: Any
    ) -> dict[str, float]:
        number = size if isinstance(size, int) else size.get(data_source)
        if number is None:
            raise InvalidRequest(f"size: has no number for the data source {data_source!r}")
        sample = sample_of(extra_info or {}, "extra_info")
        rewarded = await members.reward(
            sample,
            solution_str,
            group=blake2b(repr((data_source, sample)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
            size=number,
            member=uuid.uuid4().hex,
            again=True,
        )
        return {"score": rewarded.total} | rewarded.logs

    return compute_score
