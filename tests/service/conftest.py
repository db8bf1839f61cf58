"""The embedded backbone, loaded once for all tests that run it. Torch is imported by those alone."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from rewright.service.models.backbone import Backbone


@pytest.fixture(scope="session")
def embedded_backbone() -> "Backbone":
    """In float32. Its first use ever on a machine converts the GGUF file into the cache directory."""
    from rewright.service.models.backbone import load_backbone

    return load_backbone("embedded", precision="float32", device="cpu")


@pytest.fixture(scope="session")
def embedded_tokenizer() -> "PreTrainedTokenizerBase":
    """Its tokenizer alone, for tests that need no weights."""
    from transformers import AutoTokenizer

    from rewright.service.models.defaults import EMBEDDED
    from rewright.service.models.locating import locate

    source = locate(EMBEDDED, setting="scorers.nll").source
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    return tokenizer
