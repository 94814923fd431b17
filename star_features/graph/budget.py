"""
Adaptive sampling: how many in-edges a training reads, and when it reads more.

    raised = budget_after([0.61, 0.64, 0.64], settings)   # validation, pass by pass
    settings_at(settings, raised.raises)                  # fan-outs of the next pass

Each relation begins at `start` in-edges and ends at its own fan-out. A pass whose validation gains
less than the tolerance over the best before it has stalled: every relation that is still below its
fan-out is multiplied by `growth`, and the tolerance decays. Early stopping counts from the pass
that first reads everything. The budget follows from the curve alone, so a killed run needs no more
than its curve to go on, and the curve is the schedule's log.

After LiGNN (KDD 2024), which adds 20 neighbours at each stall. One step for all relations was
chosen over raising the one that hides most of its edges: two attributes more cost next to nothing
beside one hop-2 interaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from star_features.graph.settings import GraphSettings


@dataclass(frozen=True)
class Budget:
    """How far the fan-outs have been raised.

    Attributes:
        raises: how often; 0 at first.
        tolerance: what the next pass must gain, or it has stalled.
        full: every relation has reached its fan-out.
        full_since: the first pass that reads, or would read, everything.
    """

    raises: int
    tolerance: float
    full: bool
    full_since: int


def budget_after(values: Sequence[float], settings: GraphSettings) -> Budget:
    """The budget of the pass after those with these validations."""
    if settings.adaptive is None:
        return Budget(0, 0.0, True, 0)
    raises, best = 0, float("-inf")
    tolerance, full_since = settings.adaptive.tolerance, len(values)
    for epoch, value in enumerate(values):
        if is_full(settings, raises):
            full_since = min(full_since, epoch)
        elif value < best + tolerance:
            raises += 1
            tolerance *= settings.adaptive.decay
        best = max(best, value)
    return Budget(raises, tolerance, is_full(settings, raises), full_since)


def settings_at(settings: GraphSettings, raises: int) -> GraphSettings:
    """The same settings with the fan-outs that are read after so many raises."""
    if settings.adaptive is None:
        return settings
    most = round(settings.adaptive.start * settings.adaptive.growth**raises)

    def capped(fan_outs: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(fan_out, most) for fan_out in fan_outs)

    of = {name: capped(fan_outs) for name, fan_outs in settings.fan_outs_of.items()}
    return settings.model_copy(update={"fan_outs": capped(settings.fan_outs), "fan_outs_of": of})


def is_full(settings: GraphSettings, raises: int) -> bool:
    """Whether no further raise would read more."""
    now = settings_at(settings, raises)
    return (now.fan_outs, now.fan_outs_of) == (settings.fan_outs, settings.fan_outs_of)


def schedule(raises: Sequence[float], settings: GraphSettings) -> dict[str, list[tuple[int, ...]]]:
    """Fan-outs of each pass, by relation; `*` is every relation without fan-outs of its own."""
    steps = [settings_at(settings, int(raised)) for raised in raises]
    found = {"*": [step.fan_outs for step in steps]}
    return found | {name: [s.fan_outs_of[name] for s in steps] for name in settings.fan_outs_of}
