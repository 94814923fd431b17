"""Retrieval and its peers against loops over a market that fits on the page."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from star_features.errors import EmptyInput, SpaceMismatch, UsageError
from star_features.evaluation import scorers
from star_features.evaluation.retrieval import Retrieval, Row, evaluate
from star_features.evaluation.slices import degree_masks, slice_masks
from star_features.spaces import VectorTable

law = settings(deadline=None, max_examples=50)
Make = Callable[[list[tuple[str, str, int, int]]], Any]

JOBS = ["j0", "j1", "j2", "j3"]
HISTORY = [("ann", "j0", 1, 1), ("bo", "j0", 1, 1), ("bo", "j1", 2, 1), ("ann", "j3", 2, 0)]
TEST = [("ann", "j1", 8, 1), ("ann", "j2", 8, 0), ("cy", "j2", 9, 1), ("bo", "j1", 9, 1)]


def compass(space: str, **angles: float) -> VectorTable:
    """Vectors on the unit circle, by degree."""
    radians = np.radians(list(angles.values()))
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return VectorTable(space, np.array(list(angles)), vectors)


def degrees(signal: str = "text") -> tuple[VectorTable, VectorTable]:
    return (
        compass(f"member_{signal}_v1@a", ann=0, bo=10, cy=80),
        compass(f"job_{signal}_v1@b", j0=5, j1=50, j2=90, j3=1),
    )


def row(found: Retrieval, ranking: str, part: str = "all") -> Row:
    return next(r for r in found.rows if (r.ranking, r.slice) == (ranking, part))


def test_the_market_on_this_page_ranks_as_by_eye(table: Make) -> None:
    found = evaluate({"text": degrees()}, table(HISTORY), table(TEST), JOBS, at=(1, 2))
    text = row(found, "text")
    # ann: j0 and j3 were seen, j1 (50°) stands before j2 (90°). cy: j2 is nearest of all.
    assert (text.members, text.pairs, text.mrr) == (2, 2, 1.0)
    assert text.recall == {1: 1.0, 2: 1.0}
    # Test rows by cosine: taken .64 (ann-j1), .98 (cy-j2), .77 (bo-j1); left 0 (ann-j2).
    assert text.auc == 1.0
    # Nobody took j2 or j3, so popularity ties them for cy behind j0 and j1: rank 3.5.
    popular = row(found, "popularity")
    assert popular.mrr == pytest.approx((1 + 1 / 3.5) / 2)
    # ann took j0, whose only neighbour is j1. cy took nothing: four jobs tie at 2.5.
    assert row(found, "item-item").mrr == pytest.approx((1 + 1 / 2.5) / 2)
    assert found.dropped["held-out pairs met in the history"] == 1


def test_cold_is_who_took_nothing_and_what_nobody_took(table: Make) -> None:
    members, jobs, _, _ = (list(column) for column in zip(*TEST, strict=True))
    masks = slice_masks(table(HISTORY), members, [*jobs[:3], "j3"])
    assert masks["cold members"].tolist() == [False, False, True, False]
    assert masks["cold jobs"].tolist() == [False, True, True, True]
    assert masks["warm"].tolist() == [True, False, False, False]
    assert masks["all"].all()


def test_slices_count_their_own_pairs_and_rank_over_all_jobs(table: Make) -> None:
    found = evaluate({"text": degrees()}, table(HISTORY), table(TEST), JOBS, at=(1,))
    assert row(found, "text", "cold members").pairs == 1
    assert row(found, "text", "warm").members == 1
    assert np.isnan(row(found, "text", "cold members").auc)
    nobody = evaluate({"text": degrees()}, table(HISTORY), table(TEST[:1]), JOBS, at=(1,))
    assert np.isnan(row(nobody, "text", "cold jobs").recall[1])


def random_market(seed: int) -> tuple[dict[str, Any], list[Any], list[Any], list[str]]:
    """Signals with missing vectors, history and test rows over 6 members and 9 jobs."""
    rng = np.random.default_rng(seed)
    members, jobs = [f"m{n}" for n in range(6)], [f"j{n}" for n in range(9)]

    def vectors(entity: str, kind: str, ids: list[str]) -> VectorTable:
        kept = [key for key in ids if rng.random() < 0.8] or ids[:1]
        drawn = rng.normal(size=(len(kept), 3)).astype(np.float32)
        return VectorTable(f"{entity}_{kind}_v1@x", np.array(kept), drawn)

    signals = {k: (vectors("member", k, members), vectors("job", k, jobs)) for k in ("a", "b")}
    drawn = [
        (str(rng.choice(members)), str(rng.choice(jobs)), n, int(rng.random() < 0.7))
        for n in range(40)
    ]
    return signals, drawn[:20], [*drawn[20:], ("m0", "j0", 99, 1)], jobs


def by_loops(
    tables: tuple[VectorTable, VectorTable], member: str, jobs: list[str]
) -> dict[str, float]:
    """Cosine of each job that can be compared."""
    mine, theirs = (dict(zip(t.ids.tolist(), t.vectors_ND, strict=True)) for t in tables)
    if member not in mine:
        return {}
    a = mine[member]
    return {
        job: float(a @ theirs[job] / np.linalg.norm(a) / np.linalg.norm(theirs[job]))
        for job in jobs
        if job in theirs
    }


@law
@given(st.integers(0, 300), st.sampled_from([1, 20, 1000]))
def test_signals_rank_as_loops_do_whatever_fits_in_memory(
    table: Make, seed: int, cells: int
) -> None:
    signals, history, test, jobs = random_market(seed)
    seen = {(m, j) for m, j, _, _ in history}
    held = {(m, j) for m, j, _, label in test if label} - seen
    found = evaluate(signals, table(history), table(test), jobs, at=(3,), cells=cells)

    def recall(score: Callable[[str], dict[str, float]]) -> float:
        shares = []
        for member in sorted({m for m, _ in held}):
            scores = score(member)
            hits = []
            for job in [j for m, j in held if m == member]:
                others = [scores[j] for j in jobs if (member, j) not in seen]
                above = sum(s > scores[job] for s in others)
                equal = sum(s == scores[job] for s in others)
                hits.append(1 + above + (equal - 1) / 2 <= 3)
            shares.append(np.mean(hits))
        return float(np.mean(shares)) if shares else float("nan")

    def alone(name: str) -> Callable[[str], dict[str, float]]:
        return lambda m: dict.fromkeys(jobs, -2.0) | by_loops(signals[name], m, jobs)

    for name in signals:
        assert row(found, name).recall[3] == pytest.approx(recall(alone(name)), nan_ok=True)

    def both(member: str) -> dict[str, float]:
        total = dict.fromkeys(jobs, 0.0)
        for tables in signals.values():
            cosines = by_loops(tables, member, jobs)
            values = [*cosines.values()] or [0.0]
            mean, spread = np.mean(values), np.std(values)
            for job, cosine in cosines.items():
                total[job] += (cosine - mean) / spread if spread > 1e-6 else 0.0
        return {job: round(score, 9) for job, score in total.items()}

    assert row(found, "together").recall[3] == pytest.approx(recall(both), nan_ok=True)


@law
@given(st.integers(0, 300))
def test_recall_over_all_jobs_finds_every_asked_job(table: Make, seed: int) -> None:
    signals, history, test, jobs = random_market(seed)
    found = evaluate(signals, table(history), table(test), jobs, at=(len(jobs),))
    for r in found.rows:
        assert r.pairs == 0 or r.recall[len(jobs)] == 1.0


@law
@given(st.integers(0, 300))
def test_the_order_of_rows_and_jobs_changes_nothing(table: Make, seed: int) -> None:
    signals, history, test, jobs = random_market(seed)
    rng = np.random.default_rng(seed)
    mixed = [[rows[n] for n in rng.permutation(len(rows))] for rows in (history, test, jobs)]
    one = evaluate(signals, table(history), table(test), jobs)
    other = evaluate(signals, table(mixed[0]), table(mixed[1]), mixed[2])
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.ranking, a.slice, a.pairs) == (b.ranking, b.slice, b.pairs)
        np.testing.assert_allclose([a.mrr, a.auc], [b.mrr, b.auc])


@law
@given(st.integers(0, 300), st.sampled_from([1, 3, 100]))
def test_item_item_is_what_loops_give(seed: int, neighbours: int) -> None:
    rng = np.random.default_rng(seed)
    taken = (rng.random((7, 5)) < 0.4).astype(np.float32)
    sparse_taken = sparse.csr_array(taken)
    got = scorers.item_item(sparse_taken, sparse_taken, neighbours)(np.arange(7))
    near = np.zeros((5, 5))
    for a in range(5):
        for b in range(5):
            if a != b and taken[:, a].any() and taken[:, b].any():
                both = (taken[:, a] * taken[:, b]).sum()
                near[a, b] = both / np.sqrt(taken[:, a].sum() * taken[:, b].sum())
    if neighbours >= 5:
        np.testing.assert_allclose(got, taken @ near, atol=1e-5)
    else:
        least = np.sort(near, axis=1)[:, ::-1][:, :neighbours]
        np.testing.assert_allclose(got.sum(), (taken @ least).sum(), atol=1e-4)


def test_item_item_in_blocks_equals_item_item_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = sparse.csr_array((np.random.default_rng(1).random((20, 9)) < 0.3).astype(np.float32))
    whole = scorers.item_item(taken, taken, 4)(np.arange(20))
    monkeypatch.setattr(scorers, "JOBS_AT_ONCE", 2)
    np.testing.assert_allclose(scorers.item_item(taken, taken, 4)(np.arange(20)), whole)


def test_versions_that_were_never_trained_together_are_refused(table: Make) -> None:
    member, job = degrees()
    newer = VectorTable("job_text_v2@b", job.ids, job.vectors_ND)
    with pytest.raises(SpaceMismatch, match="job_text_v2"):
        evaluate({"text": (member, newer)}, table(HISTORY), table(TEST), JOBS)


def test_a_test_of_unknown_jobs_only_says_so(table: Make) -> None:
    with pytest.raises(EmptyInput, match="none of 4 rows"):
        evaluate({}, table(HISTORY), table(TEST), ["elsewhere"])
    some = evaluate({"text": degrees()}, table(HISTORY), table(TEST), ["j1", "j0"])
    assert some.dropped["test rows of unknown jobs"] == 2


def test_a_world_of_one_job_and_an_empty_history_has_figures(table: Make) -> None:
    found = evaluate({}, table([]), table([("ann", "j0", 1, 1)]), ["j0"], at=(10,))
    assert row(found, "popularity").recall == {10: 1.0}
    assert row(found, "popularity", "warm").pairs == 0


def test_a_cut_below_one_is_refused(table: Make) -> None:
    with pytest.raises(UsageError, match="at="):
        evaluate({}, table(HISTORY), table(TEST), JOBS, at=(0,))


def test_degree_slices_part_the_warm_rows_by_how_many_were_taken(table: Make) -> None:
    history = table([("ann", "j0", 1, 1), ("bob", "j0", 2, 1), ("bob", "j1", 3, 1)])
    masks = degree_masks(history, "job_id", ["j0", "j1", "j2", "j0"], (1, 2))
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "jobs with 1": [False, True, False, False],
        "jobs with 2+": [True, False, False, True],
    }
    wider = degree_masks(history, "member_id", ["ann", "bob", "cid"], (1, 4))
    assert list(wider) == ["members with 1-3", "members with 4+"]
