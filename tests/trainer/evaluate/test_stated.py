"""What states an answer: on answers written here, and on every option question of the public evaluation file."""

import asyncio
import json
from pathlib import Path

import pytest

from rewright.service.schema import Group
from rewright.service.scorers.verify.scorer import AnswerVerifier
from rewright.trainer.evaluate.stated import LETTERS, same_option, stated_option, stated_value

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "eval.jsonl"
COLOURS = ("red", "light blue", "not green", "Vitamin C")


def option(text, options=COLOURS, *, cut=False):
    choice = stated_option(text, options, cut=cut)
    return None if choice is None else choice.letter


@pytest.mark.parametrize(
    "text",
    [
        "…so it is.\n\n$\\boxed{B}$",
        r"\boxed{\text{B}}",
        r"\boxed{\textbf{(B)}\ \text{light blue}}",
        r"\boxed{b}",
        r"\boxed{light blue}",
        r"The answer is $\boxed{B}$. I hope this helps you with A and C!",
        "The answer is B.",
        "The answer to the question is therefore (B) light blue.",
        "Answer: **B**",
        "**Final answer:**\n\nB. light blue",
        "The correct option is B, because A and C are wrong.",
        "The answer is light blue.",
        "The answer is B, not A.",
        "work\n#### B",
        "Thus option B is correct.",
        "B is the correct answer.",
        "A. is red, which is wrong.\n\n(B)",
        "Thus:\n**B**\n",
        "B",
        "B. light blue",
        "A: red\nB: light blue\n\nThe best choice is B.",
        "所以答案是B。",
        "故选：B",
        "<think>The answer is A.</think>\n\\boxed{B}",
        "\\boxed{A} is wrong. The answer is B.",
        "The answer is A.\n\nWait, no. The answer is B.",
        "I would say the answer is B.",
        "That is why the answer is B.",
        "It is not A so the answer is B.",
        "The answer is B. It is not A, and it cannot be C.",
        r"We write this as $\boxed{B}$",
        r"In simplest form, $\boxed{B}$",
    ],
)
def test_a_statement_names_its_option(text):
    assert option(text) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "…Vitamin C helps. Vitamin D",
        "The temperature is 30 °C",
        "I like B, and light blue.",
        "The answer is not B.",
        "If the answer is B, it is cold.",
        "The answer might be B.",
        r"\boxed{B} is wrong.",
        r"$\boxed{B}$, but that is not correct.",
        "I do not think the answer is B.",
        "The answer is B. This cannot be right.",
        r"End with a line exactly like: $\boxed{B}$",
        r"\boxed{}",
        r"\boxed{B",
        "A possible answer is B.",
        "The answer is one of B and C.",
        "A person who is blue.",
        "Answer: let us think step by step.",
        "The answer is A good idea.",
        "A\nB",
        "What is the answer? A. red B. light blue C. not green",
        "",
        "the end\u2028B",
    ],
)
def test_prose_and_lists_state_nothing(text):
    assert stated_option(text, COLOURS, cut=False) is None


def test_two_options_are_stated_but_neither_is_named():
    for text in (r"\boxed{A, B}", "The answer is B or C.", r"\boxed{B. red}", r"\boxed{(A) red (B) light blue}"):
        choice = stated_option(text, COLOURS, cut=False)
        assert choice is not None and choice.letter is None and not choice.is_open, text


def test_another_value_is_left_to_a_verifier():
    choice = stated_option(r"\boxed{0.5}", ("1/2", "1/3"), cut=False)
    assert choice is not None and choice.is_open and choice.said == r"$\boxed{0.5}$"
    assert (
        stated_option("The answer is 0.5 metres.", ("1/2", "1/3"), cut=False) is None
    )  # "metres" is more than a value


def test_what_the_cut_runs_through_is_not_stated():
    for text in ("The answer is B", "So:\nB", "B", r"\boxed{B"):
        assert stated_option(text, COLOURS, cut=True) is None, text
    assert option("The answer is B. Now we check that", cut=True) == "B"
    assert option("\\boxed{B} and again and again", cut=True) == "B"
    assert stated_value("So x is 5. The answer is 12", cut=True) is None
    assert stated_value("\\boxed{5} then the answer is 12", cut=True) == "\\boxed{5}"


def test_options_that_are_letters_case_or_twice_there():
    assert option(r"\boxed{C}", ("C", "A", "B")) == "C"
    assert option(r"\boxed{K}", ("G", "H", "K")) == "C"
    assert (option("The answer is aa.", ("Aa", "aa")), option(r"\boxed{Aa}", ("Aa", "aa"))) == ("B", "A")
    assert same_option("A", "C", ("8.75", "8.79", "8.75 ")) and not same_option("A", "B", ("8.75", "8.79"))
    assert option("The answer is (B) and (C).", ("red", "(A) and (B).", "(B) and (C).")) == "C"


def test_values_are_stated_or_not():
    for text in (r"so \boxed{5}", "The answer is 5.", "#### 5", "5", "$\\frac{1}{2}$", "Answer: 5 km"):
        assert stated_value(text, cut=False) == text
    for text in ("She has 5 apples left.", "x = 5\ny = 6", "The answer is not 5.", "", "so \\boxed{"):
        assert stated_value(text, cut=False) is None, text


def test_time_is_linear_in_hostile_texts():
    for text in (
        "\\boxed{" * 8_000,
        "answer is " * 6_000,
        "A is the correct " * 4_000,
        "Answer: A\n" * 6_000,
        "答案" * 30_000,
    ):
        stated_option(text, COLOURS, cut=False)
        stated_value(text, cut=True)


@pytest.fixture(scope="module")
def questions():
    if not DATA.is_file():
        pytest.skip("the public data is absent: eval.jsonl is expected in ../shared/data beside the checkout")
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").split("\n") if line]
    return [row for row in rows if row["options"]]


LISTS = {
    "lines": ("{l}. {t}", "\n"),
    "brackets": ("({l}) {t}", "\n"),
    "one line": ("({l}) {t}", " "),
    "dots in one line": ("{l}. {t}", " "),
    "colons": ("{l}: {t}", "\n"),
    "bold": ("- **{l}.** {t}", "\n"),
    "named": ("Option {l}: {t}.", "\n"),
    "sentences": ("Option {l} is {t}.", " "),
    "answers": ("Answer {l}: {t}", "\n"),
    "possible": ("A possible answer is {l}: {t}.", "\n"),
    "letters": ("{l}", "\n"),
    "letters in one line": ("{l}", ", "),
    "texts": ("{t}", "\n"),
    "in Chinese": ("选项{l}：{t}", "\n"),
}
HEADS = ("", "Options:\n", "Answer:\n", "The answer is ", "The answer choices are:\n", "答案：\n")


@pytest.mark.parametrize("name", LISTS)
def test_no_list_of_options_is_credited(questions, name):
    shape, between = LISTS[name]
    assert len(questions) > 700
    for row in questions:
        listed = between.join(
            shape.format(l=letter, t=text) for letter, text in zip(LETTERS, row["options"], strict=False)
        )
        for head in HEADS:
            if head in ("The answer is ", "Answer:\n", "答案：\n") and name in ("texts", "sentences", "named"):
                continue  # the first option's text is what is announced there
            for cut in (False, True):
                letter = option(head + listed, row["options"], cut=cut)
                assert letter is None or not same_option(letter, row["answer"], row["options"]), (head, row["id"])


@pytest.mark.parametrize(
    "form",
    [
        "Work.\n\n$\\boxed{{{l}}}$", "\\boxed{{{t}}}", "\\boxed{{{l}. {t}}}", "\\boxed{{\\textbf{{({l})}}\\ {t}}}",
        "The answer is {l}.", "The answer is {t}.", "The correct answer is ({l}) {t}.", "**Answer: {l}**",
        "Answer: {l}) {t}",
        "Therefore, the correct option is {l}.", "Thus option {l} is correct.", "Work.\n\n{l}", "{l}. {t}", "#### {l}",
        "The answer is {l} because it is so.",
        "故选{l}。", "The final answer is:\n\n{l}",
    ],
)  # fmt: skip
def test_every_gold_in_its_own_stated_form_is_credited(questions, form):
    for row in questions:
        said = form.format(l=row["answer"], t=row["options"][LETTERS.index(row["answer"])])
        letter = option(said, row["options"])
        assert letter is not None and same_option(letter, row["answer"], row["options"]), (row["id"], said)


def test_every_gold_value_in_its_own_stated_form_is_credited():
    """Read by the service's verifier, as evaluations send it."""
    if not DATA.is_file():
        pytest.skip("the public data is absent: eval.jsonl is expected in ../shared/data beside the checkout")
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").split("\n") if line]
    asked = []
    for row in (row for row in rows if row["options"] is None):
        forms = (
            f"So.\n\n$\\boxed{{{row['answer']}}}$",
            f"The answer is {row['answer']}.",
            f"So.\n#### {row['answer']}",
        )
        said = [stated_value(form, cut=False) for form in forms]
        assert None not in said, row["id"]
        asked.append(Group(id=row["id"], problem=row["question"], answer=row["answer"], candidates=said))

    async def verified():
        verifier = AnswerVerifier(workers=1, cpu_s=2, memory_mb=512, queue=10_000)
        await verifier.open()
        try:
            return await verifier.score(asked)
        finally:
            await verifier.close()

    groups = asyncio.run(verified())
    assert len(groups) > 200
    assert [group.id for group in groups for item in group.candidates if not getattr(item, "correct", False)] == []
