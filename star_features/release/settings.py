"""How strict a release is: the bounds of its gate, as `[gate]` in spaces.toml changes them."""

from typing import Literal

from pydantic import Field

from star_features.files import Settings


class GateSettings(Settings):
    """What a version has to keep before its readers may meet it."""

    loss: float = Field(default=0.01, ge=0)
    """AUC that a registered consumer may lose on mapped vectors against those it reads today."""
    slice_loss: float = Field(default=0.03, ge=0)
    """The same within one slice of its rows."""
    slice_rows: int = Field(default=200, ge=4)
    """Rows below which a slice is shown and not judged."""
    ks: float = Field(default=0.1, gt=0, le=1)
    """How far the scores of a consumer may move: the Kolmogorov-Smirnov distance, after its
    calibration where it asks for one. A consumer that only sorts is not judged by it."""
    over_chance: float = Field(default=0.5, gt=0, le=1)
    """How far a map comes on its way from the cosine of shuffled pairs to 1, at least."""
    neighbours: float = Field(default=0.3, gt=0, le=1)
    """Share of an entity's ten nearest that stay its nearest, at least."""
    nonlinear_gain: float = Field(default=0.02, gt=0)
    """Cosine that a non-linear map may gain over the linear one, at most."""
    later_drop: float = Field(default=0.03, gt=0)
    """Cosine that a map may lose on moments later than all it was fitted on, at most."""
    labels: int = Field(default=10_000, ge=100)
    """Labels of each role to score consumers on, at most."""
    pairs: int = Field(default=4_000, ge=100)
    """Entities of each side to try a map on, at most."""
    groups: tuple[str, ...] = ()
    """Further slices: columns of the training set, such as `member_attributes__place`."""
    degrees: tuple[int, ...] = (1, 5, 20)
    """Where the slices by number of taken jobs begin."""
    seed: int = 0
    """Draws labels and entities."""


Calibrating = Literal["none", "isotonic", "quantiles", "order"]
"""What a consumer's scores are to it: compared as they are (`none`), values or shares above a
threshold that a calibration can keep, or an order only."""
