"""The study's world: the same for a seed, right where it says so, wrong as often as it says, and kept apart."""

import itertools
import random
import re

from examples.study import world
from rewright.service.mathematics.answers.extraction import find_answer
from rewright.service.mathematics.reasoning.certain_faults import certain_fault
from rewright.trainer.data.prompts import Prompt, rewriting_prompt

TURNS = list(itertools.islice(world.pretraining(3), 4000))


def chain_of(problem):
    first, *rest = re.findall(r"[+-]? ?\d+", problem)
    return world.Chain(int(first), tuple(int(n.replace(" ", "")) for n in rest))


def stated(text):
    found = find_answer(text)
    assert found is not None and found.stated
    return int(found.text)


def test_a_seed_gives_one_world_and_another_gives_another():
    assert list(itertools.islice(world.pretraining(3), 4000)) == TURNS
    assert list(itertools.islice(world.pretraining(4), 4000)) != TURNS
    assert world.problems(20, seed=5) == world.problems(20, seed=5) != world.problems(20, seed=6)


def test_every_manner_is_right_and_passes_the_certain_checks_but_for_the_bare_answer():
    chain = world.draw_chain(random.Random(1), 5, held_back=True)
    for manner in (world.own, world.told, world.expert, world.bare):
        text = manner(chain, chain.values)
        assert chain_of(chain.problem) == chain and stated(text) == chain.result == chain.first + sum(chain.operations)
        fault = certain_fault(problem=chain.problem, reference=world.expert(chain, chain.values), candidate=text)
        assert (fault is not None) == (manner is world.bare)


def test_pretraining_answers_arithmetic_rightly_and_slips_in_rewrites_at_its_rate():
    assert all(stated(t.answer) == chain_of(t.question).result for t in TURNS if t.kind == "arithmetic")
    rewrites = [t for t in TURNS if t.kind == "rewriting"]
    wrong = sum(stated(t.answer) != chain_of(t.question.split("\n")[1]).result for t in rewrites)
    assert 0.7 * world.SLIPS < wrong / len(rewrites) < 1.3 * world.SLIPS
    assert all(stated(t.question) == chain_of(t.question.split("\n")[1]).result for t in rewrites)


def test_nothing_that_is_trained_on_or_asked_later_is_in_pretraining():
    seen = {problem for turn in TURNS for problem in re.findall(r"What is [^?]+\?", turn.question)}
    assert not any(chain_of(problem).held_back for problem in seen)
    drawn = [row["problem"] for row in world.problems(50, seed=1)]
    asked = world.questions(50, 60, seed=1, avoid=drawn)
    arithmetic = [row["question"] for row in asked if row["benchmark"] == "arithmetic"]
    assert all(chain_of(problem).held_back for problem in [*drawn, *arithmetic])
    assert len(set(drawn) | set(arithmetic)) == 100 and len({row["question"] for row in asked}) == 110


def test_general_answers_are_right():
    for row in world.questions(0, 300, seed=2, avoid=[]):
        question, answer = row["question"], row["answer"]
        words = question.rstrip(".?").split()
        match row["benchmark"].removeprefix("general-"):
            case "sort":
                assert list(answer) == sorted(words[1])
            case "copy":
                assert answer == words[1]
            case "reverse":
                assert answer[::-1] == words[1]
            case "look-up":
                assert f"{words[2]} {answer}" in question.split(" in ")[1]
            case "days":
                assert (world.DAYS.index(words[-1]) + int(words[3])) % 7 == world.DAYS.index(answer)
            case "compare":
                assert answer == max(re.findall(r"\d+", question), key=int)
            case other:
                raise AssertionError(other)


def test_the_product_asks_as_pretraining_did():
    rewrite = next(turn for turn in TURNS if turn.kind == "rewriting")
    _, problem, solution = rewrite.question.split("\n")
    folder = "examples/study/prompts"
    assert rewriting_prompt(f"{folder}/rewrite.txt").fill(problem=problem, solution=solution) == rewrite.question
    assert Prompt.load(f"{folder}/solve.txt", places={"problem"}).fill(problem=problem) == problem
    assert Prompt.load(f"{folder}/answer.txt", places={"question"}).fill(question=problem) == problem
