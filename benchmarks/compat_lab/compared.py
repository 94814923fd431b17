"""
One version against v1: every way for its vectors to reach a ranker that was trained on v1.

| way | what the frozen ranker reads |
|---|---|
| `kept` | v1's own vectors, made anew each week: the old model is kept running for ever |
| `never` | v1's vectors as they were when the newer version was promoted; none for who is new |
| `swap` | the newer version's vectors as they are |
| `shuffled` | through a map that was fitted on pairs of different entities |
| `fitted` | through a map fitted afterwards |
| `chained` | through the maps of one version into the one before, down to v1 |
| `joint` | the jointly trained version's, through the map it was trained with, refitted |
| `joint, as trained` | the same, through the map as it was trained |
| `joint, swap` | the jointly trained version's as they are |

and `retrained`, `joint, retrained`: a ranker of the same kind trained on the newer version.

Shapes: L labels, T test labels, P pairs, D and E widths.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compat_lab.plan import OLD, VERSIONS, Plan, Version
from benchmarks.compat_lab.rankers import KINDS, Ranker, Sides, fit_all, noise
from benchmarks.compat_lab.versions import Told, Tower, alone, jointly
from benchmarks.compat_lab.worlds import World
from star_features.catalogue import ENTITIES
from star_features.compat.figures import cosines
from star_features.compat.fit import fit
from star_features.compat.maps import Map
from star_features.evaluation.metrics import auc
from star_features.spaces import unit

Frozen = dict[str, Ranker]
FROZEN_WAYS = ("kept", "never", "swap", "shuffled", "fitted", "joint", "joint, swap")


def frozen_rankers(world: World, plan: Plan) -> Frozen:
    """Rankers trained on v1."""
    rows = world.role("ranker")
    old = alone(world, plan, VERSIONS[0]).told()
    return fit_all(_rows(old.labels, rows), _labels(world, "ranker"), world.seed)


def compared(world: World, plan: Plan, version: Version, frozen: Frozen) -> dict[str, Any]:
    """The row of one version: AUC by ranker, way and slice, and what its maps are worth."""
    old, new = (alone(world, plan, v).told() for v in (VERSIONS[0], version))
    tower = jointly(world, plan, version)
    joint = tower.told()
    test = world.role("test")
    maps = maps_between(new, old)
    joint_maps = maps_between(joint, old)
    ways = {
        "kept": old.labels,
        "never": old.stale,
        "swap": new.labels,
        "shuffled": through(maps_between(new, old, shuffled=world.seed + 1), new.labels),
        "fitted": through(maps, new.labels),
        "joint": through(joint_maps, joint.labels),
        "joint, as trained": as_trained(joint, old),
        "joint, swap": joint.labels,
    }
    chain = chain_into_old(world, plan, version, new)
    if chain is not None:
        ways["chained"] = chain
    seen = {way: _rows(sides, test) for way, sides in ways.items()}
    found = _scored(world, frozen, seen, {"retrained": new, "joint, retrained": joint})
    return {
        "world": world.name,
        "simulated": world.tables.simulated,
        "seed": world.seed,
        "version": version.name,
        "what": version.what,
        "test": {name: int(mask.sum()) for name, mask in world.slices.items()},
        "rankers": found,
        "maps": {"fitted": _said(maps), "joint": _said(joint_maps)},
        "cosines": {way: _cosine(ways[way], old, test) for way in ways if way != "kept"},
        "trained": {"alone": new.facts, "joint": joint.facts},
    }


def maps_between(new: Told, old: Told, shuffled: int | None = None) -> dict[str, Map]:
    """The two maps, about those that the newer version was trained with where it was."""
    maps: dict[str, Map] = {}
    for entity in ENTITIES:
        source_PD, target_PE = new.pairs[entity], old.pairs[entity]
        order = np.random.default_rng([3, shuffled or 0]).permutation(len(source_PD))
        wanted = order if shuffled is None else np.random.default_rng(shuffled).permutation(order)
        prior = new.trained_maps.get(old.spaces[entity]) if shuffled is None else None
        maps[entity] = fit(
            [(source_PD[order], target_PE[wanted])],
            source=new.spaces[entity],
            target=old.spaces[entity],
            prior_DE=prior,
        )
    return maps


def through(maps: dict[str, Map], sides: Sides) -> Sides:
    return {e: maps[e](sides[e], space=maps[e].source) for e in ENTITIES}


def as_trained(joint: Told, old: Told) -> Sides:
    """Through the trained maps, without a refit."""
    return {
        e: unit(joint.labels[e] @ joint.trained_maps[old.spaces[e]] + joint.biases[old.spaces[e]])
        for e in ENTITIES
    }


def chain_into_old(world: World, plan: Plan, version: Version, new: Told) -> Sides | None:
    """Down to v1 by the maps between neighbours; None where there is nobody between."""
    way = [v for v in VERSIONS if v.name < version.name]
    if len(way) < 2:
        return None
    sides, source = new.labels, new
    for older in reversed(way):
        target = alone(world, plan, older).told()
        # Each link reads what the last one wrote, in the space it wrote it in.
        sides, source = through(maps_between(source, target), sides), target
    return sides


def distances(world: World, plan: Plan) -> list[dict[str, Any]]:
    """Of every two versions that are not neighbours: cosine by a direct map and by a chain."""
    told = [alone(world, plan, v).told() for v in VERSIONS if v.name in (OLD, *plan.versions)]
    test = world.role("test")
    rows = []
    for start in range(2, len(told)):
        sides = told[start].labels
        for end in range(start - 1, -1, -1):
            sides = through(maps_between(told[end + 1], told[end]), sides)
            if start - end > 1:
                direct = through(maps_between(told[start], told[end]), told[start].labels)
                rows.append(
                    {
                        "from": told[start].spaces["job"].split("@")[0],
                        "to": told[end].spaces["job"].split("@")[0],
                        "distance": start - end,
                        "direct": _cosine(direct, told[end], test),
                        "chained": _cosine(sides, told[end], test),
                    }
                )
    return rows


def _scored(
    world: World, frozen: Frozen, seen: dict[str, Sides], newer: dict[str, Told]
) -> dict[str, Any]:
    """By ranker: AUC by way and slice, and the noise of what a swap loses."""
    labels_T, train, test = _labels(world, "test"), world.role("ranker"), world.role("test")
    found = {}
    for kind in KINDS:
        scores = {way: frozen[kind].score(sides) for way, sides in seen.items()}
        for way, told in newer.items():
            sides = _rows(told.labels, train)
            anew = Ranker.fit(kind, sides, _labels(world, "ranker"), world.seed)
            scores[way] = anew.score(_rows(told.labels, test))
        aucs = {
            way: {
                name: auc(labels_T[mask], scores[way][mask])
                for name, mask in world.slices.items()
                if 0 < labels_T[mask].sum() < mask.sum()
            }
            for way in scores
        }
        errors = {}
        for swap, retrained in (("swap", "retrained"), ("joint, swap", "joint, retrained")):
            best = max(("kept", retrained), key=lambda way: aucs[way]["all"])
            errors[swap] = noise(labels_T, scores[best], scores[swap], world.seed)
        found[kind] = {"auc": aucs, "noise": errors}
    return found


def _rows(sides: Sides, rows: NDArray[np.bool_]) -> Sides:
    return {e: sides[e][rows] for e in ENTITIES}


def _labels(world: World, role: str) -> NDArray[np.int64]:
    return world.labels["label"].to_numpy()[world.role(role)].astype(np.int64)


def _cosine(sides: Sides, old: Told, rows: NDArray[np.bool_]) -> dict[str, float] | None:
    """Mean cosine to the old version's own vectors beside the test labels."""
    if sides["member"].shape[1] != old.labels["member"].shape[1]:
        return None
    return {e: float(cosines(sides[e][rows], old.labels[e][rows]).mean()) for e in ENTITIES}


def _said(maps: dict[str, Map]) -> dict[str, Any]:
    return {
        e: {
            "method": m.method,
            "strength": m.strength,
            "pairs": m.receipt.pairs,
            "cosine": m.receipt.cosine,
            "r2": m.receipt.r2,
        }
        for e, m in maps.items()
    }


def dialled(world: World, plan: Plan, tower: Tower, frozen: Frozen) -> dict[str, Any]:
    """One weight of the dial: what the frozen rankers read, and what the new model is worth."""
    old, joint = alone(world, plan, VERSIONS[0]).told(), tower.told()
    test = world.role("test")
    maps = maps_between(joint, old)
    seen = {
        "kept": _rows(old.labels, test),
        "swap": _rows(joint.labels, test),
        "joint": _rows(through(maps, joint.labels), test),
    }
    seen["joint, swap"] = seen["swap"]
    found = _scored(world, frozen, seen, {"retrained": joint, "joint, retrained": joint})
    assert tower.joint is not None
    return {
        "world": world.name,
        "seed": world.seed,
        "version": tower.version.name,
        "weight": tower.joint.weight,
        "rankers": found,
        "maps": _said(maps),
        "trained": joint.facts,
    }
