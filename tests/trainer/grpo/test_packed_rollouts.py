"""What the policy finds likeliest, written packed, in transformers' own way, and where memory is short."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rewright.trainer.generation.packed_way import PackedWay
from rewright.trainer.grpo.packed_rollouts import PackedRollouts
from tests.service.scorers.tiny_models import tiny_model

PROMPTS = [[3, 4, 5], [7], [3, 4, 5, 6, 8, 2], [11, 12], [7, 7, 7, 7]]


class Refused(PackedWay):
    """As for a model whose code cannot be run packed."""

    def write(self, *_: Any, **__: Any) -> None:
        return None


class Policy(PackedRollouts):
    def __init__(self, model: Any, *, stop: Sequence[int], rows: int = 2, most: int = 8) -> None:
        self.model = model
        self.accelerator = SimpleNamespace(unwrap_model=lambda each: each)
        self.args = SimpleNamespace(per_device_train_batch_size=rows)
        self.max_completion_length = 6
        self.eos_token_ids = sorted(stop)
        self._most = most

    def _likeliest(self, prompt_ids: Sequence[list[int]]) -> list[list[int]]:
        if len(prompt_ids) > self._most:
            raise torch.OutOfMemoryError
        return super()._likeliest(prompt_ids)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model("llama").train()


@pytest.fixture(scope="module")
def packed(model: Any) -> list[list[int]]:
    return Policy(model, stop=[1]).greedy(PROMPTS)


def test_a_model_that_cannot_be_packed_writes_the_same(model: Any, packed: list[list[int]]) -> None:
    policy = Policy(model, stop=[1])
    policy._way = Refused(model)
    assert policy.greedy(PROMPTS) == packed
    assert all(part.training for part in model.modules())


def test_texts_end_with_the_id_that_ends_them(model: Any, packed: list[list[int]]) -> None:
    ends = packed[0][2]
    policy = Policy(model, stop=[ends])
    policy._way = Refused(model)
    expected = [ids[: ids.index(ends) + 1] if ends in ids else ids for ids in packed]
    assert policy.greedy(PROMPTS) == expected == Policy(model, stop=[ends]).greedy(PROMPTS)


def test_where_memory_is_short_fewer_are_written_at_once(model: Any, packed: list[list[int]]) -> None:
    assert Policy(model, stop=[1], most=1).greedy(PROMPTS) == packed
    with pytest.raises(torch.OutOfMemoryError):
        Policy(model, stop=[1], most=0).greedy(PROMPTS)
