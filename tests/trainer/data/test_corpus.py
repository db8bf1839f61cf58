"""What is left out and counted, what is drawn, and that the stages never share a problem."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.clients.http_client import RewardClient
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.rendering import Rendering
from rewright.trainer.data.corpus import Reason, by_rule, prepare_corpus
from rewright.trainer.data.prompts import rewriting_prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.data.split import place_in_draw, stage_of
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Corpus, Source
from rewright.trainer.runs.corpus_filters import local_filters, untrusted_golds
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
from tests.service.scorers.tiny_models import TRIMS_AND_PRINTS_THE_DATE, tiny_tokenizer


def problems(count, **changes):
    return [{"id": f"p{n}", "problem": f"What is {n} + 1?", "solution": f"{n + 1}"} | changes for n in range(count)]


def corpus_of(tmp_path, rows, name="data.jsonl", **options):
    file = tmp_path / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Corpus(sources=(Source(path=str(file)),), **options)


def listed(folder):
    return [json.loads(line) for line in (folder / "left_out.jsonl").read_text().splitlines()]


def made(corpus, folder, filters=()):
    return prepare_corpus(corpus, folder, settings=corpus.model_dump(mode="json"), filters=filters)


@given(st.text(min_size=1), st.floats(0.01, 0.99))
def test_a_problem_has_one_stage_and_a_higher_share_only_adds_to_stage_one(text, share):
    stage = stage_of(text, share=share)
    assert stage_of(text, share=share) == stage
    if stage == "one":
        assert stage_of(text, share=min(1.0, share + 0.1)) == "one"


def test_draw_and_stage_are_independent():
    hashes = [str(n) for n in range(4000)]
    one = [place_in_draw(h, seed=3) for h in hashes if stage_of(h, share=0.5) == "one"]
    assert abs(len(one) / 4000 - 0.5) < 0.05 and abs(sum(one) / len(one) - 0.5) < 0.05


def test_stages_are_even_and_never_overlap_across_seeds_draws_and_order(tmp_path):
    rows = problems(400)
    ones, twos = set(), set()
    for n, (seed, draw, order) in enumerate([(1, 100, 1), (2, 100, 1), (1, 60, -1), (9, None, 1)]):
        stages = made(corpus_of(tmp_path, rows[::order], f"{n}.jsonl", seed=seed, draw=draw), tmp_path / str(n))
        if draw:
            assert len(stages.stage_one) == len(stages.stage_two) == draw // 2
        ones |= {s.problem for s in stages.stage_one}
        twos |= {s.problem for s in stages.stage_two}
    assert not ones & twos and len(ones) + len(twos) == 400


def test_the_same_recipe_gives_the_same_data_and_another_seed_another(tmp_path):
    rows = problems(200)
    one, again, other = (
        made(corpus_of(tmp_path, rows, seed=seed, draw=50), tmp_path / name)
        for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    )
    assert one.stage_one == again.stage_one and one.data_hash == again.data_hash != other.data_hash


def test_what_is_left_out_is_counted_listed_and_replaced(tmp_path):
    rows = [*problems(60), {"id": "d", "problem": "What  is 1 + 1?", "solution": "2"}, {"problem": "", "solution": "x"}]
    refused = by_rule("odd", lambda s: s.reference.endswith("7"))
    stages = made(corpus_of(tmp_path, rows, draw=20), tmp_path / "c", [refused])
    assert len(stages.stage_one) == len(stages.stage_two) == 10
    assert not any(s.reference.endswith("7") for s in stages.stage_one + stages.stage_two)
    report = json.loads((tmp_path / "c" / "report.json").read_text())
    assert report["read"] == 62 and report["counts"]["duplicate"] == report["counts"]["empty"] == 1
    assert report["looked_at"] == 20 + report["counts"].get("odd", 0)
    assert {"id": "d", "source": "data.jsonl", "reason": "duplicate"} in listed(tmp_path / "c")
    assert report["data_hash"] == stages.data_hash


def test_a_finished_corpus_is_read_back_and_never_mixed_with_another(tmp_path):
    corpus = corpus_of(tmp_path, problems(20))
    first = made(corpus, tmp_path / "c")
    (tmp_path / "data.jsonl").unlink()
    assert made(corpus, tmp_path / "c").stage_one == first.stage_one
    with pytest.raises(CorpusError, match="seed"):
        made(corpus.model_copy(update={"seed": 5}), tmp_path / "c")
    assert {file.name for file in (tmp_path / "c").iterdir()} == {"stage_one.jsonl", "stage_two.jsonl", "report.json"}
    (tmp_path / "c" / "stage_one.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(CorpusError, match="not what was written"):
        made(corpus, tmp_path / "c")


def test_a_corpus_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="none of its 1 rows can be used: 1 empty"):
        made(corpus_of(tmp_path, [{"problem": "", "solution": ""}]), tmp_path / "c")
    with pytest.raises(CorpusError, match="no sample is left"):
        made(corpus_of(tmp_path, problems(3)), tmp_path / "c", [by_rule("all", lambda s: True)])


def test_ids_and_names_of_two_files_do_not_collide(tmp_path):
    sources = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        rows = [
            {"id": 0, "problem": f"{folder}?", "solution": "1"},
            {"id": 0, "problem": f"{folder}!", "solution": "2"},
        ]
        file = tmp_path / folder / "train.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        sources.append(Source(path=str(file)))
    stages = made(Corpus(sources=tuple(sources)), tmp_path / "c")
    samples = stages.stage_one + stages.stage_two
    assert len({s.id for s in samples}) == 4 and {s.source for s in samples} == {s.path for s in sources}


SHORT = ("What is 2 + 2?", "It is \\boxed{4}.")


@pytest.mark.parametrize(
    ("problem", "reference", "reason"),
    [
        (*SHORT, None),
        ("Say <|turn|> twice", "4", "control_tokens"),
        ("What is 2 + 2?", "[ASK] me \\boxed{4}", "control_tokens"),
        ("What is 2 + 2?", "so " * 300, "too_long"),
        ("What is 2 + 2?", "so " * 70, "prompt_too_long"),
        ("What is 2 + 2?", "<think> " * 3 + "4", None),
    ],
)
def test_local_filters(problem, reference, reason):
    chat = ChatFormat.of(
        tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE), Rendering(template_args={}, template_date="2025-01-01")
    )
    prompt = rewriting_prompt("rewrite-small-v1")
    corpus = Corpus(sources=(Source(path="x.jsonl"),), max_sample_tokens=250)
    bare = len(chat.encode_prefix(prompt.fill(problem=SHORT[0], solution=SHORT[1])))
    sample = Sample("s", problem, reference, None, "x")
    said = [f([sample]).get("s") for f in local_filters(corpus, prompt, chat, max_prompt_tokens=bare + 60)]
    assert next((r.code for r in said if r), None) == reason


def test_golds_that_the_verifier_cannot_read_are_found_by_asking_it():
    samples = [
        Sample("good", "p", "fine", "4", "x"),
        Sample("bad", "p", "fail=bad_gold@verify", "?", "x"),
        Sample("other", "p", "ans=0", "4", "x"),
        Sample("none", "p", "verdict=no_answer", "4", "x"),
        Sample("unclear", "p", "verdict=undecided", "4", "x"),
        Sample("its own", "p", "ans=0", None, "x"),
    ]
    with serve_app(plain_scorers()) as server, RewardClient(server.url) as client:
        refused = untrusted_golds(client)(samples)
    assert {name: reason.code for name, reason in refused.items()} == {
        "bad": "bad_gold", "other": "gold_differs", "none": "gold_not_stated", "unclear": "gold_undecided"
    }  # fmt: skip
    assert refused["other"].detail == "the gold is '4', the solution says '42'"


def missing_every(count):
    """A filter that stands for the verifier: of every `count` samples the first misses its gold."""
    return lambda samples: {s.id: Reason("gold_differs", "said") for s in samples if int(s.id[1:]) % count == 0}


@pytest.mark.parametrize(
    ("every", "limit", "refused"), [(1, 0.1, True), (2, 0.4, True), (20, 0.1, False), (1, 1, False)]
)
def test_a_corpus_whose_golds_are_not_what_its_solutions_say_is_refused(tmp_path, every, limit, refused):
    rows = problems(600)
    corpus = corpus_of(tmp_path, [row | {"answer": 999983} for row in rows], max_gold_misses=limit)
    corpus = corpus.model_copy(update={"sources": (corpus.sources[0].model_copy(update={"answer": "answer"}),)})
    if refused:
        with pytest.raises(CorpusError, match=r"gold answers are not what.*max_gold_misses.*p\d"):
            made(corpus, tmp_path / "c", [missing_every(every)])
        assert not (tmp_path / "c" / "report.json").exists()
    elif every > 1:
        made(corpus, tmp_path / "c", [missing_every(every)])
        report = json.loads((tmp_path / "c" / "report.json").read_text())
        assert report["golds"] == {"given": 570, "from_reference": 0} and report["counts"] == {"gold_differs": 30}
        assert listed(tmp_path / "c")[0]["detail"] == "said"
    else:
        with pytest.raises(CorpusError, match="no sample is left"):
            made(corpus, tmp_path / "c", [missing_every(every)])


def test_golds_from_the_solutions_are_counted_apart(tmp_path):
    made(corpus_of(tmp_path, problems(20)), tmp_path / "c")
    report = json.loads((tmp_path / "c" / "report.json").read_text())
    assert report["golds"] == {"given": 0, "from_reference": 20}


class Killed(BaseException):
    """Stands for a signal that nobody can catch."""


@pytest.mark.parametrize("draw", [None, 3000])
def test_a_corpus_step_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path, monkeypatch, draw):
    monkeypatch.setattr("rewright.trainer.data.corpus.CHUNK", 256)
    corpus = corpus_of(tmp_path, [*problems(4000), *problems(5, solution="")], draw=draw)
    odd = by_rule("odd", lambda s: s.reference.endswith("7"))
    made(corpus, tmp_path / "whole", [odd])
    asked = []

    def killing(samples):
        asked.append(len(samples))
        if len(asked) % 3 == 0:
            raise Killed
        return odd(samples)

    kills = 0
    while not (tmp_path / "torn" / "report.json").exists():
        try:
            made(corpus, tmp_path / "torn", [killing])
        except Killed:
            kills += 1
            # What a kill in the middle of a write leaves behind.
            for name in ("stage_one.jsonl", "left_out.jsonl"):
                with (tmp_path / "torn" / name).open("ab") as file:
                    file.write(b'{"id": "torn')
            (tmp_path / "data.jsonl").touch()
    assert kills >= 5 and sum(asked) < 2 * 4000
    for file in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "torn" / file.name).read_bytes() == file.read_bytes(), file.name
    assert len(list((tmp_path / "torn").iterdir())) == 4


def test_a_pool_of_other_settings_is_made_anew(tmp_path):
    def killing(samples):
        raise Killed

    with pytest.raises(Killed):
        made(corpus_of(tmp_path, problems(50), seed=1), tmp_path / "c", [killing])
    again = made(corpus_of(tmp_path, problems(50), seed=2), tmp_path / "c")
    assert again.data_hash == made(corpus_of(tmp_path, problems(50), seed=2), tmp_path / "d").data_hash


def test_a_sample_of_a_large_source_is_taken_at_random_and_is_the_same_each_time(tmp_path):
    corpus = corpus_of(tmp_path, problems(1000))
    sources = (corpus.sources[0].model_copy(update={"sample": 100}),)
    one, again, other = (
        made(corpus.model_copy(update={"sources": sources, "seed": seed}), tmp_path / name)
        for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    )
    drawn = {s.id for s in one.stage_one + one.stage_two}
    assert len(drawn) == 100 and drawn == {s.id for s in again.stage_one + again.stage_two}
    assert drawn != {s.id for s in other.stage_one + other.stage_two}
    assert 300 < sum(int(name[1:]) for name in drawn) / 100 < 700 and one.counts == {"not_sampled": 900}


def test_evaluation_questions_are_left_out_counted_and_listed(tmp_path):
    (tmp_path / "eval.jsonl").write_text('{"problem": "what is 7 + 1"}\n')
    chat = ChatFormat.of(
        tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE), Rendering(template_args={}, template_date="2025-01-01")
    )
    corpus = corpus_of(tmp_path, problems(20), decontaminate=[str(tmp_path / "eval.jsonl")])
    filters = local_filters(corpus, rewriting_prompt("rewrite-small-v1"), chat, max_prompt_tokens=2048)
    stages = made(corpus, tmp_path / "c", filters)
    assert stages.counts == {"contaminated": 1}
    assert listed(tmp_path / "c") == [
        {
            "id": "p7",
            "source": "data.jsonl",
            "reason": "contaminated",
            "detail": "is the question of eval.jsonl, line 1",
        }
    ]


def test_a_text_of_megabytes_is_too_long_without_being_encoded(monkeypatch):
    chat = ChatFormat.of(
        tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE), Rendering(template_args={}, template_date="2025-01-01")
    )
    monkeypatch.setattr(chat, "token_count", lambda text: pytest.fail("was encoded"))
    corpus = Corpus(sources=(Source(path="x.jsonl"),), max_sample_tokens=250)
    filters = local_filters(corpus, rewriting_prompt("rewrite-small-v1"), chat, max_prompt_tokens=300)
    sample = Sample("s", "What?", "so " * 1_000_000, None, "x")
    assert filters[1]([sample])["s"].code == "too_long"
