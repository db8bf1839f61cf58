"""NLL at matched length: on texts whose NLL hangs on their length, with and without a difference of their own."""

import numpy as np
import pytest

from rewright.trainer.build.matched import nll_at_matched_length


def texts(shift, rows=400):
    """Completions twice as long as references; NLL falls with the length, and completions differ by `shift`."""
    dice = np.random.default_rng(3)
    reference_length = dice.integers(40, 200, rows)
    length = np.clip(reference_length * 2, 40, 240)
    reference_nll = 2 - 0.005 * reference_length + 0.05 * dice.standard_normal(rows)
    nll = 2 - 0.005 * length + shift + 0.05 * dice.standard_normal(rows)
    return nll.tolist(), length.tolist(), reference_nll.tolist(), reference_length.tolist()


@pytest.mark.parametrize("shift", [0.0, -0.3])
def test_what_the_length_does_is_taken_out(shift):
    nll, length, reference_nll, reference_length = texts(shift)
    found = nll_at_matched_length(nll, length, reference_nll, reference_length, [True] * len(nll))
    plain = np.mean(nll) - np.mean(reference_nll)
    assert abs(plain - shift) > 0.25 and found["difference"] == pytest.approx(shift, abs=0.05)
    low, high = found["interval"]
    assert low < found["difference"] < high and high - low < 0.1


def test_fallbacks_and_unknown_numbers_are_no_completions():
    found = nll_at_matched_length(
        [1.0, None, 5.0, 2.0], [10, 10, 10, 10], [1.5, 2.5, None, 2.0], [10, 10, 10, 10], [True, True, True, False]
    )
    assert (found["rows"], found["nll"], found["reference_nll"]) == (2, 3.0, 2.0)
    assert nll_at_matched_length([1.0], [10], [1.0], [10], [False]) is None
    assert nll_at_matched_length([], [], [], [], []) is None
