"""Prompts: shipped and replaced, filled in one pass."""

import pytest

from rewright.trainer.data.prompts import Prompt, rewriting_prompt
from rewright.trainer.errors import RecipeError


@pytest.mark.parametrize("name", ["rewrite-v1", "rewrite-small-v1"])
def test_shipped_prompts_ask_for_the_boxed_answer(name):
    prompt = rewriting_prompt(name)
    assert "\\boxed{42}" in prompt.text
    filled = prompt.fill(problem="PROBLEM", solution="SOLUTION")
    assert "PROBLEM" in filled and "SOLUTION" in filled and "{{" not in filled


@pytest.mark.parametrize("text", ["\\frac{{a}}{b}", "{{solution}}", "{{x}}", "{problem}", "\\1 \\g<0>", "$\\boxed{1}$"])
def test_texts_stay_what_they_are(text):
    prompt = Prompt("p", "P: {{problem}} S: {{solution}}")
    assert prompt.fill(problem=text, solution="s") == f"P: {text} S: s"


@pytest.mark.parametrize("text", ["{{problem}} alone", "{{problem}} {{solution}} {{answer}}", "none"])
def test_a_prompt_without_its_places_is_refused(tmp_path, text):
    file = tmp_path / "mine.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="places"):
        rewriting_prompt(str(file))


def test_a_users_own_file_is_read_and_an_absent_one_named(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("{{problem}}\n{{solution}}", encoding="utf-8")
    assert rewriting_prompt(str(file)).sha256 != rewriting_prompt("rewrite-v1").sha256
    with pytest.raises(RecipeError, match="rewrite-v9"):
        rewriting_prompt("rewrite-v9")
