"""Signals of reward hacking, on texts whose numbers can be counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.service.reward.signals import signals_of


def test_counts_words_and_punctuation():
    (signal,) = signals_of(["One plus one, is 2."], "a b c")
    assert signal.n_tokens == 7 and signal.length_ratio == pytest.approx(7 / 3)


def test_a_loop_repeats_and_a_plain_text_does_not():
    loop, plain = signals_of(["a b c d e f g h " * 10, " ".join(map(str, range(40)))], None)
    assert loop.repeated == pytest.approx((80 - 7 - 8) / (80 - 7))
    assert plain.repeated == 0.0


def test_copying_the_reference_shows():
    reference = " ".join(f"w{i}" for i in range(30))
    copy, half, own = signals_of([reference, " ".join(f"w{i}" for i in range(15)) + " " + "x y " * 10, "z"], reference)
    assert copy.copied == 1.0 and 0 < half.copied < 1 and own.copied == 0.0


def test_without_a_reference_there_is_nothing_to_compare_with():
    blank, empty_reference = signals_of([""], None)[0], signals_of(["a"], "")[0]
    assert (blank.n_tokens, blank.length_ratio, blank.copied, blank.repeated) == (0, None, None, 0.0)
    assert (empty_reference.length_ratio, empty_reference.copied) == (None, None)


@given(st.lists(st.text(alphabet="ab1_ \t\n.,$\\{}\x00\x1c\x1f\x0b", max_size=80), min_size=1, max_size=5))
def test_arrays_count_what_the_pattern_counts(texts):
    # A sign outside ASCII in the reference sends the whole group the slow way; alone, it is a token of its own.
    reference = texts[0]
    plain = signals_of([*texts, texts[-1] * 3], reference)
    by_pattern = signals_of([*texts, texts[-1] * 3, "é"], reference)[:-1]
    assert plain == by_pattern
