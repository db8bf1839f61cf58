"""checkpoint: files that hold more than the model uses are refused with the reason, but for what cannot matter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rewright.service.errors import SettingsError
from rewright.service.models.backbone import Backbone, load_backbone
from tests.service.models import zoo
from tests.service.scorers import tiny_models as tiny

Tensors = dict[str, torch.Tensor]
Q = "model.layers.0.self_attn.q_proj"
FP8 = torch.float8_e4m3fn


def load(folder: Path) -> Backbone:
    return load_backbone(str(folder), precision="float32", device="cpu")


def folder_of(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny.tiny_tokenizer(tiny.NO_SYSTEM_TURN).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tiny.tiny_model("llama"), tmp_path / "model")


def change(folder: Path, tensors: Callable[[Tensors], Tensors] | None = None, **config: Any) -> None:
    if tensors is not None:
        file = folder / "model.safetensors"
        save_file(tensors(load_file(file)), file, metadata={"format": "pt"})
    if config:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | config))


def in_fp8(scale: str, *, static: bool) -> Callable[[Tensors], Tensors]:
    """Every matrix of the layers in float8 with one scale."""

    def quantised(weights: Tensors) -> Tensors:
        found: Tensors = {}
        for name, weight in weights.items():
            if "_proj" not in name:
                found[name] = weight
                continue
            factor = weight.abs().max() / 448
            found[name] = (weight / factor).to(FP8)
            found[name.replace(".weight", f".{scale}")] = factor
            if static:
                found[name.replace(".weight", ".input_scale")] = torch.tensor(0.1)
        return found

    return quantised


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("scale", ["weight_scale", "scale", "weight_scale_inv"])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}},
        {"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}},
        {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}},
        {"quantization_config": {"quant_method": "quiet-bits"}},
    ],
)
def test_scales_are_applied_or_the_model_is_refused(
    folder: Path, static: bool, scale: str, config: dict[str, Any]
) -> None:
    rounded = load(folder).model
    for name, weight in rounded.named_parameters():
        if "_proj" in name:
            factor = weight.abs().max() / 448
            weight.copy_((weight / factor).to(FP8).float() * factor)
    change(folder, in_fp8(scale, static=static), **config)
    try:
        found = load(folder)
    except SettingsError as error:
        assert str(error).startswith("scorers.nll.model: ")
        assert "quantised" in str(error) or "cannot load" in str(error)
        return
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.allclose(found.model(ids).logits, rounded(ids).logits, atol=1e-3)


@pytest.mark.parametrize("method", ["modelopt", "quiet-bits"])
def test_a_method_that_transformers_would_skip_is_named(folder: Path, method: str) -> None:
    change(folder, quantization_config={"quant_method": method})
    with pytest.raises(SettingsError, match=rf"quantised by '{method}'.*not quantised"):
        load(folder)


def test_a_method_that_stands_beside_the_config_is_named(folder: Path) -> None:
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    with pytest.raises(SettingsError, match=r"NVFP4.*hf_quant_config\.json"):
        load(folder)


def test_a_file_that_says_that_nothing_is_quantised_is_no_reason(folder: Path) -> None:
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": None}}))
    assert load(folder).context_window == 512


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("named", ["lora_A.weight", "lora_B.default.weight", "lora_magnitude_vector.weight"])
def test_an_adapter_beside_the_weights(folder: Path, wrapped: bool, named: str) -> None:
    def adapted(weights: Tensors) -> Tensors:
        weights[f"{Q}.{named}"] = torch.ones(4, 48)
        if wrapped:
            weights[f"{Q}.base_layer.weight"] = weights.pop(f"{Q}.weight")
        return weights

    change(folder, adapted)
    with pytest.raises(SettingsError, match=r"adapter that was not merged \(model.*merge_and_unload"):
        load(folder)


def test_an_adapter_in_files_of_its_own(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": None}))
    with pytest.raises(SettingsError, match=r"adapter_config\.json.*merge_and_unload"):
        load(folder)


def test_a_config_with_fewer_layers_than_the_weights(folder: Path) -> None:
    change(folder, num_hidden_layers=2)
    with pytest.raises(SettingsError, match=r"counts 2 layers.*layers\.2\..*num_hidden_layers"):
        load(folder)


@pytest.mark.parametrize(
    "name", [f"{Q}.bias", "score.weight", "model.norm2.weight", "model.layers.1.mlp.odd_proj.weight"]
)
def test_other_weights_without_a_place(folder: Path, name: str) -> None:
    change(folder, lambda weights: weights | {name: torch.ones(48)})
    with pytest.raises(SettingsError, match=rf"no place for \({name}\)"):
        load(folder)


@pytest.mark.parametrize(
    "names",
    [
        ["model.layers.0.self_attn.rotary_emb.inv_freq"],
        ["model.rotary_emb.inv_freq"],
        ["mtp.layers.0.self_attn.q_proj.weight", "mtp.fc.weight"],
        ["model.mtp_layers.0.input_proj.weight"],
        ["model.layers.3.eh_proj.weight", "model.layers.3.self_attn.q_proj.weight"],
    ],
)
def test_what_nothing_reads_may_stay(folder: Path, names: list[str]) -> None:
    change(folder, lambda weights: weights | {name: torch.ones(48) for name in names})
    assert load(folder).context_window == 512


def test_a_layer_behind_the_last_is_none_without_the_marks_of_a_prediction_head(folder: Path) -> None:
    change(folder, lambda weights: weights | {"model.layers.3.self_attn.q_proj.weight": torch.ones(48)})
    with pytest.raises(SettingsError, match="counts 3 layers"):
        load(folder)


@pytest.mark.parametrize("family", ["mistral3", "qwen2_5_vl", "paligemma", "llava"])
def test_a_text_model_inside_one_for_images_scores_text(tmp_path: Path, family: str) -> None:
    model = zoo.tiny(family)
    found = load(folder_of(model, tmp_path / family))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    assert torch.allclose(found.model(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)


def test_a_model_that_overflows_is_not_called_an_encoder(folder: Path) -> None:
    change(folder, lambda weights: weights | {"model.embed_tokens.weight": weights["model.embed_tokens.weight"] * 1e7})
    assert load(folder).dtype == torch.float32
    with pytest.raises(SettingsError, match=r"scorers\.nll\.precision.*overflows in float16.*bfloat16 or float32"):
        load_backbone(str(folder), precision="float16", device="cpu")


def test_an_encoder_whose_weights_are_small_is_one_nevertheless(tmp_path: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=1200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    with pytest.raises(SettingsError, match="looks ahead"):
        load(folder_of(BertLMHeadModel(config), tmp_path / "encoder"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    def broken(weights: Tensors) -> Tensors:
        weights[f"{Q}.weight"][1, 2] = value
        return weights

    change(folder, broken)
    with pytest.raises(SettingsError, match=rf"NaN or infinite \({Q}\.weight\)"):
        load(folder)
