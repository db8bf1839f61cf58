"""The arithmetic of a solution: what is certainly false is found and quoted, everything else is left alone."""

import math
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.service.mathematics.equations.statements import first_false
from rewright.service.mathematics.reasoning.certain_faults import certain_fault

FALSE = [
    "48 + 42 = 80",
    "So she has <<9*2=17>>17 pens.",
    r"Then $48 \times 2 = 95$ in all.",
    r"The share is $\frac{3}{4} \cdot 20 = 16$.",
    "He pays 3 * $1,200 = $3,500 a year.",
    "In total 7 apples + 6 apples = 14 apples.",
    "The train needs 180/60 = 4 hours.",
    "x = 3 + 4 = 8",
    "5 + 6 = 11 + 2 = 14",
    "We get 20% of 50 = 12.",
    "2^5 = 30",
    "If the tank is half full, then it holds 40 / 2 = 25 litres.",
    "A dozen jars weigh a total of 12*3=38 kg.".replace("A dozen jars", "Twelve jars"),
    "(2 + 3)(4) = 24",
    "10 / 4 = 2.7",
    "-3 - 4 = -6",
    "1/2 + 1/4 = 2/6",
    "He buys 12 x 3 = 38 eggs.",
    r"\[ 6^2 + 8^2 = 110 \]",
    "7 × 8 = 54",
    r"\sqrt{144} = 13",
    r"The diagonal is $\sqrt{5^2 + 12^2} = 14$ metres.",
    "√81 + 1 = 11",
    r"\sqrt[3]{27} = 4",
    "It grows by a factor of 2^(1/5) = 1.25 an hour.",
    "After 20 years there are 300 * (1.05)^20 = 950 fish.",
    "There are 5! = 100 ways.",
    r"$\frac{7!}{3!(7-3)!} = 45$",
    r"\[\binom{6}{2} = 30\]",
    r"Its area is $9\pi = 35$.",
    r"\sqrt{10} \approx 3.6",
    "100 / 7 ≈ 16.5",
    "The sum is 7 + 3y + 20 + 4 = 33 + 3y.",
    "She has 2k + 3k + k = 7k stamps.",
    "At 40km/hr he has driven 40*6 = 250 km",
    "We can write: 900 grams = 9 grams.",
    "And $6=2+5$ is true.",
]
FALSE_COMPLEX = ["(1 + 2i)(3 - i) = 3 + 5i", "2i(3 + i) = 6i + 2", r"\frac{4 + 2i}{1 - i} = 1 + 2i", "i^2 + 3 = 4"]
FINE_COMPLEX = [
    "(1 + 2i)(3 - i) = 5 + 5i",
    r"\frac{4 + 2i}{1 - i} = 1 + 3i",
    "z = a + bi = 3 + 4i",
    "i^2 = -1",
    "(2 + i)^2 = 3 + 4i",
]
FINE = [
    "48 + 42 = 90",
    "3 + 4 = 7 + 2 = 9",
    "10 / 3 = 3.33",
    "2/3 = 0.66",
    "7 / 2 = 3 full boxes",
    "1.33 * 3 = 4",
    "100 / 7 ≈ 14",
    "17 * 3 is about 50, so 17 * 3 = 50 or so, roughly",
    "2 hours * 60 = 120 minutes",
    "3 feet = 36 inches",
    "1 hour + 30 minutes = 90 minutes",
    "20% + 30% = 50%",
    "20% * 50 = 10",
    "50 * 20 % = 1000 %",
    "25/100 = 25%",
    "3x + 4 = 28",
    "x - 5 + 3 = 10",
    "f(3) = 9",
    r"\sqrt{16} = 4",
    "5! = 120",
    "log 100 = 2",
    "2 + 2 = 5 is false",
    "Is 3 * 4 = 13?",
    "Suppose 2 + 2 = 5 for once.",
    "17 + 8 = 1 (mod 12)",
    "60 / 3/4 = 80",
    "2 1/2 + 1 = 3 1/2",
    r"2\frac{1}{2} + 1 = 3\frac{1}{2}",
    "3 pens + 1 rubber = 124 cents",
    "the product of 5 and 3 + 4 = 19",
    "twice 3 + 4 = 10",
    "10:30 + 2 = 12:30",
    "On day 1 * 2 = 20 pages",
    "1990-1995 = 5 years",
    "1/6, 2/8 = 1/3, 1/4",
    r"\frac{1}{2}bh = 75",
    "5 - 12.5 = -7.5 degrees",
    "10,000 / 2 = 5000 and 10{,}000 * 2 = 20{,}000",
    "a = 1, b = 2, a + b = 3",
    r"$5 \cdot 4 \cdot 3 \cdots = 120$",
    "3(4) = 12 and (3)(4) = 12",
    "0900 - 0130 = 0730",
    "2 dozen = 24",
    "the digits give 9 + 3 = 2",
    "17 / 5 = 3 R 2",
    r"\sqrt{50} = 7.07 and \sqrt{x + 3} = 4",
    r"x = \sqrt{16} = -4 or 4",
    r"\sqrt{8} = 2\sqrt{2}",
    "3^(1/2) = 1.73",
    "200 * (1.05)^10 = 325.78",
    "So it takes 10! Then 3 + 4 = 7.",
    "We buy 3 + 4 = 7! Hooray.",
    "0! = 1",
    r"\binom{5}{2} \cdot 3 = 30",
    r"2\pi(5) = 31.4 and 4\pi = 12.57",
    r"\pi = 180^\circ",
    "49 * 11 ≈ 50 * 10 = 500",
    "49 * 11 ≈ 550",
    "1000 / 3 ≈ 300",
    "2x + 5 = x + 9",
    "3x = 2x + 4",
    "x + 3 = x + 5 has no solution",
    "2y + 1 = 2y + 3. That is impossible.",
    "x_1 + 3 = x_2 + 5",
    "f(x) + 3 = f(x + 1) + 5",
    "u × v = -v × u",
    "2i + 1 = 7",
    "5x - 3 = 5x - 4 + 1 = 5x - 3",
    "Plugging in 1 we get $1 = 3 + 4$.",
    "Then $1=3+4$. This is not true.",
    "In triangle PQR, 2 PQ = 8 + 4 = 12",
    "12 eggs = 1 dozen eggs and 3 feet = 1 yard",
    "6 / 2(1 + 2) = 1",
    "sin x + 3 = sin x + 5",
    "a_{n+1} = a_n + 3",
]


@pytest.mark.parametrize("text", FALSE)
def test_a_false_statement_is_found_and_quoted(text: str) -> None:
    found = first_false(f"We begin.\n{text}\nSo that is it.")
    assert found is not None
    assert found.quote in text or "<<" in text


@pytest.mark.parametrize("text", FINE)
def test_what_is_true_or_can_be_read_twice_is_left_alone(text: str) -> None:
    assert first_false(text) is None


@pytest.mark.parametrize("text", FALSE_COMPLEX)
def test_complex_numbers_are_computed_where_the_problem_speaks_of_them(text: str) -> None:
    assert first_false(text, trusted="Compute the complex number z.") is not None
    assert first_false(text, trusted="Add the terms for every index i.") is None


@pytest.mark.parametrize("text", FINE_COMPLEX)
def test_true_statements_about_complex_numbers_are_left_alone(text: str) -> None:
    assert first_false(text, trusted="Compute the complex number z.") is None


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("7 + 3y + 20 = 28 + 3y", "27 + 3y", "28 + 3y"),
        ("2^(1/5) = 1.25", "1.1487", "1.25"),
        ("2k + k = 4k", "3k", "4k"),
    ],
)
def test_both_values_are_shown_as_a_person_would_write_them(text: str, left: str, right: str) -> None:
    found = first_false(text)
    assert found is not None and (found.left, found.right) == (left, right)


def test_other_arithmetic_is_believed_of_the_problem_and_not_of_a_line_added_to_the_solution() -> None:
    assert first_false("4 + 3 = 12", trusted="Add 4 and 3 in base 5.") is None
    assert first_false("4 + 4 = 9\nAll of this is modulo 7.") is not None


def test_a_long_sentence_is_quoted_by_its_statement_alone() -> None:
    found = first_false("word " * 60 + "so it is 6 * 7 = 43 boxes")
    assert found is not None and found.quote.startswith("6 * 7 = 43") and (found.left, found.right) == ("42", "43")


@given(st.integers(0, 999), st.integers(1, 999), st.sampled_from("+-*"), st.integers(-5, 5))
def test_integers_are_judged_exactly(a: int, b: int, sign: str, off: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    found = first_false(f"Then {a} {sign} {b} = {value + off}.")
    if off == 0:
        assert found is None
    elif value + off != -value:
        assert found is not None


@pytest.mark.parametrize(
    ("text_of", "size"),
    [
        (lambda n: "^".join("9" * n) + " = 1", 4),
        (lambda n: "(" * n + "= 1", 5_000),
        (lambda n: "1 + " * n + "1 = 3", 5_000),
        (lambda n: "=" * n, 12_000),
        (lambda n: "1/" * n, 10_000),
        (lambda n: "9!" * n + "= 1", 250),
        (lambda n: f"(x+1)^{n}(x+y)^{n}(x+z)^{n}(x+v)^{n} = 1", 12),
        (lambda n: "√(" * n + "= 1", 250),
        (lambda n: "1.5^20*" * n + "1 = 2", 50),
        (lambda n: "1.5^20(" * n + "1 = 2", 50),
        (lambda n: ("1.5^20*" * 50 + "1 = 2\n") * n, 4),
        (lambda n: ("1.5^20(" * 50 + "1 = 2\n") * n, 1),
    ],
    ids=[
        "tower of powers", "brackets", "sum", "equals signs", "fractions", "factorials", "powers of sums", "roots",
        "products of powers", "nested products of powers", "lines of them", "lines of nested ones",
    ],
)  # fmt: skip
def test_nothing_runs_away(text_of: Callable[[int], str], size: int) -> None:
    """Four times the length costs about four times the time: what grew with the square of it would cost sixteen times.

    Both are measured in turn, in the process's own CPU time, and the quickest of each counts, so that neither the
    machine's speed nor its load decides. What never ended would run into the suite's time limit.
    """
    short, long = (partial(first_false, text_of(n)) for n in (size, 4 * size))
    calls = 1 + int(0.005 / _cpu_s(short, calls=1))
    seconds_short = seconds_long = math.inf
    for _ in range(10):
        seconds_short = min(seconds_short, _cpu_s(short, calls=calls))
        seconds_long = min(seconds_long, _cpu_s(long, calls=calls))
        if seconds_long < 8 * seconds_short:
            return
    pytest.fail(f"{seconds_short:.2e} s became {seconds_long:.2e} s")


def _cpu_s(call: Callable[[], object], *, calls: int) -> float:
    """CPU seconds of one call, the mean of so many."""
    began = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - began) / calls


@given(st.text(alphabet="0123456789+-*/^=()[]{}$%.,\\ xabi!√π≈\n<>", max_size=120))
def test_no_text_raises(text: str) -> None:
    first_false(text)
    certain_fault(problem=text, reference=text, candidate=text)


# --- the other certain checks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The answer is \\boxed{42}.", "no reasoning"),
        ("42", "no reasoning"),
        ("Step 1:\nStep 2:\nStep 3:\nAnswer: 42", "no reasoning"),
        ("Obviously. Verified. QED.", "no reasoning"),
        ("The jars are many and the crates few, so the number cannot be determined.", "a refusal"),
        ("I'm sorry, but as an AI I have looked at the jars and I cannot help with this.", "a refusal"),
        ("Each crate holds 12. 4 * 12 = 49.", "false calculation"),
    ],
)
def test_next_to_nothing_and_refusals_do_not_pass(text: str, reason: str) -> None:
    fault = certain_fault(problem="How many jars?", reference="4 * 12 = 48.", candidate=text)
    assert fault is not None and fault.startswith(reason)


@pytest.mark.parametrize(
    "text", ["4 crates of 12 hold 48.", "6*7=42", "因为每箱十二罐，四箱共四十八罐。", "Since a < b, a = 1."]
)
def test_short_reasoning_is_a_matter_for_the_model(text: str) -> None:
    assert certain_fault(problem="How many?", reference="48", candidate=text) is None


def test_a_refusal_that_the_reference_shares_is_an_answer() -> None:
    text = "Both orders of the runners fit, so the winner cannot be determined."
    assert certain_fault(problem="Who won?", reference="It cannot be determined.", candidate=text) is None
