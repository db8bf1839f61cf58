"""The two parts of a causal language model: its body, which ends in hidden states, and what makes logits of these.

Scoring runs the second part on target rows alone. Which module is the body, and what stands behind it, differs by
family; both are found here, and what is found is held against the model's own logits.

Not covered: models whose parts cannot be run apart (`CannotSplit`); they are run whole.
"""

from typing import Any, Protocol

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from rewright.service.models.forward.target_logprobs import log_normaliser
from rewright.service.models.same_weights import same_weights

_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Of the largest logit: what rounding may differ by."""


class CannotSplit(Exception):
    """The model has no body that runs by itself, or nothing here makes its logits of hidden states."""


class Output(Protocol):
    vocabulary: int

    def __call__(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, shape [T, V]."""

    def next(self, hidden_TE: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
        """Natural log-probabilities of some ids right behind each row, float32, shape [T, N]."""


def body_of(model: PreTrainedModel) -> Any:
    """Raises `CannotSplit`."""
    whole: Any = model
    for part in (whole.get_decoder(), whole.base_model, getattr(whole, "model", None)):
        if isinstance(part, PreTrainedModel) and part is not model:
            return part if _ends_in_hidden_states(part) else body_of(part)
    raise CannotSplit("no body that ends in hidden states")


def output_of(model: PreTrainedModel, body: Any) -> Output:
    """The output matrix with known scalings where these are the model's logits, else its own code behind the body.

    Raises `CannotSplit` where neither is.
    """
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    whole: Any = model
    with torch.inference_mode():
        ids_1T = torch.arange(3, 9, device=model.device)[None] % vocabulary
        wanted_TV = whole(input_ids=ids_1T, use_cache=False).logits[0]
        hidden_TE = body(input_ids=ids_1T, use_cache=False).last_hidden_state[0]
        for kind in (OutputLayer, _OwnHead):
            try:
                output: Output = kind(model)
                found_TV = output(hidden_TE)
            except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
                continue
            allowed = _CLOSE[model.dtype] * float(wanted_TV.abs().max())
            if found_TV.shape == wanted_TV.shape and float((found_TV - wanted_TV).abs().max()) <= allowed:
                return output
    raise CannotSplit("nothing known makes its logits of its hidden states")


class OutputLayer:
    """The matrix, then known scalings: what most families do after the last hidden state, and the fastest."""

    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config.get_text_config(decoder=True)
        whole: Any = model
        self._matrix: Any = whole.get_output_embeddings()
        self._times = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        self._cap = getattr(config, "final_logit_softcapping", None)
        self.vocabulary = int(config.vocab_size)

    def __call__(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        logits_TV: torch.Tensor = self._matrix(hidden_TE)
        if self._times != 1.0:
            logits_TV = logits_TV * self._times
        if self._cap is not None:
            logits_TV = torch.tanh(logits_TV / self._cap) * self._cap
        return logits_TV

    def next(self, hidden_TE: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
        """The ids' own logits in float32, since in the model's half precision labels would tie."""
        logits_TN: torch.Tensor = hidden_TE.float() @ self._matrix.weight[ids_N].float().T
        if getattr(self._matrix, "bias", None) is not None:
            logits_TN = logits_TN + self._matrix.bias[ids_N].float()
        logits_TN = logits_TN * self._times
        if self._cap is not None:
            logits_TN = torch.tanh(logits_TN / self._cap) * self._cap
        return logits_TN - log_normaliser(self, hidden_TE, vocabulary=self.vocabulary)[:, None]


class _OwnHead:
    """The model's own code with a body that hands through what it is given."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._whole = same_weights(model, attention=str(model.config._attn_implementation))
        (holding,) = (name for name, part in model.named_children() if body_of(model) in set(part.modules()))
        setattr(self._whole, holding, _HandsThrough())
        self.vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)

    def __call__(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        logits_TV: torch.Tensor = self._whole(inputs_embeds=hidden_TE[None], use_cache=False).logits[0]
        return logits_TV

    def next(self, hidden_TE: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
        normaliser_T = log_normaliser(self, hidden_TE, vocabulary=self.vocabulary)
        return self(hidden_TE)[:, ids_N].float() - normaliser_T[:, None]


class _HandsThrough(torch.nn.Module):
    def forward(self, *, inputs_embeds: torch.Tensor, **more: Any) -> Any:
        return _Handed(last_hidden_state=inputs_embeds)  # type: ignore[arg-type]


class _Handed(BaseModelOutputWithPast):
    def __getattr__(self, name: str) -> None:
        """Families ask their bodies for more (states of images, losses of experts), of which there is none here."""


def _ends_in_hidden_states(part: Any) -> bool:
    try:
        return part.get_output_embeddings() is None
    except (AttributeError, NotImplementedError):
        return True
