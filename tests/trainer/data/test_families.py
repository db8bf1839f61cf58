"""Problems that differ in the writing of numbers, names and white space alone are of one family, and of one stage."""

import pytest

from rewright.trainer.data.families import family_hash, family_key
from rewright.trainer.data.split import stage_of

FAMILIES = [
    ("Tom has 1,000 apples and eats 25. How many are left?", "Anna  has 1000 apples and eats 25.0. How many are left?"),
    ("Tom has $1{,}000$ apples. He eats 3.", "Maria has 1 000 apples.\nShe eats three."),
    ("A train runs \\$40 and 5 km.", "A train runs 40 and 5 km."),
    ("What is $\\left( 3 + 4 \\right)$?", "what is 3+4 ?"),
    ("Mr. Li's shop sold 12 pens.", "Mrs. Smith's shop sold twelve pens."),
    ("Find the sum of 05 and 7", "find the sum of 5 and 7."),
]


@pytest.mark.parametrize(("one", "other"), FAMILIES)
def test_one_family(one, other):
    assert family_key(one) == family_key(other) and family_hash(one) == family_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 10 apples. How many?", "Tom has 11 apples. How many?"),
        ("Tom has 10 apples. How many?", "Tom has 10 pears. How many?"),
        ("What is 3 + 4?", "What is 3 - 4?"),
        ("What is 1.05?", "What is 1.5?"),
    ],
)
def test_another_problem(one, other):
    assert family_key(one) != family_key(other)


def test_a_family_is_never_on_both_sides():
    names = ("Tom", "Anna", "Li Wei", "Olga")
    for n in range(40):
        members = [f"{name} buys {n + 1},000 bricks and sells {n}. What is left?" for name in names]
        members += [m.replace(",000", "000").replace(" and ", "  and ") for m in members]
        assert len({stage_of(family_hash(m), share=0.5) for m in members}) == 1


def test_what_leaves_nothing_is_a_family_of_its_own():
    assert family_hash("...") != family_hash("!!") and family_hash("\ud83d")
