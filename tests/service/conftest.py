"""The embedded backbone, loaded once for all tests that run it."""

import pytest
from transformers import PreTrainedTokenizerBase

from rewright.service.models.backbone import Backbone, load_backbone


@pytest.fixture(scope="session")
def embedded_backbone() -> Backbone:
    """In float32. Its first use ever on a machine converts the GGUF file into the cache directory."""
    return load_backbone("embedded", precision="float32", device="cpu")


@pytest.fixture(scope="session")
def embedded_tokenizer(embedded_backbone: Backbone) -> PreTrainedTokenizerBase:
    return embedded_backbone.tokenizer
