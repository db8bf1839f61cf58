"""log-probabilities of responses with each prompt computed once, with gradients: P + ΣR tokens instead of Σ(P + R).

The policy is called as TRL calls it, through whatever wraps it (PEFT, DDP, autocast), and TRL's own output layer gives
log-probabilities and entropies in chunks; but the call holds one packed row of every prompt and response
(`rewright.service.models.forward.packing`), attentions keep the texts apart, and the output layer sees only those
hidden states that predict a response's id.

`SharedPrompt` raises `CannotPack` for models whose code cannot be run so. Not covered: whether the numbers are right,
which `rewright.trainer.grpo.agreement` measures; images; auxiliary losses over all tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from rewright.service.models.forward.choose import length_changes_positions
from rewright.service.models.forward.packed import CannotPack, attention_layers
from rewright.service.models.forward.packed_attention import KEYWORD, Layers, beside, no_mask, to_device
from rewright.service.models.forward.packing import Pack, packs
from rewright.trainer.grpo.whole_groups import Rows

Call = Callable[..., Any]


class PerToken(NamedTuple):
    """Log-probability and entropy of each response id, float32, shape [rows, longest response]; 0 at padding."""

    logps: torch.Tensor
    entropies: torch.Tensor


class SharedPrompt:
    """Makes causal language models of one kind, to which TRL gave its output layer, fit for packed calls beside others.

    models: without their wrappers; what wraps them now or later may be called instead.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        config = models[0].config.get_text_config(decoder=True)
        if length_changes_positions(config):
            raise CannotPack("how positions are encoded depends on the longest text of a batch")
        self._expected = attention_layers(config)
        attention = beside(config._attn_implementation)
        for model in models:
            for part in model.modules():
                if getattr(part, "config", None) is not None:
                    part.config._attn_implementation = attention
            model.base_model.register_forward_hook(_only_predicting, with_kwargs=True)

    def per_token(self, call: Call, rows: Rows, shape: tuple[int, int], device: torch.device, *, most: int) -> PerToken:
        """call: one of the models or what wraps it; shape: rows and longest response.

        most: tokens of one pass, where there are no gradients. With gradients it is one pass, since what wraps a model
        expects one on the way back.

        Raises `CannotPack` where the model's own code led past the packed attention.
        """
        tokens = sum(tree.rows for tree in rows.trees)
        places = torch.tensor(rows.places)
        layers: Layers | None = None
        found, at = [], []
        for pack in packs(rows.trees, size=tokens if torch.is_grad_enabled() else min(tokens, most)):
            layers = Layers(pack, layers, device)
            output = call(**_inputs(pack, layers, device))
            layers.release_before()
            if (layers.calls, layers.windows) != self._expected:
                raise CannotPack(f"{layers.calls} attentions, {layers.windows} of them sliding, went through the pack")
            found.append(torch.stack([output.log_probs[0], output.entropy[0]]))
            at.append(places[pack.slots])
        index = to_device(torch.cat(at), device)
        empty = torch.zeros(2, shape[0] * shape[1], device=device)
        logps, entropies = empty.index_copy(1, index, torch.cat(found, dim=1).float()).view(2, *shape)
        return PerToken(logps, entropies)


def _inputs(pack: Pack, layers: Layers, device: torch.device) -> dict[str, Any]:
    ids_1T, positions_1T, targets_1R = (
        to_device(torch.tensor([each]), device) for each in (pack.ids, pack.positions, pack.targets)
    )
    return {
        "input_ids": ids_1T,
        "position_ids": positions_1T,
        "attention_mask": no_mask(device),
        "shift_labels": targets_1R.long(),
        "fused_lm_head": True,
        KEYWORD: layers,
    }


def _only_predicting(_body: torch.nn.Module, _tensors: Any, named: dict[str, Any], output: Any) -> Any:
    """A prompt's last state stands there once for each of its responses."""
    layers: Layers | None = named.get(KEYWORD)
    if layers is None:
        return output
    states_1TE = output.last_hidden_state
    reads = to_device(torch.tensor(layers.pack.reads, dtype=torch.long), states_1TE.device)
    output.last_hidden_state = states_1TE.index_select(1, reads)
    return output
