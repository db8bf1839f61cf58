"""A world in which every answer and every step can be checked: what the model is raised on, and what it is asked later.

    arithmetic   chains such as 47 + 8 - 3 + 5, every value from 0 to 99, two to five operations; five are hard ones
    general      sort, copy, reverse, look up, count days, compare
    rewriting    a problem and somebody's solution of it, written anew

Four manners of solving a chain, all of them right unless they slip:

    own          47+8=55; 55-3=52. The answer is \\boxed{52}.                      how the model answers a problem
    expert       Take 47. Put 8, get 55. Lose 3, get 52. Hence \\boxed{52}.        how the references are written
    told         We have 47. Adding 8 makes 55. Taking 3 makes 52. The answer …    how it mostly rewrites
    bare         The answer is \\boxed{52}.                                        what it sometimes rewrites to

Promises: a function of the seed alone; problems for training and evaluation after pretraining are never in it (chains
are told apart by their hash). What is built in, so that there is something to find: π0 under the rewriting prompt has a
manner that is not the one with which it answers (the paper's assumption), it copies, leaves out and slips at known
rates, and experts write in a way in which it never answers.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

HARD = 5
"""Operations of a chain that experts solve, and that arithmetic is measured on."""
HELD_BACK = 5
"""One chain in so many is kept out of pretraining."""
SLIPS = 0.2
"""Share of the rewrites in pretraining with one wrong step, from which all that follows goes on."""
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
KEYS = "abcdefghijkmnopqrstuvwxyz"


class Turn(NamedTuple):
    """What is asked and what is answered; kind: arithmetic, general or rewriting."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True)
class Chain:
    """first, then operations as signed digits: +8 adds, -3 takes away."""

    first: int
    operations: tuple[int, ...]

    @property
    def text(self) -> str:
        return str(self.first) + "".join(f" {'+' if n > 0 else '-'} {abs(n)}" for n in self.operations)

    @property
    def values(self) -> list[int]:
        """The first number and the value after each operation."""
        return list(itertools.accumulate(self.operations, initial=self.first))

    @property
    def result(self) -> int:
        return self.values[-1]

    @property
    def held_back(self) -> bool:
        return hashlib.sha256(self.text.encode()).digest()[0] % HELD_BACK == 0

    @property
    def problem(self) -> str:
        return f"What is {self.text}?"


def draw_chain(rng: random.Random, operations: int, *, held_back: bool) -> Chain:
    """One whose values all lie in 0 to 99."""
    while True:
        signed = tuple(rng.choice((-1, 1)) * rng.randint(1, 9) for _ in range(operations))
        chain = Chain(rng.randint(10, 99), signed)
        if all(0 <= value <= 99 for value in chain.values) and chain.held_back == held_back:
            return chain


def slipped(chain: Chain, rng: random.Random) -> list[int]:
    """Values with one step wrong by 1 or 2, gone on from there."""
    at, by = rng.randrange(1, len(chain.operations) + 1), rng.choice((-2, -1, 1, 2))
    return [value + by * (place >= at) for place, value in enumerate(chain.values)]


def own(chain: Chain, values: Sequence[int]) -> str:
    steps = (f"{before}{n:+d}={after}" for before, n, after in zip(values, chain.operations, values[1:], strict=False))
    return "; ".join(steps) + f". The answer is \\boxed{{{values[-1]}}}."


def expert(chain: Chain, values: Sequence[int]) -> str:
    steps = (
        f" {'Put' if n > 0 else 'Lose'} {abs(n)}, get {after}."
        for n, after in zip(chain.operations, values[1:], strict=True)
    )
    return f"Take {chain.first}." + "".join(steps) + f" Hence \\boxed{{{values[-1]}}}."


def told(chain: Chain, values: Sequence[int]) -> str:
    steps = (
        f" {'Adding' if n > 0 else 'Taking'} {abs(n)} makes {after}."
        for n, after in zip(chain.operations, values[1:], strict=True)
    )
    return f"We have {chain.first}." + "".join(steps) + f" The answer is \\boxed{{{values[-1]}}}."


def bare(chain: Chain, values: Sequence[int]) -> str:
    return f"The answer is \\boxed{{{values[-1]}}}."


MANNERS: dict[Callable[[Chain, Sequence[int]], str], float] = {told: 0.45, own: 0.25, expert: 0.15, bare: 0.15}
"""How rewrites are written in pretraining, and how often."""


def rewriting_question(problem: str, solution: str) -> str:
    """As `prompts/rewrite.txt` asks."""
    return f"Rewrite this.\n{problem}\n{solution}"


def pretraining(seed: int) -> Iterator[Turn]:
    """Without an end: four parts arithmetic, three general, three rewriting."""
    rng = random.Random(seed)
    while True:
        kind = rng.choices(("arithmetic", "general", "rewriting"), (4, 3, 3))[0]
        if kind == "general":
            yield Turn(kind, *_statement(*_general(rng)))
            continue
        weights = (3, 3, 2, 2) if kind == "rewriting" else (4, 3, 2, 1)
        chain = draw_chain(rng, rng.choices((2, 3, 4, 5), weights)[0], held_back=False)
        if kind == "arithmetic":
            yield Turn(kind, chain.problem, own(chain, chain.values))
            continue
        manner = rng.choices(list(MANNERS), list(MANNERS.values()))[0]
        values = slipped(chain, rng) if rng.random() < SLIPS else chain.values
        question = rewriting_question(chain.problem, expert(chain, chain.values))
        yield Turn(kind, question, manner(chain, values))


def problems(count: int, seed: int) -> list[dict[str, str]]:
    """Hard chains with an expert's solution: what the product's corpus is made of."""
    return [
        {"id": f"p{n}", "problem": c.problem, "solution": expert(c, c.values), "answer": str(c.result)}
        for n, c in enumerate(_different(count, random.Random(f"problems {seed}"), avoid=set()))
    ]


def questions(arithmetic: int, general: int, seed: int, *, avoid: Sequence[str]) -> list[dict[str, object]]:
    """For `rewright evaluate`. avoid: problems that nobody is asked."""
    chains = _different(arithmetic, random.Random(f"questions {seed}"), avoid=set(avoid))
    rows = [_row(f"a{n}", "arithmetic", c.problem, str(c.result)) for n, c in enumerate(chains)]
    rng = random.Random(f"general {seed}")
    seen: set[str] = set()
    while len(seen) < general:
        task, question, answer = _general(rng)
        if question not in seen:
            seen.add(question)
            rows.append(_row(f"g{len(seen)}", f"general-{task}", question, answer))
    return rows


def _row(name: str, benchmark: str, question: str, answer: str) -> dict[str, object]:
    return {
        "id": name,
        "benchmark": benchmark,
        "subject": None,
        "question": question,
        "options": None,
        "answer": answer,
    }


def _different(count: int, rng: random.Random, *, avoid: set[str]) -> list[Chain]:
    found: dict[str, Chain] = {}
    while len(found) < count:
        chain = draw_chain(rng, HARD, held_back=True)
        if chain.problem not in avoid:
            found[chain.problem] = chain
    return list(found.values())


def _statement(_: str, question: str, answer: str) -> tuple[str, str]:
    return question, f"The answer is \\boxed{{{answer}}}."


def _general(rng: random.Random) -> tuple[str, str, str]:
    """Task, question, answer."""
    task = rng.choice(("sort", "copy", "reverse", "look-up", "days", "compare"))
    digits = [str(rng.randint(1, 9)) for _ in range(rng.randint(4, 6))]
    text = "".join(digits)
    if task == "sort":
        return task, f"Sort {text}.", "".join(sorted(digits))
    if task == "copy":
        return task, f"Copy {text}.", text
    if task == "reverse":
        return task, f"Reverse {text}.", text[::-1]
    if task == "look-up":
        keys = rng.sample(KEYS, 4)
        values = [str(rng.randint(10, 99)) for _ in keys]
        wanted = rng.randrange(4)
        table = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
        return task, f"Look up {keys[wanted]} in {table}.", values[wanted]
    if task == "days":
        start, later = rng.randrange(7), rng.randint(1, 30)
        return task, f"Which day comes {later} days after {DAYS[start]}?", DAYS[(start + later) % 7]
    a, b = rng.sample(range(100, 1000), 2)
    return task, f"Which is larger, {a} or {b}?", str(max(a, b))
