"""The losses of SFT against their formulas, computed by hand, one text at a time, from the logits of the model."""

import json
import math

import pytest
import torch

from rewright.trainer.recipes.sft import load_sft_recipe
from rewright.trainer.sft.losses import ImportanceTrainer, importance_weights
from rewright.trainer.sft.train import train_sft
from tests.trainer.sft.test_sft import command, write_recipe
from tests.trainer.tiny_dataset import write_dataset
from tests.trainer.tiny_run import write_backbone

ROWS = 2
BOUNDS = (0.5, 1.5)


def token_logprobs(model, row):
    """log π of each trained token, float64: the whole softmax, no padding."""
    logits_TV = model(torch.tensor([row["input_ids"]])).logits[0].double().log_softmax(-1)
    places = [place for place, label in enumerate(row["labels"]) if label != -100]
    return torch.stack([logits_TV[place - 1, row["input_ids"][place]] for place in places])


def by_hand(loss, rows, now, first):
    """now, first: of each row, log π of each trained token in training and before it."""
    terms, count = [], 0
    for row, logprobs, start in zip(rows, now, first, strict=True):
        for logprob, at_first in zip(logprobs, start, strict=True):
            weight = 1.0
            if loss == "dft":
                weight = math.exp(logprob)
            elif loss == "importance":
                ratio = math.exp(logprob - at_first) if row["own"] else math.exp(logprob)
                weight = min(max(ratio, BOUNDS[0]), BOUNDS[1])
            terms.append(-weight * logprob)
            count += 1
    return sum(terms) / count


@pytest.fixture(scope="module")
def embedded():
    from rewright.trainer.models.policy import chat_format, load_model, load_tokenizer, locate
    from rewright.trainer.recipes.blocks import Backbone

    backbone = Backbone(model="embedded", device="cpu", precision="float32")
    located = locate(backbone)
    from rewright.service.models.rendering import Rendering

    return load_model(located, backbone).eval(), chat_format(located, load_tokenizer(located), Rendering())


@pytest.mark.parametrize("loss", [pytest.param("nll", marks=pytest.mark.slow), "dft", "importance"])
def test_the_logged_loss_is_the_formulas_before_and_after_an_update_of_the_embedded_model(tmp_path, embedded, loss):
    from peft import PeftModel

    from rewright.trainer.sft.data import sft_rows

    model, chat = embedded
    data = write_dataset(tmp_path / "build", ROWS)
    bounds = {"ratio_bounds": list(BOUNDS)} if loss == "importance" else {}
    recipe = write_recipe(
        tmp_path / "r.yaml",
        model="embedded",
        data=data,
        output=tmp_path / "run",
        # The second step sees other weights: far enough away that some ratios are clipped on either side.
        training={"batch": ROWS, "micro_batch": 1, "max_steps": 2, "learning_rate": 3e-2, "warmup_ratio": 0.0}
        | {"schedule": "constant", "loss": loss, **bounds},
        lora={"r": 2, "targets": ["q_proj"]},
    )
    train_sft(load_sft_recipe(recipe))
    rows = list(sft_rows(data, chat=chat, max_tokens=300).dataset)
    assert [row["own"] for row in rows] == [False, True]
    with torch.inference_mode():
        first = [token_logprobs(model, row).tolist() for row in rows]
        tuned = PeftModel.from_pretrained(model, tmp_path / "run" / "checkpoint-1").eval()
        now = [token_logprobs(tuned, row).tolist() for row in rows]
        tuned.unload()
    if loss == "importance":
        texts = zip(rows, now, first, strict=True)
        told = [math.exp(n - f * row["own"]) for row, *both in texts for n, f in zip(*both, strict=True)]
        assert min(told) < BOUNDS[0] and max(told) > BOUNDS[1]
    logged = [row["loss"] for row in json.loads((tmp_path / "run" / "loss.json").read_text())]
    expected = [by_hand(loss, rows, first, first), by_hand(loss, rows, now, first)]
    assert logged == pytest.approx(expected, abs=2e-4)
    origin = json.loads((tmp_path / "run" / "adapter" / "origin.json").read_text())
    assert origin["loss"] == loss


def test_the_weight_is_the_clipped_ratio_and_passes_no_gradient():
    logprobs = torch.log(torch.tensor([0.5, 0.2, 0.9, 0.3])).requires_grad_()
    behaviour = torch.log(torch.tensor([0.25, 0.4, 0.3, 1.0]))
    weights = importance_weights(logprobs, behaviour, (0.4, 2.5))
    # 0.5/0.25 = 2, 0.2/0.4 = 0.5, 0.9/0.3 = 3 → 2.5, and where π_b is 1 the probability itself: 0.3 → 0.4.
    assert weights.tolist() == pytest.approx([2.0, 0.5, 2.5, 0.4]) and not weights.requires_grad


def test_the_gradient_is_that_of_the_weighted_log_probabilities_alone(tmp_path):
    """On a tiny model, whose weights are moved after π_b was computed."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.sft_config import SFTConfig

    folder = write_backbone(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9], "own": True},
        {"input_ids": [9, 8, 7], "labels": [-100, 8, 7], "own": False},
    ]
    first = [token_logprobs(model, row).tolist() for row in rows]
    trainer = ImportanceTrainer(
        bounds=BOUNDS,
        model=model,
        args=SFTConfig(output_dir=str(tmp_path / "run"), use_cpu=True, bf16=False, report_to=[], max_length=None),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3 * float(weight.abs().mean()))
    batch = trainer.data_collator(list(trainer.train_dataset))
    found = torch.autograd.grad(trainer.compute_loss(model, batch), model.lm_head.weight)[0]
    now = [token_logprobs(model, row) for row in rows]
    terms = []
    for row, logprobs, start in zip(rows, now, first, strict=True):
        ratio = logprobs.detach() - (torch.tensor(start) if row["own"] else 0.0)
        terms.append(-(ratio.exp().clamp(*BOUNDS) * logprobs).sum())
    expected = torch.autograd.grad(sum(terms) / 5, model.lm_head.weight)[0]
    assert (found - expected).abs().max() < 1e-5 < expected.abs().max()


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"loss": "dft", "ratio_bounds": [0.0, 1.0]}, "has no ratio"),
        ({"loss": "importance", "ratio_bounds": [2.0, 1.0]}, "low must not be above high"),
        ({"loss": "importance", "ratio_bounds": [-1.0, 1.0]}, "ratio_bounds"),
        ({"loss": "iw"}, "training.loss"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_by_name(tmp_path, capsys, training, said):
    recipe = write_recipe(tmp_path / "r.yaml", model="m", data="d", output=tmp_path / "run", training=training)
    assert command("--config", recipe) == 2
    assert said in capsys.readouterr().err
