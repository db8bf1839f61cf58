"""Questions, Wilson intervals and averages: what is asked, what is left out, and how the paper's columns come about."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.trainer.data.prompts import Prompt
from rewright.trainer.errors import CorpusError
from rewright.trainer.evaluate.accuracy import against_base, averages, benchmark_result, wilson
from rewright.trainer.evaluate.benchmarks import known_name, prompt_of, read_questions
from rewright.trainer.recipes.evaluate import load_evaluate_recipe


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def row(benchmark="Math500", **changes):
    return {"benchmark": benchmark, "subject": None, "question": "1 + 1?", "options": None, "answer": "2"} | changes


def test_mathematics_is_removed_from_general_benchmarks_and_counted(tmp_path):
    choice = {"options": ["a", "b"], "answer": "B"}
    rows = [
        row("MMLU", subject="college_mathematics", **choice),
        row("MMLU", subject="anatomy", **choice),
        row("MMLU-Pro", subject="math", **choice),
        row("AGIEval", subject="sat-math", **choice),
        row("AGIEval-Math", subject="sat-math", **choice),
        row("MATH-500", subject="Algebra"),
    ]
    questions = read_questions(write(tmp_path / "e.jsonl", rows), per_benchmark=None, seed=1)
    assert [(q.benchmark, q.suite) for q in questions.asked] == [
        ("MMLU", "general"), ("AGIEval-Math", "math"), ("Math500", "math"),
    ]  # fmt: skip
    assert questions.left_out == {"mathematics": 3}


def test_the_draw_is_the_same_whatever_the_order_and_a_smaller_one_is_part_of_it(tmp_path):
    rows = [row(question=f"{n} + 1?", id=f"q{n}") for n in range(40)]
    one = read_questions(write(tmp_path / "a", rows), per_benchmark=10, seed=3)
    other = read_questions(write(tmp_path / "b", rows[::-1]), per_benchmark=10, seed=3)
    few = read_questions(tmp_path / "a", per_benchmark=4, seed=3)
    assert one.sha256 == other.sha256 and [q.id for q in one.asked] == [q.id for q in other.asked]
    assert [q.id for q in few.asked] == [q.id for q in one.asked][:4] and one.left_out == {"not_drawn": 30}


def test_options_are_lettered_once(tmp_path):
    rows = [
        row("MMLU", options=["(A) cats {x}", "(B) dogs"], answer="(b)"),
        row("Other", options=["A. is a letter", "none"], answer="A"),
    ]
    asked = read_questions(write(tmp_path / "e.jsonl", rows), per_benchmark=None, seed=1).asked
    choice = Prompt("c", "{{question}}|{{options}}")
    prompts = [prompt_of(q, math=Prompt("m", "{{question}}"), choice=choice) for q in asked]
    assert prompts == ["1 + 1?|A. cats {x}\nB. dogs", "1 + 1?|A. A. is a letter\nB. none"]
    assert asked[0].answer == "B" and asked[1].suite == "other"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no questions"),
        ([row(answer="  ")], "row 1: 'answer'"),
        ([row(question=None)], "row 1: 'question'"),
        ([row(options=["only"])], "'options'"),
        ([row(options=["a", "b"], answer="C")], "letter of one of the 2"),
        ([row(id="x"), row(id="x", question="3?")], "row 2: the id 'x'"),
    ],
)
def test_what_is_no_question_is_refused_by_place(tmp_path, rows, said):
    with pytest.raises(CorpusError, match=said):
        read_questions(write(tmp_path / "e.jsonl", rows), per_benchmark=None, seed=1)


def test_names_are_known_however_they_are_written():
    assert [known_name(n) for n in ("math 500", "MinervaMath", "amc-23", "IMO-Bench", "mmlu_pro", "agieval-math")] == [
        "Math500", "MinervaMath", "AMC23", "IMO-AnswerBench", "MMLU-Pro", "AGIEval-Math",
    ]  # fmt: skip
    assert known_name("GPQA") == "GPQA"


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_wilson_interval_holds_the_share_and_shrinks(correct, scored):
    correct = min(correct, scored)
    low, high = wilson(correct, scored)
    assert 0 <= low <= correct / scored + 1e-12 and correct / scored - 1e-12 <= high <= 1
    more_low, more_high = wilson(4 * correct, 4 * scored)
    assert more_high - more_low < high - low


def test_known_wilson_intervals():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def verdict(correct=None, code=None):
    base = {"finish_reason": "stop", "n_tokens": 3}
    if code:
        return base | {"status": "failed", "error": {"code": code}}
    return base | {"status": "scored", "correct": correct, "verdict": "correct" if correct else "wrong"}


def test_an_answer_that_could_not_be_verified_is_never_wrong():
    result = benchmark_result([verdict(True), verdict(False), verdict(code="bad_gold")])
    assert (result["scored"], result["accuracy"], result["not_verified"]) == (2, 0.5, {"bad_gold": 1})
    alone = benchmark_result([verdict(code="bad_gold")])
    assert alone["accuracy"] is None and averages({"Math500": alone})["MathAvg"]["value"] is None


def results(**accuracy):
    return {
        name.replace("_", "-"): {"accuracy": share, "correct": round(share * 100), "scored": 100}
        for name, share in accuracy.items()
    }


def test_averages_and_changes_are_the_papers():
    # Llama-3.2-3B, Table 6: the base and SFT; Table 1 prints 18.90, 45.21, 21.81, 37.26, 15.40 and 17.58.
    names = (
        "AMC23",
        "AGIEval_Math",
        "IMO_AnswerBench",
        "Math500",
        "MinervaMath",
        "MMLU",
        "MMLU_Pro",
        "AGIEval_nonmath",
    )
    base = results(**dict(zip(names, (0.1750, 0.3036, 0.0570, 0.3320, 0.0772, 0.6107, 0.3511, 0.3945), strict=True)))
    tuned = results(**dict(zip(names, (0.25, 0.3272, 0.057, 0.368, 0.0882, 0.4826, 0.3106, 0.3245), strict=True)))
    of_base, of_tuned = averages(base), averages(tuned)
    assert of_base["MathAvg"]["value"] == pytest.approx(0.1890, abs=5e-5)
    assert of_base["GeneralAvg"]["value"] == pytest.approx(0.4521, abs=5e-5)
    assert of_tuned["OverallAvg"] == pytest.approx(0.2954, abs=1e-4)
    change = against_base(tuned, base)
    assert change["math_up"] == pytest.approx(15.40, abs=0.05) and change["gen_down"] == pytest.approx(17.58, abs=0.05)
    assert against_base(tuned, results(Math500=0.0))["math_up"] is None


def test_shipped_recipes_parse():
    assert load_evaluate_recipe("evaluate-paper").generation.temperature == 0
    assert load_evaluate_recipe("evaluate-small-cpu", ["data=x.jsonl"]).data == "x.jsonl"
