"""Each prompt once: log-probabilities and gradients are TRL's, whole groups stay whole, and differences are said."""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from rewright.service.models.forward import packed_blocks
from rewright.trainer.grpo.trainer import SharedPromptTrainer
from rewright.trainer.grpo.whole_groups import read_rows, with_whole_groups
from tests.service.scorers.test_nll import FAMILIES
from tests.service.scorers.tiny_models import NO_SYSTEM_TURN, tiny_model, tiny_tokenizer
from tests.waiting import PATIENCE_S

PROMPTS = [[5 + 7 * i % 900 for i in range(31)], [9 + 11 * i % 900 for i in range(12)]]
END = tiny_tokenizer(NO_SYSTEM_TURN).eos_token_id
LOGGER = "rewright.trainer.grpo.trainer"


def responses(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    return [[(seed * 131 + 17 * i + n * n) % 1100 + 8 for i in range(n)] for n in lengths]


class Given:
    """Rollouts that are given, and rewards by their place."""

    def __init__(self, prompts: Sequence[list[int]], size: int) -> None:
        self.size = size
        self.prompts = prompts
        self.drawn = [ids for n in range(len(prompts)) for ids in responses(n + 1, [3 + 5 * k for k in range(size)])]
        for ids in self.drawn[:size:2]:  # of the first group some end, of the others none
            ids[-1] = END

    def rollout(self, prompts: Any, trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": [ids for ids in self.prompts for _ in range(self.size)],
            "completion_ids": self.drawn,
            "logprobs": None,
        }

    @staticmethod
    def reward(completions: Any, **_: Any) -> list[float]:
        return [float((3 * n) % 5) for n in range(len(completions))]


def trainer_of(
    kind: type[GRPOTrainer],
    folder: Path,
    model: Any,
    *,
    size: int = 4,
    dropout: float = 0.0,
    prompts: Sequence[list[int]] = PROMPTS,
    **changes: Any,
) -> Any:
    given = Given(prompts, size)
    named: dict[str, Any] = {
        "num_generations": size, "per_device_train_batch_size": size, "gradient_accumulation_steps": 2, "beta": 0.04,
        "use_cpu": True, "bf16": False, "report_to": [], "loss_type": "grpo", "gradient_checkpointing": False,
        "max_completion_length": 64, "temperature": 0.7, "seed": 3,
    }  # fmt: skip
    config = GRPOConfig(output_dir=str(folder), **(named | changes))
    trainer = kind(
        model=model,
        reward_funcs=given.reward,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "p"}] * 2),
        processing_class=tiny_tokenizer(NO_SYSTEM_TURN),
        rollout_func=given.rollout,
        peft_config=LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules="all-linear"),
    )
    trainer.current_gradient_accumulation_steps = config.gradient_accumulation_steps
    torch.manual_seed(23)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.05)
    trainer.model.train()
    return trainer


def step(trainer: Any, wrapped: Any = None) -> tuple[list[float], dict[str, torch.Tensor]]:
    """One update's losses and gradients. wrapped: the model as it is trained, where something wraps it."""
    torch.manual_seed(3)
    batch = [{"prompt": "p"}] * (2 * trainer.num_generations)
    losses = [
        float(trainer.training_step(wrapped or trainer.model, batch, None))
        for _ in range(trainer.args.gradient_accumulation_steps)
    ]
    return losses, {name: w.grad.clone() for name, w in trainer.model.named_parameters() if w.grad is not None}


def apart(right: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> float:
    assert right.keys() == found.keys() and len(right) > 0
    length = sum(float(g.square().sum()) for g in right.values()) ** 0.5
    assert length > 0
    return sum(float((right[name] - found[name]).square().sum()) for name in right) ** 0.5 / length


def counting(trainer: Any) -> list[int]:
    """The tokens of each forward pass from now on."""
    seen: list[int] = []
    trainer.model.get_base_model().base_model.register_forward_pre_hook(
        lambda _module, _tensors, named: seen.append(named["input_ids"].numel()), with_kwargs=True
    )
    return seen


def unshared(trainer: Any) -> Any:
    """TRL's own way, on the same micro-batches."""
    trainer._sharing = False
    return trainer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss_type": "dapo", "top_entropy_quantile": 0.6},
        {"loss_type": "bnpo", "beta": 0.0},
        {"loss_type": "dr_grpo", "gradient_checkpointing": True},
        {"importance_sampling_level": "sequence", "entropy_coef": 0.01},
        {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
        {"gradient_accumulation_steps": 1, "steps_per_generation": 2},
        {"mask_truncated_completions": True},
    ],
    ids=str,
)
def test_losses_and_gradients_are_those_of_trl(tmp_path: Path, changes: dict[str, Any]) -> None:
    right = step(unshared(trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"), **changes)))
    ours = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"), **changes)
    found = step(ours)
    assert ours._sharing
    assert found[0] == pytest.approx(right[0], abs=1e-5)
    assert apart(right[1], found[1]) < 1e-4


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"gemma2"}))
def test_a_whole_step_of_every_family_is_that_of_trls_trainer(tmp_path: Path, family: str) -> None:
    right = step(trainer_of(GRPOTrainer, tmp_path, tiny_model(family, **FAMILIES[family])))
    ours = trainer_of(SharedPromptTrainer, tmp_path, tiny_model(family, **FAMILIES[family]))
    found = step(ours)
    assert ours._sharing
    assert sum(found[0]) == pytest.approx(sum(right[0]), abs=1e-4)
    assert apart(right[1], found[1]) < 1e-4


def test_prompts_go_through_the_model_once_and_no_padding_does(tmp_path: Path) -> None:
    trainer = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"))
    step(trainer)
    seen = counting(trainer)
    step(trainer)
    drawn = Given(PROMPTS, 4).drawn
    once = [len(prompt) + sum(len(ids) - 1 for ids in drawn[4 * n : 4 * n + 4]) for n, prompt in enumerate(PROMPTS)]
    # The reference of both groups, cut where a pass of TRL's would be as large, then each group by itself.
    assert sum(seen) == 2 * sum(once) and sorted(seen[-2:]) == sorted(once)


def test_without_a_kl_term_nothing_but_the_policy_runs(tmp_path: Path) -> None:
    trainer = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"), beta=0.0)
    step(trainer)
    seen = counting(trainer)
    step(trainer)
    assert len(seen) == 2


def test_micro_batches_hold_whole_groups_whatever_trl_shuffled(tmp_path: Path) -> None:
    trainer = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"))
    inputs = trainer._prepare_inputs([{"prompt": "p"}] * 8)
    assert inputs is trainer._buffered_inputs[0]
    for batch in trainer._buffered_inputs:
        assert len(batch["prompt_ids"].unique(dim=0)) == 1
        assert {len(value) for value in batch.values() if value.ndim} == {4}
    advantages = torch.cat([batch["advantages"].flatten() for batch in trainer._buffered_inputs])
    lengths = torch.cat([batch["completion_mask"].sum(1) for batch in trainer._buffered_inputs])
    rewards = torch.tensor(Given.reward(range(8))).view(2, 4)
    expected = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    place = {3 + 5 * k: k for k in range(4)}
    groups = [
        0 if len(p.nonzero()) == len(PROMPTS[0]) else 1 for b in trainer._buffered_inputs for p in b["prompt_mask"]
    ]
    for advantage, length, group in zip(advantages.tolist(), lengths.tolist(), groups, strict=True):
        assert advantage == pytest.approx(float(expected[group, place[length]]), abs=1e-4)


def test_batches_keep_their_rows_their_size_and_what_belongs_to_no_row() -> None:
    ids = torch.tensor([[1, 1], [2, 2], [1, 1], [3, 3], [2, 2], [3, 3]])
    whole = {"prompt_ids": ids, "prompt_mask": ids > 0, "row": torch.arange(6), "of": list("abcdef")}
    batches = [{k: v[at : at + 2] for k, v in whole.items()} | {"all": torch.tensor(7), "no": None} for at in (0, 2, 4)]
    found = with_whole_groups(batches)
    assert [batch["row"].tolist() for batch in found] == [[0, 2], [1, 4], [3, 5]]
    assert [batch["of"] for batch in found] == [["a", "c"], ["b", "e"], ["d", "f"]]
    assert all(batch["all"] == 7 and batch["no"] is None for batch in found)


def test_rows_without_a_response_have_no_place_and_equal_prompts_are_one_group() -> None:
    ids = torch.tensor([[0, 5, 7, 8, 9], [6, 6, 7, 0, 0], [0, 5, 4, 0, 0], [0, 5, 4, 4, 0]])
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 1, 0]])
    rows = read_rows(ids, mask, 3)
    assert [(list(tree.prefix), list(tree.candidates)) for tree in rows.trees] == [
        ([5], [[7, 8, 9], [4, 4]]),
        ([6, 6], [[7]]),
    ]
    assert rows.places == [0, 1, 2, 9, 10, 3]
    assert not read_rows(ids[2:3], mask[2:3], 3).trees
    with pytest.raises(ValueError, match="without a prompt"):
        read_rows(ids[:1], torch.tensor([[0, 0, 1, 1, 1]]), 3)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_where_values_or_gradients_differ_it_goes_on_in_trls_way_and_says_so(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = step(unshared(trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"))))
    kept = getattr(packed_blocks.Spans, method)

    def off(self: Any, *arguments: Any) -> Any:
        found = kept(self, *arguments)
        return found * 1.05 if isinstance(found, torch.Tensor) else tuple(each * 1.05 for each in found)

    monkeypatch.setattr(packed_blocks.Spans, method, off)
    trainer = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"))
    with caplog.at_level(logging.WARNING, LOGGER):
        found = step(trainer)
    assert trainer._sharing is False
    (said,) = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert "TRL's own, slower way" in said and "gradients by" in said and "allowed 0.001" in said
    assert found[0] == right[0] and apart(right[1], found[1]) == 0
    seen = counting(trainer)
    step(trainer)
    assert min(seen) >= 4 * len(PROMPTS[1])


@pytest.mark.parametrize(("family", "why"), [("bloom", "cannot"), ("gpt_oss", "cannot"), ("gemma2", "differ")])
def test_models_that_do_not_pack_train_in_trls_way_and_say_why(
    tmp_path: Path, family: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes = FAMILIES.get(family, {})
    right = step(unshared(trainer_of(SharedPromptTrainer, tmp_path, tiny_model(family, **changes))))
    caplog.clear()
    with caplog.at_level(logging.WARNING, LOGGER):
        found = step(trainer_of(SharedPromptTrainer, tmp_path, tiny_model(family, **changes)))
    (said,) = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert why in said
    assert found[0] == pytest.approx(right[0], abs=1e-6) and apart(right[1], found[1]) < 1e-6


def test_dropout_is_off_while_it_is_measured_and_on_again_afterwards(tmp_path: Path) -> None:
    trainer = trainer_of(SharedPromptTrainer, tmp_path, tiny_model("llama"), dropout=0.3)
    first = step(trainer)[1]
    assert trainer._sharing
    dropouts = [part for part in trainer.model.modules() if isinstance(part, torch.nn.Dropout)]
    assert dropouts and all(part.training for part in dropouts)
    trainer.model.zero_grad()
    right = step(unshared(trainer))[1]
    assert apart(right, first) > 1e-3


@pytest.mark.slow  # two processes that load torch and TRL: minutes where the machine has two slow cores
def test_processes_share_and_agree_and_where_one_differs_all_go_trls_way() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.trainer.grpo.two_processes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    everybody = json.loads(line.removeprefix("SAID "))
    assert len(everybody) == 2
    for said in everybody:
        assert said["wrapped"] == "DistributedDataParallel" and said["processes"] == 2
        assert said["sharing"] and said["apart"] < 1e-4
        assert said["with a fault"] is False and said["apart with a fault"] == 0
    assert done.stderr.count("TRL's own, slower way") == 1
