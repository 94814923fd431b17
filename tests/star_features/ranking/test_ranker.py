"""The ranker learns the rule of a known market, survives its folder, and refuses other spaces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from star_features.errors import ArtefactError, DataError, SpaceMismatch
from star_features.files import read_json, sha256, write_json
from star_features.ranking.ranker import Ranker, RankerSettings

Market = Callable[..., pd.DataFrame]
QUICK = RankerSettings(trees=30, least_rows=10, learning_rate=0.15)


@pytest.fixture(scope="module")
def ranker(market: Market) -> Ranker:
    return Ranker.fit(market(), settings=QUICK, seed=1)


def test_each_group_of_columns_adds_to_the_auc_of_later_rows(market: Market) -> None:
    train, test = market(3000), market(1500, seed=1)
    reached = [
        roc_auc_score(test["label"], Ranker.fit(train, groups, QUICK).score(test))
        for groups in (["categorical"], ["categorical", "text"], ["categorical", "text", "graph"])
    ]
    assert reached[0] + 0.03 < reached[1]
    assert reached[1] + 0.03 < reached[2]
    assert reached[0] > 0.53


def test_what_is_loaded_scores_as_what_was_saved(
    ranker: Ranker, market: Market, tmp_path: Path
) -> None:
    ranker.save(tmp_path / "ranker")
    again = Ranker.load(tmp_path / "ranker")
    assert (again.schema, again.settings, again.seed) == (ranker.schema, ranker.settings, 1)
    np.testing.assert_array_equal(again.score(market(99)), ranker.score(market(99)))
    assert sorted(p.name for p in (tmp_path / "ranker").iterdir()) == ["model.skops", "ranker.json"]


def test_two_trainings_with_one_seed_are_one_ranker(ranker: Ranker, market: Market) -> None:
    again = Ranker.fit(market(), settings=QUICK, seed=1)
    np.testing.assert_array_equal(again.score(market(99)), ranker.score(market(99)))


def test_the_number_of_threads_does_not_change_the_ranker(ranker: Ranker, market: Market) -> None:
    again = Ranker.fit(market(), settings=QUICK, seed=1, threads=2)
    np.testing.assert_array_equal(again.score(market(99)), ranker.score(market(99)))


def test_scores_are_probabilities_and_follow_their_rows(ranker: Ranker, market: Market) -> None:
    frame = market(50)
    scores = ranker.score(frame)
    assert ((scores > 0) & (scores < 1)).all()
    np.testing.assert_array_equal(ranker.score(frame.iloc[::-1]), scores[::-1])
    assert scores.mean() == pytest.approx(frame["label"].mean(), abs=0.15)


def test_one_member_against_many_jobs_scores_as_the_rows_written_out(
    ranker: Ranker, market: Market
) -> None:
    frame = market(40)
    for name in [c for c in frame.columns if c.startswith("member_")]:
        frame[name] = [frame[name].iloc[0]] * 40
    member = {c: frame[c].tolist()[:1] for c in frame.columns if c.startswith("member_")}
    jobs = {c: frame[c].tolist() for c in frame.columns if c.startswith("job_")}
    np.testing.assert_allclose(ranker.score_jobs(member, jobs), ranker.score(frame))
    nobody = {name: values[:0] for name, values in jobs.items()}
    assert ranker.score_jobs(member, nobody).shape == (0,)


def test_an_unknown_member_gets_a_score_and_a_count(ranker: Ranker, market: Market) -> None:
    frame = market(20)
    jobs = {c: frame[c].tolist() for c in frame.columns if c.startswith("job_")}
    unknown = {c: [None] for c in frame.columns if c.startswith("member_")}
    assert np.isfinite(ranker.score_jobs(unknown, jobs)).all()
    missing = ranker.features({**unknown, **jobs}).missing
    assert missing["member_text__vector"] == missing["member_attributes__place"] == 1
    assert missing["job_text__vector"] == 0


def test_a_ranker_refuses_vectors_of_another_space(
    ranker: Ranker, market: Market, tmp_path: Path
) -> None:
    ranker.save(tmp_path)
    frame = market(10)
    frame["member_star__space"] = "member_graph_v1@newer"
    with pytest.raises(SpaceMismatch, match=r"member_graph_v1@newer.*member_graph_v1@c"):
        Ranker.load(tmp_path).score(frame)


def test_a_ranker_that_never_saw_a_vector_refuses_to_start(market: Market) -> None:
    blank = market(200)
    blank["job_text__vector"], blank["job_text__space"] = None, None
    ranker = Ranker.fit(blank, settings=QUICK)
    assert np.isfinite(ranker.score(blank)).all()
    with pytest.raises(SpaceMismatch, match="as in training"):
        ranker.score(market(10))


def test_a_changed_model_file_is_refused(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    model = tmp_path / "model.skops"
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(ArtefactError, match="SHA-256"):
        Ranker.load(tmp_path)
    model.unlink()
    with pytest.raises(ArtefactError, match="no such file"):
        Ranker.load(tmp_path)


def test_a_model_of_other_types_is_refused(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    model = tmp_path / "model.skops"
    stranger = LogisticRegression()
    stranger.strange = Path  # type: ignore[attr-defined]
    skops.io.dump(stranger, model)
    manifest = read_json(tmp_path / "ranker.json")
    write_json(tmp_path / "ranker.json", manifest | {"model_sha256": sha256(model)})
    with pytest.raises(ArtefactError, match="pathlib"):
        Ranker.load(tmp_path)


def test_a_manifest_that_is_missing_or_wrong_is_refused(ranker: Ranker, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="star rank"):
        Ranker.load(tmp_path)
    ranker.save(tmp_path)
    manifest = read_json(tmp_path / "ranker.json")
    write_json(tmp_path / "ranker.json", manifest | {"features": manifest["features"][::-1]})
    with pytest.raises(ArtefactError, match="as pairs says"):
        Ranker.load(tmp_path)
    write_json(tmp_path / "ranker.json", manifest | {"extra": 1})
    with pytest.raises(ArtefactError, match="extra"):
        Ranker.load(tmp_path)


def test_labels_that_teach_nothing_are_refused(market: Market) -> None:
    with pytest.raises(DataError, match="no column 'label'"):
        Ranker.fit(market(10).drop(columns="label"))
    with pytest.raises(DataError, match=r"all of label \[1\]"):
        Ranker.fit(market(10).assign(label=1))


def test_a_setting_with_a_typo_is_refused() -> None:
    with pytest.raises(ValidationError, match="tree"):
        RankerSettings(tree=3)  # type: ignore[call-arg]
