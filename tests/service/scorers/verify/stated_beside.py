r"""What stands beside a value: another one that is offered instead of it, or words that say what it is worth.

Families of right answers, near misses and mirrors, all written for this project; a row is (gold, candidate, right) and,
in some, the problem.
"""

from tests.service.scorers.verify.stated_answers import Row

BOX = r"\boxed{14}"
PENS = "How many pens are in 3 boxes of 4 pens?"
MARBLES = "Tom has 30 marbles and gives 6 away. How many marbles does he have left?"
COATS = "One coat has 8 buttons and another has 18. How many buttons are there on all of the coats?"
SIDES = "Find the ratio of the sides of the triangle, a:b:c."
SHE_ASKS = "I had 30 marbles and lost some. How many did I lose if I have 18?"

_JOINERS = [
    "otherwise", "and/or", "; else", "xor", "|", "||", "versus", "vs.", r"$\lor$", r"$\vee$", "failing which",
    "or else", "resp.", "alternatively", "maybe", "or maybe", "or", "or perhaps", "possibly", "if not,",
    ", or it may be", "∨", "or the answer is", "or x =", "apples or",
]  # fmt: skip
_OTHERS = ["15", "$15$", r"\frac32", r"$\sqrt2$", "fifteen", r"$\frac{3}{2}$", r"\(15\)", "2 1/2", "-14"]
_BEFORE = [
    "Either 41 or {}.", "41 or {}", "Perhaps 41, perhaps {}.", "Choose between 41 and {}.", "41; if not, {}",
    "It is 41, otherwise {}.", r"$\frac{{3}}{{2}}$ or ${}$", "fifteen or {}", "41 apples or {} apples", "41 versus {}",
    r"$41 \lor {}$", "x = 41 or x = {}", "41 and/or {}", "41 | {}", "The answers are 41 and {}.", "40, 41 or {}",
    "7 + 8 or {}", r"$\pi$ or ${}$",
]  # fmt: skip
_WORTHLESS = [
    "I checked this 12 times.", "We tried 12 times.", "I am 12 percent sure.", "I'm 12% confident.",
    "My favourite number is 12.", "This is problem 12 of the contest.", "It took me 12 minutes to solve this.",
    "Give me 12 points.", "I spent 12 minutes on it.", "I have solved 12 such problems.", "You owe me 12 points.",
    "Please give this 12 stars.", "I double-checked it in 12 ways.", "There were 12 questions on this test.",
    "This was attempt 12.", "My confidence is 12.", "See problem 12 for more.", "I am 12 years old.",
]  # fmt: skip
_WRONG = [
    "{} is the tempting but incorrect value.", "{} is the obvious but wrong answer.", "{} looks right but is false.",
    "{} is the answer most students get wrong.", "{} is what you'd get by mistake.",
    "{} might be right, but I doubt it.",
    "{} would be the answer if order mattered.", "If order mattered, the answer would be {}.",
    "Had we counted order, it would have been {}.", "Most people answer {}.", "Many students would say {}.",
    "{} is off by one.", "{} seems a bit wrong.", "{} turns out to be false.",
    "{} would have been right if order mattered.", "{} cannot be trusted.", "{} is not what we want.",
]  # fmt: skip

_HEDGES = [
    r"\boxed{14}. If that is wrong, 15.", r"\boxed{14}, but it could be 15.", r"\boxed{14}, though 15 is possible too.",
    r"\boxed{14}. Another possibility is 15.", r"\boxed{14}, backup answer 15", r"\boxed{14} (15 if inclusive)",
    r"\boxed{14}; 15 if you count the ends.", "My two guesses are 14 and 15.", "It's one of 14, 15.",
    "14 (15 if inclusive)", r"\boxed{14} (alternative answer: 15)", r"\boxed{14}, yet it might be 15.",
]  # fmt: skip

BESIDE: dict[str, list[Row]] = {
    "another value behind a box": [
        *[("14", f"So {BOX} {joiner} {other}.", False) for joiner in _JOINERS for other in _OTHERS],
        ("14", rf"So ${BOX} \lor 15$.", False),
        ("14", rf"${BOX} \text{{ or }} \frac32$", False),
        ("14", f"{BOX}, 15", False),
        ("14", f"{BOX} (or 15)", False),
        ("14", f"{BOX} if not 15", False),
        ("14", f"{BOX} or more.", False),
        ("A", r"\boxed{A} or B", False),
        *[
            ("14", f"So {BOX} {joiner} 14.", True)
            for joiner in ("or", "or rather", r"$\lor$", "or the answer is", "or x =")
        ],
        ("14", f"{BOX} or fourteen.", True),
        ("14", f"{BOX}, 14 in all.", True),
        ("14", f"He has {BOX} or so.", True),
        ("1/2", r"$\boxed{\frac12}$ or 0.5.", True),
        ("35/3", r"\boxed{\frac{35}{3}} or about 11.67", True),
        ("35/3", r"\boxed{\frac{35}{3}} or about 11.76", False),
        ("90", r"\boxed{90} minutes or 1.5 hours", True),
        ("7", r"There are $\boxed{7}$ values for $n$.", True),
        ("7", r"We get $f(2) = \boxed{7}$ and $f(3) = 9$.", True),
        ("14", f"{BOX}. Otherwise said, seven pairs.", True),
    ],
    "another value before a box": [
        *[("14", form.format(BOX), False) for form in _BEFORE],
        ("A", r"Either B or \boxed{A}.", False),
        ("14", f"7 * 2 or {BOX}", True),
        ("14", rf"$7 \cdot 2$, or {BOX}", True),
        ("0.5", r"$\frac12$ or $\boxed{0.5}$", True),
        ("90", r"1.5 hours, or \boxed{90} minutes", True),
        ("1.05", r"Together, they have $75+30=105$ cents, or $\boxed{\$1.05}.$", True),
        ("4", r"The last digit is that of $L_3$, or $\boxed{4}$.", True),
        ("56", r"He plays in 4/9 of 126 games, or $\boxed{56}$ games.", True),
        ("17\\%", r"The increase is $58.3 - 41.6 = 16.7$, or $\boxed{17\%}$ to the nearest whole number.", True),
        ("34", r"so $\lfloor 34.1\rfloor =\boxed{34}$.", True),
        ("3", r"Hence $|x - 5| = |-3| = \boxed{3}$.", True),
        ("14", f"There are 2 or 3 cases, which give {BOX}.", True),
        ("14", f"Either way we get {BOX}.", True),
        ("14", f"The sum of 3 and 11 is {BOX}.", True),
    ],
    "hedges in other words": [
        *[("14", hedge, False) for hedge in _HEDGES],
        ("14", r"\boxed{14}. A common mistake gives 15.", True),
        ("14", r"\boxed{14}; forgetting the sign would give 15.", True),
        ("14", r"Some might say 15, but the answer is \boxed{14}.", True),
        ("14", r"It would have been 15 without the discount, but with it the price is \boxed{14}.", True),
        ("14", r"The answer is \boxed{14}, rather than 15.", True),
        ("14", r"\boxed{14}. Check: 10 + 4 = 14.", True),
        ("12", r"At first glance \boxed{12}, but that misses a case.", False),
        ("12", "One gets 12 if one forgets the sign.", False),
        ("12", r"At first glance it is hard, but the answer is \boxed{12}.", True),
    ],
    "second thoughts and others' words": [
        *[
            ("12", form, False, PENS)
            for form in (
                r"I get \boxed{12}. Hmm, that's not correct; it should be 13.",
                r"I get \boxed{12}. Actually, no: 3 * 5 = 15.",
                r"I get \boxed{12}. Actually, I made an arithmetic error.",
                r"\boxed{12}. Scratch that, 13.",
                "Someone who forgets a box gets 12.",
                r"Whoever overlooks one gets \boxed{12}.",
                "One might be tempted to answer 12.",
                "My friend says 12. I disagree.",
                "A common wrong approach yields 12.",
                r"Wrong answer: \boxed{12}",
                r"Ignore this: \boxed{12}",
                "Please disregard the 12 above.",
                r"Format example: \boxed{12}.",
                r"It is false that there are \boxed{12} pens.",
                r"\boxed{12} is double what we need.",
                "It is between 11 and 12.",
                "3 * 4 = 12, but this counts each pen twice.",
                r"\boxed{12} double counts each pen.",
            )
        ],
        ("12", "There are 12 pens, not 7.", True, PENS),
        ("7", "There are 12 pens, not 7.", False, PENS),
        ("12", "There are 12, rather than 7, pens.", True, PENS),
        ("12", "The answer is 12 and not 7.", True, PENS),
        ("12", "So the answer is not 7 but 12.", True, PENS),
        ("12", r"\boxed{12} is right; 7 would be wrong since there are three boxes.", True, PENS),
        ("12", "There are 12 pens. Adding to get 7 would be a mistake.", True, PENS),
        ("12", "12 is correct and 7 is wrong.", True, PENS),
        ("12", "There are 12 pens. Check: 12 / 4 = 3.", True, PENS),
        ("12", "3 * 4 = 12; this does not count any pen twice.", True, PENS),
        ("12", "If we take 3 boxes of 4, we get 12.", True, PENS),
        ("12", "I believe it's 12 pens.", True, PENS),
        ("12", "There are 12 pens, 8 more than in one box.", True, PENS),
        ("12", "Red: 5\nBlue: 7\nTotal: 12", True, PENS),
        ("7", "Red: 5\nBlue: 7\nTotal: 12", False, PENS),
        (r"10\pi", "The area is 10π, which is about 31.4.", True, "What is the area of the region?"),
        ("31.4", "The area is 10π, which is about 31.4.", True, "What is the area, to the nearest tenth?"),
        ("1200", r"He earns \$1{,}200.", True),
        (r"3\frac14", "She needs 3 and 1/4 cups.", True),
    ],
    "one value said twice": [
        ("3", r"so x = 3 or, equivalently, \boxed{3}", True),
        ("32", "The cost is $32, or 3200 cents.", True),
        ("33", "The cost is $32, or 3300 cents.", False),
        ("3/4", "The probability is 3/4, or 75%.", True),
        (r"\frac13", r"\boxed{\frac13} or 33.3%", True),
        (r"\frac13", r"\boxed{\frac13} or 34.3%", False),
        ("120", r"There are $\boxed{120}$ ways, or $5!$.", True),
        ("x+1", r"$\frac{x^2-1}{x-1}$, or \boxed{x+1}", True),
        ("10", "There are 10 more or less.", True),
        (
            "36",
            "He has 36 candies left, or 4 times as many as were taken.",
            True,
            "45 candies, 9 are taken. How many left?",
        ),
    ],
    "alternatives in prose": [
        *[("14", f"So there are 14 {joiner} 15.", False) for joiner in ("or", "xor", "or maybe", r"$\lor$", "versus")],
        *[("15", f"So there are 14 {joiner} 15.", False) for joiner in ("or", "xor", "or maybe", r"$\lor$", "versus")],
        ("26", "The number of buttons on all of the coats is 8+18=26", True, COATS),
        ("8", "The number of buttons on all of the coats is 8+18=26", False, COATS),
        ("11", "The answer is one of 10, 11.", False),
    ],
    "a number in a sentence that answers nothing": [
        *[("12", said, False, PENS) for said in _WORTHLESS],
        *[("7", f"So there are 7 pens. {said}", True, "How many pens are there?") for said in _WORTHLESS],
        ("12", "I lost 12 marbles.", True, SHE_ASKS),
        ("12", "I get 12.", True, PENS),
        ("12", "I found that there are 12 pens.", True, PENS),
    ],
    "a value that is called wrong, or of another case": [
        *[("12", form.format(value), False, PENS) for form in _WRONG for value in ("12", r"\boxed{12}")],
        ("12", r"\boxed{12} is the number of wrong answers.", True),
        ("12", r"\boxed{12} is right and 13 is wrong.", True),
        ("12", r"\boxed{12} is not a mistake.", True),
        ("12", r"\boxed{12} is what you get if you add them.", True),
        (
            "12",
            r"If Tom had 3 more, he would have \boxed{12}.",
            True,
            "If Tom had 3 more than 9, how many would he have?",
        ),
    ],
    "a value that words lead on to": [
        ("24", "Tom has 24 marbles left after giving 6 away.", True, MARBLES),
        ("6", "Tom has 24 marbles left after giving 6 away.", False, MARBLES),
        ("24", "Tom gives 6 of 30 away, leaving 24.", True, MARBLES),
        ("24", "Out of the 30, Tom keeps 24 and gives 6.", True, MARBLES),
        ("6", "Out of the 30, Tom keeps 24 and gives 6.", False, MARBLES),
        ("14", "I got 14.", True),
    ],
    "measures and amounts in two parts": [
        *[("6", f"It is {told}.", False) for told in ("5'6\"", "5' 6\" tall", "9°6'", "5′6″")],
        ("5'6\"", "He is 5'6\" tall.", True),
        ("5 feet 6 inches", "He is 5'6\" tall.", True),
        ("5'6\"", "He is 5'7\" tall.", False),
        *[("6", f"It costs {told}.", False) for told in ("£3 and 6 pence", "3 pounds 6 pence", "$3 and 6 cents")],
        *[("3.06", f"It costs {told}.", True) for told in ("£3 and 6 pence", "3 pounds 6 pence", "$3 and 6 cents")],
        ("3.60", "It costs £3 and 6 pence.", False),
        ("2:3", "The ratio is 2 : 3.", True),
        ("3", "The ratio is 2 : 3.", False),
        ("5", "The box is 3 x 4 x 5.", False),
        ("3.50", "It costs 3 euros and 50 cents.", True),
        ("50", "It costs 3 euros and 50 cents.", False),
    ],
    "units in braces": [
        *[
            ("12", rf"\\boxed{{12{unit}}}", True)
            for unit in (r"\text{ m}", r"\text{ m}^2", r"\,\mathrm{g}", r"\text{cm^2}", r" \text{ V}")
        ],
        (r"12\text{ m}^2", "12 m^2", True),
        (r"12\text{ m}^2", r"\boxed{12\text{ m}^3}", False),
        (r"12 \text{ cm}^2", r"\boxed{12\,\mathrm{cm^2}}", True),
        (r"12 \text{ cm}^2", r"\boxed{12\,\mathrm{cm^3}}", False),
        ("12", "12m^2", False),
    ],
    "a calculation that is not worked out": [
        *[("6561", f"{lead} {power}.", True) for lead in ("The result is", "Thus we get") for power in ("3^8", "3**8")],
        *[(part, "The result is 3^8.", False) for part in ("3", "8", "6562")],
        ("24", "The result is 3 * 8.", True),
        ("8", "The result is 3 * 8.", False),
        ("24", "The result is 2^3*3.", True),
        ("3", "The result is 2^3*3.", False),
        ("24", "The result is 3 * 8 = 24.", True),
    ],
    "a star is a product": [
        (r"x\ln 2", r"$\ln 2 * x$", True),
        (r"\ln(2x)", r"$\ln 2 * x$", False),
        (r"x\sin 5", r"$\sin 5 * x$", True),
        (r"\sin(5x)", r"$\sin 5 * x$", False),
        (r"x\cos x", r"$\cos x * x$", True),
        (r"\cos(x^2)", r"$\cos x * x$", False),
        (r"x\ln 2", r"$\ln 2 \ast x$", True),
        (r"\ln(2x)", r"$\ln 2 \ast x$", False),
        ("6x", r"$2 \ast 3x$", True),
    ],
    "ratios of three parts": [
        ("5:12:13", "10:24:26", True, SIDES),
        ("5:12:13", r"\boxed{10:24:26}", True, SIDES),
        ("5:12:13", r"\boxed{10:24:27}", False, SIDES),
        ("5:12:13 p.m.", r"\boxed{10:24:26}", False),
    ],
}
