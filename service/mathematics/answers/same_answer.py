"""Whether a candidate ends in the same final answer as the reference, as far as reading and arithmetic can tell.

What `/v1/verify` decides with workers and algebra, a judge's question only mentions: this is the part of it that takes
microseconds, so it says None where it cannot tell. Pure.
"""

from rewright.service.mathematics.answers.equality import compare
from rewright.service.mathematics.answers.extraction import find_answer
from rewright.service.mathematics.answers.gold import read_gold
from rewright.service.mathematics.answers.leaves import arithmetic_leaf, cheap_leaf
from rewright.service.mathematics.answers.multiple_choice import chosen_letter
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS, normalise


def same_final_answer(reference: str, candidate: str) -> bool | None:
    """reference: the reference solution, or the gold answer alone."""
    gold, found = read_gold(None, reference), find_answer(candidate)
    if gold is None or found is None:
        return None
    if gold.letter:
        return chosen_letter(found, candidate) == gold.letter
    wanted, given = normalise(gold.text), normalise(found.text)
    if not wanted or not given or max(len(wanted), len(given)) >= MAX_CHARACTERS:
        return None
    equal = compare(wanted, given, cheap_leaf)
    return compare(wanted, given, arithmetic_leaf) if equal is None else equal
