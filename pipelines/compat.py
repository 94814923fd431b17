"""
Compat: rankers of an old version go on reading its language while a newer model fills it.

    star compat fit graph v2 v1             the two maps, of members and of jobs
    star compat fit job_graph_v2 job_graph_v1    one of them anew
    star compat apply graph v1 --from v2    the whole history of v2, told in the spaces of v1

A pair of maps is fitted once and kept, as a model is; `star compat fit` is what fits it anew. A
map is made from entities that have a vector of the same moment in both versions. Where the newer
version was trained together with maps into the older one (`[graph.v2.compat]`), the fit begins at
those.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from pipelines.home import Home
from pipelines.joint import trained_weight
from pipelines.receipts import Facts, Receipt, Stage, find_receipt, read_receipt
from pipelines.recording import recorder
from star_features.catalogue import BETWEEN, ENTITIES, KINDS, Entity, SpacePair
from star_features.compat.fit import FitSettings
from star_features.compat.fitting import Fitted, fit_and_check
from star_features.compat.maps import Map
from star_features.compat.saved import load_map, save_map
from star_features.errors import EmptyInput, MissingStage, UsageError
from star_features.files import Settings
from star_features.progress import bar
from star_features.store.history import History
from star_features.store.mapped import map_history, pairs_between, space_of


class MapSettings(Settings):
    """How the maps of one pair are made."""

    pairs: int = Field(default=10_000, gt=0)
    """Entities to fit on and to measure with, at most, of each side."""
    fit: FitSettings = FitSettings()
    """Methods, strengths, what is kept back; its seed draws the entities too."""


def fit_stage(
    home: Home,
    pair: SpacePair,
    settings: MapSettings | None = None,
    refit: Sequence[Entity] = (),
) -> Stage:
    """
    The stage that fits the maps into `pair` from the version that fills it.

    Args:
        settings: those of the last fit unless given, and the defaults before there was one.
        refit: sides to fit anew; the others keep the map they have, if it is one of today's spaces.
    """
    name = home.fit(pair)
    last = find_receipt(home, name)
    chosen = settings or MapSettings.model_validate(last.settings if last else {})
    return Stage(
        name=name,
        settings=chosen.model_dump(mode="json"),
        after=[home.tower(end) for end in _ends(pair)],
        outputs=[home.maps],
        work=lambda: _fit(home, pair, chosen, last, refit),
    )


def map_stage(home: Home, pair: SpacePair) -> Stage:
    """The stage that fills a mapped pair: every row of the newer version, in the older's spaces."""
    if pair not in home.catalogue().mapped_pairs():
        raise UsageError(
            f"spaces.toml has no views for {pair}. Wanted there:\n"
            f'[mapped.{pair.kind}.{pair.version}]\nfrom = "{pair.filled_by}"'
        )
    return Stage(
        name=home.tower(pair),
        settings={},
        after=[home.fit(pair), home.tower(_ends(pair)[0])],
        outputs=[home.history / pair.view(entity) for entity in ENTITIES],
        work=lambda: _map(home, pair),
    )


def chosen(home: Home, pair: SpacePair, pairs: int | None, seed: int | None) -> MapSettings | None:
    """Settings with these two changed, the rest as in the last fit; None where nothing is."""
    if pairs is None and seed is None:
        return None
    last = find_receipt(home, home.fit(pair))
    facts = last.settings if last else MapSettings().model_dump(mode="json")
    if pairs is not None:
        facts = facts | {"pairs": pairs}
    if seed is not None:
        facts = facts | {"fit": facts["fit"] | {"seed": seed}}
    return MapSettings.model_validate(facts)


def ends_of(words: Sequence[str]) -> tuple[SpacePair, tuple[Entity, ...]]:
    """What `star compat fit` was asked for: `graph v2 v1`, or `job_graph_v2 job_graph_v1`.

    Raises:
        UsageError: it is neither, or one end is mapped itself.
    """
    asked = [*words]
    sides = [entity for entity in ENTITIES if all(word.startswith(entity) for word in words)]
    if len(words) == 2 and sides:
        new, old = (word.removeprefix(f"{sides[0]}_").partition("_") for word in words)
        asked = [new[0], new[2], old[2]] if new[0] == old[0] else []
    if len(asked) != 3 or asked[0] not in KINDS:
        raise UsageError(
            f"star compat fit {' '.join(words)}: wanted a kind and two versions, graph v2 v1, or "
            "two spaces of one kind and side, job_graph_v2 job_graph_v1"
        )
    kind, new_version, old_version = asked
    if BETWEEN in new_version or BETWEEN in old_version:
        direct = new_version.split(BETWEEN)[-1], old_version.split(BETWEEN)[0]
        raise UsageError(
            f"{kind} {new_version} -> {old_version} would be a chain: maps are direct, because "
            "every further link loses more than a fit of its own.\n"
            f"Fit the direct map: star compat fit {kind} {direct[0]} {direct[1]}"
        )
    pair = SpacePair.parse(f"{kind}.{old_version}{BETWEEN}{new_version}")
    return pair, tuple(sides) or ENTITIES


def fitted(home: Home) -> list[Receipt]:
    """The receipts of all maps that were fitted in this home, the catalogue's first."""
    known = [home.fit(pair) for pair in home.catalogue().mapped_pairs()]
    there = sorted(path.stem for path in home.receipts.glob("fit.*.json"))
    names = [name for name in known if name in there] + [n for n in there if n not in known]
    if not names:
        raise MissingStage("a fitted map", "star compat fit KIND NEW OLD, such as graph v2 v1")
    return [read_receipt(home, name) for name in names]


def the_map(home: Home, pair: SpacePair, entity: Entity) -> tuple[Map, str]:
    """The map of one side as it was fitted last, and its name; refused where a space changed."""
    fact = read_receipt(home, home.fit(pair)).facts[entity]
    source, target = (space_of(end) for end in _histories(home, pair, entity))
    return load_map(home.maps / fact["map"], source=source, target=target), fact["map"]


def _ends(pair: SpacePair) -> tuple[SpacePair, SpacePair]:
    """The two versions that its maps lead from and to."""
    return SpacePair(pair.kind, str(pair.filled_by)), SpacePair(pair.kind, pair.version)


def _histories(home: Home, pair: SpacePair, entity: Entity) -> tuple[History, History]:
    """The native histories at the two ends of a map: the newer and the older version's."""
    new, old = (end.view(entity) for end in _ends(pair))
    return History.of_vectors(home.history, new), History.of_vectors(home.history, old)


def _fit(
    home: Home,
    pair: SpacePair,
    settings: MapSettings,
    last: Receipt | None,
    refit: Sequence[Entity],
) -> Facts:
    home.maps.mkdir(parents=True, exist_ok=True)
    facts: Facts = {}
    for entity in ENTITIES:
        try:
            source, target = _histories(home, pair, entity)
            kept = None if entity in refit else _kept(last, entity, source, target)
            facts[entity] = kept or _fit_side(home, pair, source, target, settings)
        except EmptyInput as reason:
            # A tower that could not be trained: the rest of the run goes on without it.
            return {"not_trained": str(reason)}
    return facts


def _kept(last: Receipt | None, entity: Entity, source: History, target: History) -> Facts | None:
    """The facts of the map this side has, if both its ends are still what they were."""
    fact: Facts | None = last.facts.get(entity) if last else None
    ends = {"source": space_of(source), "target": space_of(target)}
    return fact if fact and ends.items() <= fact.items() else None


def _fit_side(
    home: Home, pair: SpacePair, source: History, target: History, settings: MapSettings
) -> Facts:
    pairs = pairs_between(source, target, most=settings.pairs, seed=settings.fit.seed)
    found = fit_and_check(pairs, settings.fit, trained_weight(home, pair, pairs.target))
    return {"map": save_map(found.map, home.maps).name} | _figures(found, len(pairs))


def _figures(found: Fitted, pairs: int) -> dict[str, Any]:
    map = found.map
    return {
        "source": map.source,
        "target": map.target,
        "method": map.method,
        "strength": map.strength,
        "pairs": pairs,
        "fitted_on": map.receipt.pairs,
        "cosine": found.cosine,
        "cosine_error": found.cosine_error,
        "r2": found.r2,
        "neighbours_kept": found.neighbours_kept,
        "shuffled": found.shuffled,
        "curve": [asdict(point) for point in found.curve],
    }


def _map(home: Home, pair: SpacePair) -> Facts:
    targets = {entity: History.of_vectors(home.history, pair.view(entity)) for entity in ENTITIES}
    for history in targets.values():
        history.ensure()
    if reason := read_receipt(home, home.fit(pair)).facts.get("not_trained"):
        return {"not_trained": reason}
    width = home.catalogue().version(pair.kind, pair.version).width
    facts: Facts = {}
    for entity, target in targets.items():
        map, name = the_map(home, pair, entity)
        source, _ = _histories(home, pair, entity)
        with bar(f"map {target.view}", unit="row") as progress, recorder(home) as known:
            new = map_history(
                map,
                source,
                target,
                name=name.rpartition("@")[2],
                created=datetime.now(UTC),
                progress=progress.update,
            )
            known(target)
        fact = {"rows": target.count(), "new": new, "width": width, "space": map.target}
        facts[target.view] = fact | {"map": name}
    return facts
