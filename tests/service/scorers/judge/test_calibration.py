"""A judge calibrated on labelled rows: the file, the arithmetic, and to whom it belongs."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from rewright.service.errors import SettingsError
from rewright.service.mathematics.answers.same_answer import same_final_answer
from rewright.service.models.backbone import Backbone
from rewright.service.schema import Failed, Group, JudgeGroup, JudgeScored
from rewright.service.scorers.judge.calibration import Calibration, Model, feature_names
from rewright.service.scorers.judge.prompt import JudgePrompt
from rewright.service.scorers.judge.transformers_backend import TransformersJudge
from tests.fake_openai import FakeOpenAI, Reply, completion, fake_openai
from tests.service.scorers.judge.openai_judge import PROMPT, ask, code, group, opened
from tests.service.scorers.tiny_models import tiny_backbone

ODDS = {0.5: 0.0, 0.8: math.log(4), 0.2: -math.log(4)}
TURNING = JudgePrompt.load("label-v2")


def calibration(belongs_to: Model, **changed: Any) -> Calibration:
    """By the log odds and those of an empty candidate, unless changed."""
    fields: dict[str, Any] = {
        "kind": "regression",
        "belongs_to": belongs_to,
        "features": feature_names(PROMPT),
        "weights": (1.5, -1.0, 0.25, -2.0),
        "bias": 0.3,
        "suggested_threshold": 0.5,
        "labelled": "rows",
        "cross_validated": {"all": None},
    }
    return Calibration(**fields | changed)


def fakes(prompt: JudgePrompt = PROMPT) -> Model:
    return Model(backend="openai", name="fake", revision=None, prompt=prompt.name, prompt_revision=prompt.revision)


def sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_gives_what_was_written_and_its_hash_changes_with_every_number(tmp_path: Path) -> None:
    one = calibration(fakes())
    (tmp_path / "c.json").write_text(one.model_dump_json(indent=1))
    assert Calibration.load(str(tmp_path / "c.json")) == one
    assert Calibration.load(str(tmp_path / "c.json")).revision == one.revision
    assert calibration(fakes(), bias=0.3000001).revision != one.revision


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [1.0]}, "one weight for each feature"),
        ({"bias": "NaN"}, "bias"),
        ({"features": ["log_odds", "length", "answers_agree", "answers_differ"]}, "its features are log_odds"),
        ({"kind": "probe"}, "a probe has tokens"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(json.loads(calibration(fakes()).model_dump_json()) | change))
    with pytest.raises(SettingsError, match=said) as caught:
        Calibration.load(str(tmp_path / "c.json"))
    assert "scorers.judge.calibration" in caught.value.message and "judge-fit" in caught.value.message


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"cannot read 'absent.json' \(No such file"):
        Calibration.load("absent.json")


# --- a regression, over HTTP ------------------------------------------------------------------------------------------


def test_a_score_is_the_regression_of_what_the_judge_and_a_program_say() -> None:
    said = [
        "Six sevens, p=0.8 I would say, make that many.\nThe answer is 42.",
        "Six sevens, p=0.2 I would say, make that many.\nThe answer is 41.",
        "Six sevens, p=0.8 I would say, make that many.\nIt is \\boxed{}.",
    ]
    jars = Group(id="g", problem="What is 6 times 7?", reference="6 * 7 = 42.", candidates=said)
    assert [same_final_answer("6 * 7 = 42.", one) for one in said] == [True, False, None]
    with fake_openai() as fake:
        agreeing, differing, unread = ask(fake, groups=[jars], calibration=calibration(fakes()))
        asked = [request["messages"][0]["content"] for request in fake.requests]
    assert agreeing.score == pytest.approx(sigmoid(1.5 * ODDS[0.8] - ODDS[0.5] + 0.25 + 0.3))
    assert differing.score == pytest.approx(sigmoid(1.5 * ODDS[0.2] - ODDS[0.5] - 2.0 + 0.3))
    assert unread.score == pytest.approx(sigmoid(1.5 * ODDS[0.8] - ODDS[0.5] + 0.3))
    assert agreeing.valid and not differing.valid
    # One question a candidate, and one about the empty candidate for the whole group.
    assert len(asked) == 4 and sum("p=" not in text for text in asked) == 1


def test_the_turned_question_is_asked_where_the_prompt_can_turn() -> None:
    with fake_openai() as fake:
        features = feature_names(TURNING)
        assert features[:3] == ("log_odds", "log_odds_turned", "log_odds_empty")
        turning = calibration(fakes(TURNING), features=features, weights=(0.5, 0.5, 0.0, 0.0, 0.0))
        (item,) = ask(fake, groups=[group("p=0.8")], prompt=TURNING, calibration=turning, label_floor=0.0)
        asked = [request["messages"][0]["content"] for request in fake.requests]
    assert sum("True or False?" in text and "p=" in text for text in asked) == 1
    assert sum("False or True?" in text and "p=" in text for text in asked) == 1
    # The server of this test says Yes and No, which are not this prompt's labels.
    assert item.verdict == "no_verdict"


def test_what_gives_no_probability_is_no_verdict_and_what_fails_is_failed() -> None:
    with fake_openai() as fake:
        fake.by_text["p=0.11"] = Reply(body=completion("Yes", finish_reason="stop"))
        fake.by_text["p=0.22"] = Reply(body=completion("", finish_reason="content_filter"))
        unsure, cut, fine = ask(fake, groups=[group("p=0.11", "p=0.22", "p=0.8")], calibration=calibration(fakes()))
    assert unsure == JudgeScored(valid=False, score=None, verdict="no_verdict")
    assert code(cut) == ("judge_cut_off", True)
    assert isinstance(fine, JudgeScored) and fine.score is not None


def test_certain_checks_still_come_first() -> None:
    with fake_openai() as fake:
        groups = [Group(id="g", problem="6 times 7?", reference="6 * 7 = 42.", candidates=["6 * 7 = 45, so 45.", " "])]
        wrong, blank = ask(fake, groups=groups, calibration=calibration(fakes(), bias=50.0))
        assert fake.requests == []
    assert (wrong.valid, wrong.score) == (False, 0.0) and "false calculation" in wrong.rationale
    assert isinstance(blank, Failed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "another"}, "name is 'fake', fitted with 'another'"),
        ({"prompt_revision": "0" * 16}, "prompt_revision"),
        ({"backend": "transformers"}, "backend is 'openai'"),
    ],
)
def test_with_another_judge_it_is_refused_at_the_start(change: dict[str, Any], said: str) -> None:
    async def run() -> None:
        with fake_openai() as fake:
            async with opened(fake, calibration=calibration(fakes().model_copy(update=change))):
                pass

    with pytest.raises(SettingsError, match=said):
        asyncio.run(run())


def test_the_judge_says_which_calibration_it_has() -> None:
    async def run(fake: FakeOpenAI, **changed: Any) -> dict[str, Any]:
        async with opened(fake, **changed) as judge:
            return judge.describe()

    with fake_openai() as fake:
        one = calibration(fakes())
        assert asyncio.run(run(fake, calibration=one))["calibration"] == {
            "kind": "regression",
            "revision": one.revision,
        }
        assert "calibration" not in asyncio.run(run(fake))


# --- a probe, in process ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def tiny_judge(
    model: Backbone, prompt: JudgePrompt, probe: Calibration | None
) -> AsyncIterator[TransformersJudge]:
    judge = TransformersJudge(
        load=lambda: model,
        prompt=prompt,
        threshold=0.5,
        batch_tokens=2048,
        queue_tokens=100_000,
        label_floor=0.0,
        calibration=probe,
    )
    await judge.open()
    try:
        yield judge
    finally:
        await judge.close()


def test_a_probe_reads_the_tokens_right_behind_the_question(tmp_path: Path) -> None:
    said = ["48 jars stand in 4 crates. Take away the 5 broken: 43.", "One crate is 40 jars and 3 are over, so 43."]
    jars = Group(id="g", problem="How many jars?", reference="48 - 5 = 43", candidates=said)
    model = tiny_backbone("llama", hidden_size=64)
    (tmp_path / "short.yaml").write_text(
        "labels: {valid: 'yes', invalid: 'no'}\nuser: '{{problem}} {{reference}} {{fence}} {{candidate}} {{fence}}'\n"
    )
    prompt = JudgePrompt.load(str(tmp_path / "short.yaml"))

    async def run() -> None:
        async with tiny_judge(model, prompt, None) as judge:
            tokens, belongs_to = judge.probe_tokens(), Model.of(judge.describe())
            questions = [prompt.question(problem="How many jars?", reference="48 - 5 = 43", candidate=c) for c in said]
            looks = [one for one in await judge.look(questions, tokens) if one is not None]
            assert judge._opened is not None
            with torch.inference_mode():
                ids = torch.tensor([judge._opened.format.encode_prefix(questions[0].user)])
                own = model.model(ids).logits[0, -1].double().log_softmax(-1)[list(tokens)]
            (plain,) = await judge.score([jars])
            assert [judge.plain(one) for one in looks] == pytest.approx(scores(plain), abs=1e-5)
        assert len(tokens) > 400 and looks[0] == pytest.approx(own.tolist(), abs=1e-4) and len(looks) == 2
        weights = tuple(0.05 * ((7 * n) % 11 - 5) for n in range(len(tokens)))
        probe = calibration(belongs_to, kind="probe", features=(), tokens=tokens, weights=weights, bias=0.1)
        async with tiny_judge(model, prompt, probe) as judge:
            (together,) = await judge.score([jars])
            (alone,) = await judge.score([jars.model_copy(update={"candidates": said[1:]})])
        odds = [0.1 + sum(w * x for w, x in zip(weights, one, strict=True)) for one in looks]
        assert scores(together) == pytest.approx([sigmoid(each) for each in odds], abs=1e-4)
        assert scores(alone) == pytest.approx(scores(together)[1:], abs=1e-4) and len(set(scores(together))) == 2

    asyncio.run(run())


def scores(result: JudgeGroup) -> list[float]:
    return [item.score for item in result.candidates if isinstance(item, JudgeScored) and item.score is not None]
