"""The ids with which a model ends a sequence, from wherever its files say so."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewright.service.models.locating import Located


def eos_ids(tokenizer: Any, *configs: Any) -> frozenset[int]:
    """Of a tokenizer and of any configurations (`GenerationConfig`, `PreTrainedConfig`, None is passed over)."""
    found = {tokenizer.eos_token_id}
    for config in configs:
        text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
        for own in (getattr(config, "eos_token_id", None), getattr(text, "eos_token_id", None)):
            found.update(own if isinstance(own, (list, tuple)) else [own])
    return frozenset(int(token) for token in found if token is not None)


def located_eos_ids(located: "Located", tokenizer: Any) -> frozenset[int]:
    """The same, of a model whose weights are not loaded."""
    from transformers import AutoConfig, GenerationConfig

    return eos_ids(tokenizer, _read(GenerationConfig, located), _read(AutoConfig, located))


def _read(kind: Any, located: "Located") -> Any:
    """None where the model's files hold no configuration of this kind."""
    try:
        return kind.from_pretrained(located.source)
    except Exception:
        return None
