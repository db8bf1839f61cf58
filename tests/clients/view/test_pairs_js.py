"""Candidates two by two, as the page counts the words they share and tells one text from another."""

import random

import pytest

from tests.clients.view.page_code import in_the_page, needs_node

pytestmark = needs_node


def test_similarity_is_the_share_of_word_trigrams() -> None:
    texts = ["six sevens are 42", "Six  sevens\nare 42", "six sevens are 13", "", None, "no", "no no"]
    found = in_the_page("pairs", "pairs.similarities(texts)", texts=texts)
    assert found[0][:2] == [1, 1], "case and space do not count"
    # With two ends on either side four words have six trigrams, of which the first three are shared.
    assert found[0][2] == pytest.approx(3 / 9)
    assert found[0][3] == 0 and found[3][3] is None
    assert found[4] == [None] * 7
    assert found[5][5] == 1 and 0 < found[5][6] < 1
    assert all(found[i][j] == found[j][i] for i in range(7) for j in range(7))


def test_a_text_said_twice_is_not_the_text_said_once() -> None:
    ((_, half), _) = in_the_page("pairs", "pairs.similarities(texts)", texts=["a b c " * 9, "a b c " * 18])
    assert half < 0.6


def test_a_difference_spells_both_texts_to_the_last_character() -> None:
    dice = random.Random(3)
    words = ["six", "times", " ", "\n", "7", "=", "42", "\u202e", "é", "<b>", "  "]
    pairs = [["".join(dice.choices(words, k=dice.randrange(0, 30))) for _ in range(2)] for _ in range(200)]
    pairs += [["same", "same"], ["", ""], ["", "all new"], ["all old", ""]]
    found = in_the_page("pairs", "list.map(([a, b]) => pairs.difference(a, b))", list=pairs)
    for (old, now), parts in zip(pairs, found, strict=True):
        assert "".join(part["text"] for part in parts if part["kind"] != "new") == old
        assert "".join(part["text"] for part in parts if part["kind"] != "old") == now
    assert found[-4] == [{"kind": "same", "text": "same"}] and found[-3] == []


def test_a_difference_is_of_few_words_where_few_differ() -> None:
    found = in_the_page("pairs", "pairs.difference(a, b)", a="6 * 7 = 42, so 42.", b="6 * 7 = 42, hence 42.")
    assert [(part["kind"], part["text"]) for part in found] == [
        ("same", "6 * 7 = 42, "),
        ("old", "so"),
        ("new", "hence"),
        ("same", " 42."),
    ]


def test_texts_that_would_take_too_long_are_not_compared() -> None:
    dice = random.Random(1)
    texts = [" ".join(str(dice.random()) for _ in range(20_000)) for _ in range(2)]
    assert in_the_page("pairs", "pairs.difference(a, b)", a=texts[0], b=texts[1]) is None
    near = texts[0].replace(texts[0][5_000:5_010], "other", 1)
    assert len(in_the_page("pairs", "pairs.difference(a, b)", a=texts[0], b=near)) > 1
