"""What rooms of the service share in tests: the embedded backbone, loaded once, and a server that speaks Redis."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.live_server import free_port

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


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A server that speaks Redis, on loopback."""
    fakeredis = pytest.importorskip("fakeredis")
    server = fakeredis.TcpFakeServer(("127.0.0.1", free_port()))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
