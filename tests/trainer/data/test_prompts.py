"""Prompts: shipped and replaced, filled in one pass."""

import pytest

from rewright.trainer.data.prompts import Prompt, rewriting_prompt
from rewright.trainer.errors import RecipeError


@pytest.mark.parametrize(
    ("name", "boxed"),
    [("rewrite-v1", "\\boxed{42}"), ("rewrite-small-v1", "\\boxed{42}"), ("rewrite-paper", "\\boxed{56}")],
)
def test_shipped_prompts_ask_for_the_boxed_answer(name, boxed):
    prompt = rewriting_prompt(name)
    assert boxed in prompt.text
    filled = prompt.fill(problem="PROBLEM", solution="SOLUTION")
    assert "PROBLEM" in filled and "SOLUTION" in filled and "{{" not in filled


def test_the_papers_evaluation_prompts_have_the_places_of_ours():
    for kind, places in (("math", {"question"}), ("choice", {"question", "options"})):
        ours, papers = (Prompt.load(f"evaluate-{kind}-{name}", places=places) for name in ("v1", "paper"))
        assert ours.sha256 != papers.sha256


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
