"""Steps of fixed shapes, as a graph on a GPU has them: the same texts and numbers as steps of the rows alone."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from rewright.trainer.generation import packed_decoder, step_graphs
from rewright.trainer.generation.packed_decoder import PackedDecoder
from tests.service.scorers.test_nll import FAMILIES
from tests.trainer.generation.test_packed_decoder import PROMPTS, STOP, loaded

ASKED = [PROMPTS[0]] * 3 + [PROMPTS[1]] * 2 + [PROMPTS[2]] + [PROMPTS[0]]
LIMITS = [9, 1, 40, 12, 3, 37, 5]


def recorded_shapes(shapes: list[int], work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    shapes.append(len(work()))
    return work


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each step that was recorded; from here on steps are recorded on any device."""
    found: list[int] = []

    def graphs(decoder: PackedDecoder, memory: Any, slots: int) -> step_graphs.StepGraphs:
        record = partial(recorded_shapes, found)
        return step_graphs.StepGraphs(decoder._next, memory, slots, decoder._device, capture=record)

    monkeypatch.setattr(PackedDecoder, "_graphs", graphs)
    monkeypatch.setattr(step_graphs, "_POSITIONS", 32)
    return found


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_and_numbers_do_not_change(
    family: str, rows: int, shapes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(family)
    torch.manual_seed(1)
    fixed = PackedDecoder(model, rows=rows).write(ASKED, LIMITS, STOP, temperature=0.7)
    monkeypatch.undo()
    torch.manual_seed(1)
    free = PackedDecoder(model, rows=rows).write(ASKED, LIMITS, STOP, temperature=0.7)
    assert [each.ids for each in fixed] == [each.ids for each in free]
    for mine, its in zip(fixed, free, strict=True):
        torch.testing.assert_close(torch.tensor(mine.logps), torch.tensor(its.logps), atol=1e-4, rtol=0)
    assert shapes


def test_a_shape_is_recorded_once_until_the_memory_grows(shapes: list[int]) -> None:
    # 23 + 40 ids pass 32 positions; seven rows end one by one, and the last of them need no seven slots.
    PackedDecoder(loaded("llama")).write(ASKED, LIMITS, [], temperature=0.0)
    assert shapes[0] == len(ASKED)
    assert 2 in shapes
    assert len(shapes) <= 6


def test_what_cannot_be_recorded_is_said_once_and_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def refuses(work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        tries.append(work)
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    capturable = PackedDecoder._graphs

    def graphs(decoder: PackedDecoder, memory: Any, slots: int) -> step_graphs.StepGraphs | None:
        if not decoder._capturable:
            return capturable(decoder, memory, slots)
        return step_graphs.StepGraphs(decoder._next, memory, slots, decoder._device, capture=refuses)

    model = loaded("llama")
    right = PackedDecoder(model).write(ASKED, LIMITS, STOP, temperature=0.0)
    monkeypatch.setattr(PackedDecoder, "_graphs", graphs)
    decoder = packed_decoder.PackedDecoder(model)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert decoder.write(ASKED, LIMITS, STOP, temperature=0.0) == right
    assert len(tries) == 1
    assert [each.getMessage() for each in caplog.records] == [
        "decode steps are launched kernel by kernel, which is slower: operation not permitted when stream is capturing"
    ]
