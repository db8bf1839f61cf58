"""Everything that reads a candidate's text takes time linear in its length, whatever the text is made of.

Lengths are doubled and the times compared, so that no test depends on how fast the machine is. What reads only a window
or a bounded answer is doubled within its bound.
"""

import re
import time
from collections.abc import Callable

import pytest

from rewright.service.mathematics.answers.bound_names import with_names_of
from rewright.service.mathematics.answers.context import alternatives, denied_inside, taken_back, visible, whole_formula
from rewright.service.mathematics.answers.equality import compare
from rewright.service.mathematics.answers.extraction import find_answer, may_state
from rewright.service.mathematics.answers.gold import Gold, read_gold, same_prose, says
from rewright.service.mathematics.answers.leaves import arithmetic_leaf, cheap_leaf
from rewright.service.mathematics.answers.multiple_choice import chosen_letter, gold_letter, option_letter
from rewright.service.mathematics.answers.normalisation import normalise
from rewright.service.mathematics.answers.notation import marks_differ
from rewright.service.mathematics.answers.numbers import read_number
from rewright.service.mathematics.answers.prose import last_value
from rewright.service.mathematics.answers.quantities import values
from rewright.service.mathematics.answers.question import in_asked_unit, only_quotes
from rewright.service.mathematics.answers.respelling import with_capitals_apart, with_ended_functions
from rewright.service.mathematics.answers.same_answer import same_final_answer
from rewright.service.mathematics.answers.serialised import named_values, without_data
from rewright.service.mathematics.answers.statements import held_by
from rewright.service.mathematics.answers.structure import read
from rewright.service.mathematics.answers.units import split_unit
from rewright.service.mathematics.equations.plain_text import plain, sentences
from rewright.service.mathematics.equations.statements import first_false
from rewright.service.mathematics.reasoning.bare_answer import only_states_its_answer
from rewright.service.mathematics.reasoning.certain_faults import certain_fault
from rewright.service.reward.signals import signals_of
from rewright.service.scorers.judge.marks import unmarked
from rewright.service.scorers.judge.prompt import JudgePrompt
from rewright.service.scorers.judge.readings import readings

GOLD = Gold("the second player", raw="the second player")
PROMPT = JudgePrompt.load("label-v2")
SHAPES = [
    "```\n", "```", "~~~\n", "\\", "\\\\", "{", "}", "{}", "$", "$$", "$1$ ", "9", "9,", "1/", " ", "\t", "\n",
    "\r\n", "\n\n", "(", ")", "()", "[", "]", "'", '"', "=", "=?", "a=", "1=1=", "1+1=2\n", "\\boxed{", "boxed{",
    "\\boxed{1}", "not ", "is not ", "if ", "wrong ", "answer ", "The answer is ", "or ", "and ", ",", ";", ".", ". ",
    "? ", "! ", "-", "1. ", "a", "a ", "a_", "_", "^", "%", "*", "~~", "<|", "<think>", "<!--", "\\text{", "\\frac{",
    "\\sqrt", "\\cancel{", "\\quad", "\\;", "\\(", "\\[", "\\begin{pmatrix}", "#", "#### ", "é", "。", "答案是",
    "million ", "|", "\\pm ", "1\\pm", "2\\lor ", "A", "AB", "x<", "|x|<", "x=", "x=1,", "1:", "1\\approx ", "\\ne 1,",
    "\\cup", "\\setminus", "\\{x|", "[1,2]\\cup", "\\begin{cases}", "\\text{or}", "\\text{is}", "\\text{for all }x",
    "1 half ", "1 hundred ", "1 dollar ", "base ",
    "\\color{a}", "\\sin x\\cdot ", "\\forall x", "k\\pi", "\\times ", "½",
    "\u0661", "\u200b", "1\\text{ ", '{"a":', "- a:\n",
]  # fmt: skip
Reader = Callable[[str], object]

WHOLE: dict[str, Reader] = {
    "unmarked": unmarked,
    "question": lambda text: PROMPT.question(problem="q", reference="r", candidate=text, answer="42"),
    "readings": lambda text: readings(text, "42", problem="q"),
    "certain_fault": lambda text: certain_fault(problem="p", reference="r", candidate=text),
    "certain_fault of what is trusted": lambda text: certain_fault(problem=text, reference=text, candidate="a b c d"),
    "first_false": first_false,
    "sentences": lambda text: list(sentences(text)),
    "find_answer": find_answer,
    "find_answer beside a problem": lambda text: find_answer(text, "How many of the 3 dollars are left?"),
    "gold of an answer": lambda text: read_gold(text, None),
    "gold of a reference": lambda text: read_gold(None, text),
    "text of a gold": lambda text: says(GOLD, find_answer(text), text),
    "gold that is prose": lambda text: same_prose("Ann has 5 and Ben has 7", find_answer(text), text),
    "may_state": may_state,
    "same_final_answer": lambda text: same_final_answer("42", text),
    "chosen_letter": lambda text: chosen_letter(find_answer(text), text),
    "visible": visible,
    "without_data": without_data,
    "signals": lambda text: signals_of([text, text + "é"], text),
}
"""What is given a candidate as it came."""
ANSWERS: dict[str, Reader] = {
    "normalise": normalise,
    "plain": plain,
    "read": read,
    "read_number": read_number,
    "split_unit": split_unit,
    "denied_inside": denied_inside,
    "named_values": named_values,
    "option_letter": option_letter,
    "held_by": held_by,
    "values": values,
    "last_value": lambda text: last_value(text, "How many of the 3 dollars are left?"),
    "gold that is long prose": lambda text: same_prose(text, None, text + "1"),
    "asked unit": lambda text: in_asked_unit("How many dollars?", "5", text),
    "gold_letter": gold_letter,
    "with_ended_functions": with_ended_functions,
    "with_capitals_apart": lambda text: with_capitals_apart(text, "r"),
    "with_names_of": lambda text: with_names_of(text, "f(x)=x"),
    "marks_differ": lambda text: marks_differ(text, text[::-1]),
    "cheap": lambda text: compare("42", text, cheap_leaf),
    "arithmetic": lambda text: compare("x=42", text, arithmetic_leaf),
    "two chains": lambda text: compare(text, text + "1", cheap_leaf),
    "same answer of both": lambda text: same_final_answer(text, text + "1"),
    "bare answer": lambda text: only_states_its_answer(problem="p", candidate=text),
}
"""What is given no more than an answer or a sentence, of 4,000 characters at most."""
WINDOWS: dict[str, Reader] = {
    "taken_back": lambda text: taken_back(text, len(text) // 2, len(text) // 2 + 1),
    "whole_formula": lambda text: whole_formula(text, len(text) // 2, len(text) // 2 + 1, "5"),
    "alternatives": lambda text: alternatives(text, (0, 1), (len(text) - 1, len(text))),
    "asked unit of a question": lambda text: in_asked_unit(f"How many dollars? {text}", "5", "50\\text{cents}"),
    "only_quotes": lambda text: only_quotes(f"Compute ${text}z$", "42", "1+1"),
    "answer in prose": lambda text: find_answer(f"so we have ${text}$ and see {text} 5 {text}"),
}
"""What reads a few hundred characters around one place."""


def growth(reader: Reader, short: str, long: str, *, enough: float) -> float:
    """How many times the CPU seconds the longer text takes; the least of a few attempts, each but the first the best of
    several. The longer text goes first: what the reader keeps for the next makes no short text look slow."""
    least = float("inf")
    for tries in (1, 3, 3, 3, 3, 3):
        best = {short: float("inf"), long: float("inf")}
        for _ in range(tries):
            for text in (long, short):
                began = time.thread_time()
                reader(text)
                best[text] = min(best[text], time.thread_time() - began)
        least = min(least, best[long] / best[short])
        if least <= enough:
            break
    return least


def grown(readers: dict[str, Reader], shape: str, sizes: tuple[int, ...], *, enough: float) -> dict[str, float]:
    """Readers that take more than `enough` times as long for twice a text, from any of the sizes on.

    Of whole shapes, since a text that ends within one may be another kind of text.
    """
    slow: dict[str, float] = {}
    for size in sizes:
        short = shape * max(1, size // len(shape))
        for name, reader in readers.items():
            if name not in slow and (times := growth(reader, short, short * 2, enough=enough)) > enough:
                slow[name] = times
    return slow


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_and_answers_and_whole_texts(shape: str) -> None:
    # Within a window a square would be harmless, and more would not.
    assert grown(WINDOWS, shape, (10, 20, 40, 80), enough=5) == {}
    assert grown(ANSWERS, shape, (950,), enough=3) == {}
    assert grown(WHOLE, shape, (6_000,), enough=3) == {}


def test_the_measure_sees_a_square_and_a_run_that_doubles() -> None:
    square = re.compile(r"\s*z")
    # In one of a few tries: other work on the machine makes the shorter text's time the longer one, now and then.
    assert any(grown({"square": square.search}, " ", (950,), enough=3) for _ in range(9))
    doubling = re.compile(r"(?:=\??|\?)+z")
    assert any(grown({"doubling": doubling.search}, "=?", (10, 20), enough=6) for _ in range(9))
