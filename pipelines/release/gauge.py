"""
The figures of the gate, taken in a home: what each map keeps, what each consumer scores.

    maps = map_figures(desk, pairs, settings)
    consumers = consumer_figures(desk, moves, settings)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.compat import the_map
from pipelines.receipts import read_receipt
from pipelines.release.desk import Desk
from pipelines.roles import roles
from pipelines.training_set import labels as home_labels
from star_features.catalogue import ENTITIES, RANKER, Entity, SpacePair
from star_features.compat.checks import drift_shape
from star_features.compat.figures import cosines
from star_features.compat.fit import FitSettings, fit
from star_features.compat.maps import Map
from star_features.compat.pairs import Pairs
from star_features.compat.score import Calibration, isotonic, quantiles
from star_features.errors import EmptyInput, StarError
from star_features.evaluation.protocols import Split
from star_features.evaluation.slices import degree_masks, slice_masks
from star_features.ledger.consumers import Registered
from star_features.progress import bar
from star_features.release.gate import ALL, ConsumerFigures, MapFigures, Masks, calibrated, measure
from star_features.release.pointers import Line, Moves
from star_features.release.scorer import Scorer, Trainable, load_scorer
from star_features.release.settings import GateSettings
from star_features.release.ways import MAPPED, RETRAINED, TODAY, Maps, Scores, score_ways
from star_features.store.history import History
from star_features.store.mapped import EVER, Window, pairs_between
from star_features.store.services import aliases_of, reading
from star_features.store.training import training_set
from star_features.tables.canonical import Tables

if TYPE_CHECKING:
    pass

CALIBRATIONS = {"isotonic": isotonic, "quantiles": quantiles}


@dataclass(frozen=True)
class Found:
    """What was found of one consumer, and the calibration that it asked for."""

    figures: ConsumerFigures
    calibration: Calibration | None = None


def map_figures(desk: Desk, pairs: Sequence[SpacePair], gate: GateSettings) -> list[MapFigures]:
    """Of each mapped pair, both sides."""
    tables = Tables(desk.home.tables)
    parts = roles(tables)
    sides = [(pair, entity) for pair in pairs for entity in ENTITIES]
    with bar("try maps", len(sides), "map") as progress:
        found = []
        for pair, entity in sides:
            found.append(_of_side(desk, pair, entity, parts, gate))
            progress.update()
        return found


def _of_side(
    desk: Desk, pair: SpacePair, entity: Entity, parts: Split, gate: GateSettings
) -> MapFigures:
    fact = read_receipt(desk.home, desk.home.fit(pair)).facts[entity]
    map, _ = the_map(desk.home, pair, entity)
    source, target = _ends(desk, pair, entity)

    def drawn(window: Window = EVER) -> Pairs:
        return pairs_between(source, target, most=gate.pairs, seed=gate.seed, window=window)

    sample = drawn()
    shape = drift_shape(sample, FitSettings(seed=gate.seed))
    figures = MapFigures(
        name=f"{entity} {pair.kind} {pair.filled_by} → {pair.version}",
        held=fact["cosine"],
        held_error=fact["cosine_error"],
        r2=fact["r2"],
        neighbours=fact["neighbours_kept"],
        shuffled=fact["shuffled"],
        linear=shape.linear,
        nonlinear=shape.nonlinear,
        gain=shape.gain,
        gain_error=shape.gain_error,
    )
    cutoff = parts.cutoffs.get("test")
    seen, kept = sample, map
    if cutoff is not None:
        try:
            kept = _fitted(drawn(Window(until=cutoff)), gate)
            seen = drawn(Window(since=cutoff))
            figures = replace(figures, later_held=kept.receipt.cosine)
        except EmptyInput:  # nothing is later, or nothing earlier: figures of all moments stand
            seen, kept, cutoff = sample, map, None
    cosines_N = cosines(kept(seen.source_ND, space=seen.source), seen.target_NE)
    by_slice = _by_slice(cosines_N, _masks_of_side(parts, entity, seen, gate))
    later = float(cosines_N.mean()) if cutoff is not None else None
    return replace(figures, later=later, slices=by_slice)


def consumer_figures(
    desk: Desk, moves: Moves, known: Sequence[Registered], gate: GateSettings
) -> list[Found]:
    """Every registered consumer that would meet mapped vectors, by each way."""
    found = []
    frames: dict[tuple[str, str], _Frames] = {}
    with bar("try consumers", len(known), "consumer") as progress:
        for consumer in known:
            moved = mapped_names(desk, consumer.service, moves)
            names = {name: pair for name, pair in moved.items() if name in consumer.pairs}
            if names:
                key = consumer.service, str(consumer.settings.get("labels", ""))
                if key not in frames:
                    frames[key] = _frames(desk, consumer, moved, gate)
                found.append(_try(desk, consumer, names, frames[key], gate))
            progress.update()
    return found


@dataclass(frozen=True)
class _Frames:
    """Labels with the features of one service: as it reads now, and as the new version has them."""

    today: pd.DataFrame
    new: pd.DataFrame
    masks: Masks

    def rows(self, role: str) -> NDArray[np.bool_]:
        return np.asarray(self.today["role"] == role)


def _frames(
    desk: Desk, consumer: Registered, names: Mapping[str, SpacePair], gate: GateSettings
) -> _Frames:
    store = desk.store()
    labels = _labels(desk, consumer, gate)
    native = {name: SpacePair(pair.kind, pair.source) for name, pair in names.items()}
    today = training_set(store, labels, service=consumer.service)
    then = reading(store, consumer.service, aliases_of(native))
    new = training_set(store, labels, service=then)
    return _Frames(today, new, _masks(desk, today[today["role"] == "test"], gate))


def _try(
    desk: Desk,
    consumer: Registered,
    names: Mapping[str, SpacePair],
    frames: _Frames,
    gate: GateSettings,
) -> Found:
    kind = consumer.settings.get("scores", "none")
    try:
        scorer = load_scorer(consumer.scorer, desk.home.path)
        maps = {name: _maps(desk, pair, gate) for name, pair in names.items()}
        test = frames.rows("test")
        today, new = (f[test].reset_index(drop=True) for f in (frames.today, frames.new))
        labels_N = today["label"].to_numpy()
        scores = score_ways(scorer, today, new, maps)
        scores |= _retrained(scorer, frames, new)
        half_N = np.arange(len(labels_N)) % 2 == 0  # to calibrate on; the others tell how it did
        calibration = _calibration(kind, scores, half_N)
        figures = measure(consumer.name, labels_N, scores, frames.masks, kind)
        if calibration:
            figures = calibrated(figures, calibration, scores, ~half_N)
        return Found(figures, calibration)
    except StarError as refused:
        return Found(ConsumerFigures(consumer.name, kind, refused=str(refused).splitlines()[0]))
    except Exception as broken:  # other people's code, of which anything may come
        said = f"{type(broken).__name__}: {broken}"
        return Found(ConsumerFigures(consumer.name, kind, refused=said))


def _retrained(scorer: Scorer, frames: _Frames, new: pd.DataFrame) -> dict[str, Scores]:
    if not isinstance(scorer, Trainable):
        return {}
    train = frames.new[frames.rows("ranker")].reset_index(drop=True)
    return {RETRAINED: scorer.retrained(train).score(new)}


def _calibration(
    kind: str, scores: Mapping[str, Scores], half_N: NDArray[np.bool_]
) -> Calibration | None:
    if kind not in CALIBRATIONS:
        return None
    return CALIBRATIONS[kind](scores[MAPPED][half_N], scores[TODAY][half_N])


def _maps(desk: Desk, pair: SpacePair, gate: GateSettings) -> Maps:
    """The maps that would serve, and those of the wrong pairs."""
    served = {entity: the_map(desk.home, pair, entity)[0] for entity in ENTITIES}
    return Maps(served, {entity: _shuffled(desk, pair, entity, gate) for entity in ENTITIES})


def _shuffled(desk: Desk, pair: SpacePair, entity: Entity, gate: GateSettings) -> Map:
    pairs = pairs_between(*_ends(desk, pair, entity), most=gate.pairs, seed=gate.seed)
    order = np.random.default_rng(gate.seed).permutation(len(pairs))
    return _fitted(replace(pairs, target_NE=pairs.target_NE[order]), gate)


def _fitted(pairs: Pairs, gate: GateSettings) -> Map:
    settings = FitSettings(seed=gate.seed)
    rows = [(pairs.source_ND, pairs.target_NE)]
    return fit(rows, source=pairs.source, target=pairs.target, settings=settings)


def _ends(desk: Desk, pair: SpacePair, entity: Entity) -> tuple[History, History]:
    new, old = SpacePair(pair.kind, pair.source), SpacePair(pair.kind, pair.version)
    views = (new.view(entity), old.view(entity))
    source, target = (History.of_vectors(desk.home.history, view) for view in views)
    return source, target


def mapped_names(desk: Desk, service: str, moves: Moves) -> dict[str, SpacePair]:
    """The stable names of a service that would lead to another pair, filled through a map."""
    found = {}
    for name in desk.catalogue.stable_pairs(service):
        own = Line(service, name)
        line = own if own in moves else Line(RANKER, name)
        if line in moves and moves[line][1].filled_by:
            found[name] = moves[line][1]
    return found


def _labels(desk: Desk, consumer: Registered, gate: GateSettings) -> pd.DataFrame:
    """The consumer's own labels, or those of this home: `role` is ranker or test."""
    own = consumer.settings.get("labels")
    frame = pd.read_parquet(desk.home.path / own) if own else home_labels(desk.home, gate.labels)
    generator = np.random.default_rng(gate.seed)
    kept = [
        part.iloc[np.sort(generator.permutation(len(part))[: gate.labels])]
        for _, part in frame.groupby("role", sort=True)
    ]
    return pd.concat(kept, ignore_index=True)


def _masks(desk: Desk, test: pd.DataFrame, gate: GateSettings) -> dict[str, NDArray[np.bool_]]:
    """Rows of every slice: cold and warm, by degree, by each declared group."""
    parts = roles(Tables(desk.home.tables))
    before = pa.concat_tables([parts.history, parts.ranker])
    ids = {entity: test[f"{entity}_id"].tolist() for entity in ENTITIES}
    masks = slice_masks(before, ids["member"], ids["job"])
    for entity, keys in ids.items():
        masks |= degree_masks(before, f"{entity}_id", keys, gate.degrees)
    for group in gate.groups:
        masks |= _groups(group, test[group].to_numpy())
    return masks


def _masks_of_side(
    parts: Split, entity: Entity, pairs: Pairs, gate: GateSettings
) -> dict[str, NDArray[np.bool_]]:
    """Entities of every slice of one side."""
    before = pa.concat_tables([parts.history, parts.ranker])
    keys = pairs.ids.tolist()
    known = degree_masks(before, f"{entity}_id", keys, gate.degrees)
    warm_N = np.logical_or.reduce([*known.values()])
    return {"warm": warm_N, "cold": ~warm_N, **known}


def _groups(name: str, values_N: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    return {f"{name} = {value}": values_N == value for value in pd.unique(values_N) if value}


def _by_slice(cosines_N: NDArray[np.float64], masks: Masks) -> dict[str, tuple[float, int]]:
    return {
        part: (float(cosines_N[mask].mean()), int(mask.sum()))
        for part, mask in masks.items()
        if part != ALL and mask.any()
    }
