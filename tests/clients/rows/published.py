"""Small files in the schemas of published data sets: columns and types as their cards on the hub give them, own texts.

Each has rows to keep, with what they hold, and rows of no use with their reasons.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

Q, S, A = "What is 6 times 7?", "Six sevens are 42, so it is $\\boxed{42}$.", "42"
R1 = "<think>\nSix sevens.\n</think>\n\nIt is $\\boxed{42}$."
USER, ASSISTANT = {"role": "user", "content": Q}, {"role": "assistant", "content": S}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "python", "arguments": "6*7"}}]}
TURNS = [USER, ASSISTANT, {"role": "user", "content": "And 7 times 7?"}, {"role": "assistant", "content": "49"}]


class Published(NamedTuple):
    """kept: (problem, solution, answer) of the rows of use, in order; reasons: of the others, in order."""

    name: str
    layout: str
    rows: list[Any]
    kept: list[tuple[str, str, str | None]]
    reasons: Sequence[str] = ()
    file: str = "data.jsonl"

    def write(self, folder: Path) -> str:
        """The file's path."""
        path = folder / self.file
        array = path.suffix == ".json"
        text = json.dumps(self.rows) if array else "".join(json.dumps(row) + "\n" for row in self.rows)
        path.write_text(text, encoding="utf-8")
        return str(path)


def _numina15(**changes: Any) -> dict[str, Any]:
    return {
        "problem": Q, "solution": S, "answer": A, "problem_type": "Number Theory", "question_type": "math-word-problem",
        "problem_is_valid": "Yes", "solution_is_valid": "Yes", "source": "olympiads", "synthetic": False,
    } | changes  # fmt: skip


def _openr1(**changes: Any) -> dict[str, Any]:
    return {
        "problem": Q, "solution": S, "answer": A, "problem_type": "Algebra", "question_type": "math-word-problem",
        "source": "olympiads", "uuid": "u-1", "is_reasoning_complete": [True, True, True],
        "generations": ["It is 41.", R1, "It is 42."], "correctness_math_verify": [False, True, True],
        "correctness_llama": None, "finish_reasons": None, "correctness_count": 2, "messages": [USER, ASSISTANT],
    } | changes  # fmt: skip


def _reasoning(**changes: Any) -> dict[str, Any]:
    return {
        "expected_answer": A, "problem_type": "has_answer_extracted", "problem_source": "aops_c4_high_school_math",
        "generation_model": "DeepSeek-R1", "pass_rate_72b_tir": "0.9", "problem": Q, "generated_solution": R1,
        "inference_mode": "cot", "used_in_kaggle": True,
    } | changes  # fmt: skip


_S1 = {"question": Q, "solution": A, "cot_type": "math", "source_type": "own", "metadata": "{}", "cot": None}
_VERL = {
    "data_source": "math_dapo", "prompt": [USER], "ability": "MATH", "extra_info": {"index": "1"},
    "reward_model": {"ground_truth": "42", "style": "rule-lighteval/MATH_v2"},
}  # fmt: skip
_SHAREGPT = [{"from": "human", "value": Q}, {"from": "gpt", "value": S}]

PUBLISHED = [
    Published("own columns", "columns", [{"problem": Q, "solution": S}], [(Q, S, None)]),
    Published(
        "TRL, texts", "prompt_completion", [{"prompt": Q, "completion": S}, {"prompt": Q, "completion": ""}],
        [(Q, S, None)], ["empty"],
    ),
    Published(
        "TRL, messages", "prompt_completion",
        [
            {"prompt": [USER], "completion": [ASSISTANT]},
            {"prompt": [USER], "completion": [USER]},
            {"prompt": [USER], "completion": [CALL]},
        ],
        [(Q, S, None)], ["several_turns", "tool_turns"],
    ),
    Published(
        "chat messages", "messages",
        [
            {"messages": [{"role": "system", "content": "Be brief."}, USER, ASSISTANT]},
            {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": S}]}]},
            {"messages": TURNS},
            {"messages": [USER, CALL, {"role": "tool", "content": "42"}, ASSISTANT]},
            {"messages": [USER]},
        ],
        [(Q, S, None), (Q, S, None)], ["several_turns", "tool_turns", "empty"],
    ),
    Published(
        "ShareGPT", "sharegpt",
        [
            {"id": "x", "conversations": _SHAREGPT},
            {"id": "y", "conversations": _SHAREGPT * 2},
            {"id": "z", "conversations": [{"from": "narrator", "value": Q}]},
        ],
        [(Q, S, None)], ["several_turns", "unknown_role"], "data.json",
    ),
    Published(
        "Alpaca", "alpaca",
        [{"instruction": "Multiply.", "input": "6 and 7", "output": S}, {"instruction": Q, "input": "", "output": S}],
        [("Multiply.\n6 and 7", S, None), (Q, S, None)], (), "data.json",
    ),
    Published(
        "GSM8K", "gsm8k",
        [{"question": Q, "answer": "6 * 7 = <<6*7=42>>42\n#### 42"}], [(Q, "6 * 7 = 42\n#### 42", None)],
    ),
    Published("MATH", "math", [{"problem": Q, "level": "Level 1", "type": "Algebra", "solution": S}], [(Q, S, None)]),
    Published(
        "NuminaMath-CoT", "numina_math_cot",
        [{"source": "own", "problem": Q, "solution": S, "messages": [USER, ASSISTANT]}], [(Q, S, None)],
    ),
    Published(
        "NuminaMath-1.5", "numina_math_1_5",
        [
            _numina15(), _numina15(answer="proof"), _numina15(answer="notfound"), _numina15(question_type="proof"),
            _numina15(solution_is_valid="Incomplete"), _numina15(problem_is_valid="No"),
        ],
        [(Q, S, A)], ["no_answer", "no_answer", "no_answer", "not_valid", "not_valid"],
    ),
    Published(
        "OpenMathReasoning", "open_math_reasoning",
        [_reasoning(), _reasoning(inference_mode="tir"), _reasoning(problem_type="converted_proof")],
        [(Q, R1, A)], ["other_kind", "no_answer"],
    ),
    Published(
        "OpenMathInstruct-2", "open_math_instruct",
        [{"problem": Q, "generated_solution": S, "expected_answer": A, "problem_source": "augmented_math"}],
        [(Q, S, A)],
    ),
    Published(
        "OpenMathInstruct-1", "open_math_instruct_1",
        [
            {"question": Q, "generated_solution": S, "expected_answer": A, "is_correct": correct, "dataset": "own"}
            for correct in (True, False)
        ],
        [(Q, S, A)], ["not_valid"],
    ),
    Published(
        "OpenR1-Math-220k", "openr1",
        [
            _openr1(),
            _openr1(correctness_math_verify=None, correctness_llama=[False, False, True]),
            _openr1(is_reasoning_complete=[True, False, True]),
            _openr1(correctness_math_verify=[False] * 3),
        ],
        [(Q, R1, A), (Q, "It is 42.", A), (Q, "It is 42.", A)], ["none_correct"],
    ),
    Published(
        "MetaMathQA", "metamath",
        [{"type": "GSM_AnsAug", "query": Q, "original_question": Q, "response": f"{S} The answer is: 42"}],
        [(Q, f"{S} The answer is: 42", None)],
    ),
    Published(
        "MathInstruct", "math_instruct",
        [
            {"source": "data/CoT/own.json", "instruction": Q, "output": S},
            {"source": "data/PoT/own.json", "instruction": Q, "output": "print(6 * 7)"},
        ],
        [(Q, S, None)], ["other_kind"], "data.json",
    ),
    Published("LIMO", "limo", [{"question": Q, "solution": S, "answer": "42"}], [(Q, S, A)]),
    Published(
        "s1K", "s1k",
        [_S1 | {"thinking_trajectories": ["Six sevens."], "attempt": S}, _S1 | {"cot_type": "crossword", "attempt": S}],
        [(Q, S, A)], ["other_kind"],
    ),
    Published(
        "s1K-1.1", "s1k", [_S1 | {"deepseek_thinking_trajectory": "Six sevens.", "deepseek_attempt": S}], [(Q, S, A)]
    ),
    Published(
        "DeepMath-103K", "deepmath",
        [{
            "question": Q, "final_answer": A, "difficulty": 1.0, "topic": "Mathematics -> Prealgebra",
            "r1_solution_1": R1, "r1_solution_2": R1, "r1_solution_3": R1,
        }],
        [(Q, R1, A)],
    ),
    Published(
        "DeepScaleR", "deepscaler",
        [{"problem": Q, "answer": A, "solution": S}, {"problem": Q, "answer": A, "solution": ""}],
        [(Q, S, A)], ["empty"], "data.json",
    ),
    Published(
        "DAPO, verl", "dapo",
        [
            _VERL,
            _VERL | {"reward_model": {"ground_truth": '["42"]'}},
            _VERL | {"reward_model": {"ground_truth": ["6", "7"]}},
            _VERL | {"reward_model": {"ground_truth": 1.23e22}},
        ],
        [(Q, "", A), (Q, "", A), (Q, "", "6, 7")], ["inexact_answer"],
    ),
    Published(
        "Open-Reasoner-Zero", "orz",
        [[{"from": "human", "value": Q}, {"from": "assistant", "ground_truth": {"value": "42"}}]], [(Q, "", A)], [],
        "data.json",
    ),
    Published(
        "Big-Math", "big_math",
        [
            {"problem": Q, "answer": "42", "source": "own", "domain": [], "llama8b_solve_rate": 0.5},
            {"problem": Q, "answer": None, "source": "own", "domain": [], "llama8b_solve_rate": 0.5},
        ],
        [(Q, "", A)], ["no_answer"],
    ),
]  # fmt: skip
