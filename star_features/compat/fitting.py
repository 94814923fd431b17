"""
A map with all that a reader of it should know: fit, figures, what chance reaches, the curve.

    fitted = fit_and_check(pairs_of(v2, v1, most=10_000, seed=0), settings)
    fitted.map, fitted.figures.cosine, fitted.shuffled

Shapes: N pairs, H pairs kept back, D width of the source space, E width of the target space.
"""

from dataclasses import dataclass

from star_features.compat.checks import CurvePoint, curve, kept_back, shuffled_null
from star_features.compat.figures import neighbours_kept
from star_features.compat.fit import DEFAULTS, FitSettings, fit
from star_features.compat.maps import Map
from star_features.compat.moments import Vectors
from star_features.compat.pairs import Pairs

SIZES = (500, 1_000, 2_000, 4_000, 8_000)
NEIGHBOURS = 10


@dataclass(frozen=True)
class Fitted:
    """
    A map, and its figures on pairs that neither the fit nor the choice of method has seen.

    Attributes:
        cosine, cosine_error, r2: as in the map's receipt.
        neighbours_kept: of each held-out entity's ten nearest among them; None for too few.
        shuffled: cosine of a map that was fitted on pairs of different entities.
        curve: cosine by the number of pairs that were fitted on.
    """

    map: Map
    cosine: float
    cosine_error: float
    r2: float
    neighbours_kept: float | None
    shuffled: float
    curve: tuple[CurvePoint, ...]


def fit_and_check(
    pairs: Pairs, settings: FitSettings = DEFAULTS, prior_DE: Vectors | None = None
) -> Fitted:
    """Fit a map on pairs, and measure it on those that `fit` keeps back for its receipt.

    Args:
        prior_DE: weight of the map that the source's tower was trained with, see `fit`.
    """
    map = fit(
        [(pairs.source_ND, pairs.target_NE)],
        source=pairs.source,
        target=pairs.target,
        settings=settings,
        prior_DE=prior_DE,
    )
    held = kept_back(pairs, settings)
    mapped_HE = map(held.report_HD, space=map.source)
    enough = len(mapped_HE) > NEIGHBOURS
    return Fitted(
        map=map,
        cosine=map.receipt.cosine,
        cosine_error=map.receipt.cosine_error,
        r2=map.receipt.r2,
        neighbours_kept=neighbours_kept(mapped_HE, held.report_HE, NEIGHBOURS) if enough else None,
        shuffled=shuffled_null(pairs, settings),
        curve=tuple(curve(pairs, SIZES, settings, prior_DE)),
    )
