"""What tests of several steps of the trainer share."""

import pytest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is not there is given up after a moment."""
    from rewright.trainer.pipeline import pipeline
    from rewright.trainer.runs.preflight import check_service

    assert check_service.__kwdefaults__ is not None
    monkeypatch.setitem(check_service.__kwdefaults__, "wait_s", 0.3)
    monkeypatch.setattr(pipeline, "INFO_S", 0.3)
