r"""Which answer a reference solution asks for: families of right answers, near misses and mirrors, and references that
ask for none. All are written for this project.

A row is (reference, candidate, right) and, in some, the problem.
"""

from tests.service.scorers.verify.stated_answers import Row

REFERENCES: dict[str, list[Row]] = {
    "a calculation alone asks for its value": [
        ("6 * 7 = 42.", "42", True),
        ("6 * 7 = 42.", "6 * 7 = 42.", True),
        ("6 * 7 = 42.", "So it is 6 * 7 = 42", True),
        ("6 * 7 = 42.", "The answer is 42.", True),
        ("6 * 7 = 42.", "43", False),
        ("6 * 7 = 42.", "7", False),
        ("6 * 7 = 42 jars", "42 jars", True),
        ("6 * 7 = 42 jars", "7 jars", False),
        ("$6\\times 7=42$", "\\boxed{42}", True),
        ("$6\\times 7=42$", "\\boxed{6}", False),
        ("\\boxed{6 * 7 = 42}", "\\boxed{42}", True),
        ("\\frac{1}{2}+\\frac13=\\frac56", "\\boxed{\\frac56}", True),
        ("\\frac{1}{2}+\\frac13=\\frac56", "\\boxed{\\frac13}", False),
        ("1 + 1 = 2\n2 + 2 = 4", "4", True),
        ("1 + 1 = 2\n2 + 2 = 4", "2", False),
        ("7! = 5040", "5040", True),
        ("5x = 10", "10", False),
        ("y = 2x + 1", "2x + 1", True),
        ("6 + 7 = 13 > 12", "12", False),
        ("10/4 = 2.5 or 5/2", "2", False),
    ],
    "names before boxes": [
        ("Solving gives $x=\\boxed{3}$ and $y=\\boxed{-1}$.", "So $y=\\boxed{-1}$, $x=\\boxed{3}$.", True),
        ("Solving gives $x=\\boxed{3}$ and $y=\\boxed{-1}$.", "So $x=\\boxed{-1}$ and $y=\\boxed{3}$.", False),
        ("Ann has \\boxed{3} and Ben has \\boxed{8}.", "Ann has \\boxed{3} and Ben has \\boxed{8}.", True),
        ("Ann has \\boxed{3} and Ben has \\boxed{8}.", "Ann has \\boxed{8} and Ben has \\boxed{3}.", False),
    ],
    "the answer first": [
        ("Answer: 7. Suppose that n has 3 digits. Then 9 of them would repeat, for 2 reasons.", "\\boxed{7}", True),
        ("Answer: 7. Suppose that n has 3 digits. Then 9 of them would repeat, for 2 reasons.", "\\boxed{2}", False),
        (
            "We claim that the answer is $n=7$. First, 6 fails. For 7 points take a circle with 3 of them.",
            "\\boxed{7}",
            True,
        ),
        (
            "We claim that the answer is $n=7$. First, 6 fails. For 7 points take a circle with 3 of them.",
            "\\boxed{3}",
            False,
        ),
        ("The minimum is $12$. To see this, add the 3 terms and divide by 4 in each of 5 cases.", "\\boxed{12}", True),
        ("The minimum is $12$. To see this, add the 3 terms and divide by 4 in each of 5 cases.", "\\boxed{5}", False),
        ("The sum is 3 + 4 = 7. We multiply by 2 to find 14.", "\\boxed{14}", True),
        ("The sum is 3 + 4 = 7. We multiply by 2 to find 14.", "\\boxed{7}", False),
    ],
    "at the end as before": [
        ("We add 4 and 5.\n#### 9", "9", True),
        ("First there are 4. Then 5 more come, so there are 4 + 5 = 9 at 3 tables of 3.\n 9", "9", True),
        ("First there are 4. Then 5 more come, so there are 4 + 5 = 9 at 3 tables of 3.\n 9", "3", False),
    ],
}

NO_GOLD: list[str] = [
    "The rectangle is 12 cm long and 5 cm wide.",
    "So Ann has 3 apples and Ben has 8.",
]
"""References that end in several values side by side."""
