"""What can be chosen about the graph tower: one line and one sentence for each setting."""

from typing import Literal

from pydantic import Field, model_validator

from star_features.files import Settings

ALL = -1  # a fan-out without limit


class Adaptive(Settings):
    """Begin with few neighbours, and read more once that no longer helps."""

    start: int = Field(1, gt=0)
    """In-edges read per node and relation at first; a relation's own fan-out is the most."""
    growth: float = Field(2.0, gt=1)
    """Times as many after each raise."""
    tolerance: float = Field(0.01, ge=0)
    """A pass has stalled where validation gains less than this over the best so far."""
    decay: float = Field(0.5, gt=0, le=1)
    """What is left of the tolerance after each raise: later gains are smaller ones."""


class Densify(Settings):
    """Let whoever has met few read those who resemble him by text."""

    below: int = Field(3, gt=0)
    """Read by members and jobs with fewer interactions than this, at the time they are seen."""
    neighbours: int = Field(8, gt=0)
    """How many of the nearest by text, among the older ones."""


class JointSettings(Settings):
    """How a new tower is trained together with its maps into versions that are still served.

    Stands in spaces.toml as `[graph.v2.compat]`; see star_features.graph.joint.
    """

    targets: tuple[str, ...] = Field(min_length=1)
    """The older versions that rankers still read, such as `["v1"]`; each gets maps of its own."""
    weight: float = Field(default=8.0, ge=0)
    """The dial: how much compatibility counts beside the tower's own task; 0 trains without it."""
    told: float = Field(default=0.25, ge=0)
    """How much of that asks that mapped vectors do the task too, beside being near the old ones."""
    snapshots: int = Field(default=4, gt=0)
    """Moments of the training window as of which the old vectors are taken."""
    anchors: int = Field(default=256, gt=1)
    """Members, and as many jobs, that each step compares with their old vectors."""
    entities: int = Field(default=20_000, gt=1)
    """Members, and as many jobs, whose old vectors are kept of each moment, at most."""


class GraphSettings(Settings):
    """Everything that changes what a graph model learns; stored beside its weights.

    The numbers are the best of ten trainings on one demo world (3,000 members, 1,500 jobs, seed
    0): AUC on later rows .729, text alone .659. Wider layers (192), larger fan-outs (10, 5), a
    heavier contrastive loss and smaller batches did no better.
    """

    # --- the network
    hidden: int = Field(128, gt=0)
    """Width between the layers, over all heads."""
    heads: int = Field(4, gt=0)
    """Attention heads; must divide `hidden`."""
    layers: int = Field(2, gt=0)
    """How many hops a vector can see."""
    output: int = Field(200, gt=0)
    """Width of the vectors that rankers read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the hidden units that a training step leaves out."""
    unknown_rate: float = Field(0.1, ge=0, lt=1)
    """Share of attributes read as unknown in training, so that new ones find a meaning."""
    use_text: bool = True
    """Read the nodes' text vectors."""
    use_categorical: bool = True
    """Read the categorical columns."""
    use_attributes: bool = True
    """Read the attribute edges: companies, list columns, further edges."""
    use_ids: bool = False
    """Learn one embedding per member and job; a new one reads the unknown row."""
    use_age: bool = True
    """Let attention see how long ago an edge came to be."""

    # --- what a node may see
    time: Literal["strict", "none"] = "strict"
    """`strict`: only edges before the label and content as old as it. `none` (data without
    times): everything. In both, every edge between the two ends of a label is hidden from it."""
    fan_outs: tuple[int, ...] = (6, 3)
    """In-edges read per node and relation, from the label outwards; -1 is all of them."""
    fan_outs_of: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """The same for single relations, by name: `{"skills>job": (5, 3)}`."""
    grain_hours: int = Field(0, ge=0)
    """What neighbours read is as of the last multiple of these hours, as in a snapshot: labels of
    one stretch then share their neighbours. 0: as of each label's own moment."""
    pick: Literal["recent", "uniform"] = "uniform"
    """Which in-edges are read where there are more than the fan-out."""
    densify: Densify | None = None
    """Read those nearest by text where interactions are few (`densify`); None never does."""
    adaptive: Adaptive | None = None
    """Reach the fan-outs in steps, as validation stalls (`budget`); None reads them at once."""

    # --- training
    batch_size: int = Field(512, gt=1)
    """Labels per step."""
    window: int = Field(4, gt=0)
    """Batches are drawn from stretches of time this many batches long (see `labels.order`)."""
    epochs: int = Field(5, gt=0)
    """Passes over the labels, at most."""
    labels_per_epoch: int = Field(60_000, gt=0)
    """Labels that one pass reads, at most; each pass draws its own."""
    patience: int = Field(2, gt=0)
    """Stop after this many passes without a better validation."""
    learning_rate: float = Field(3e-3, gt=0)
    """Step size of Adam: reached after a short warm-up, near zero after `epochs`."""
    weight_decay: float = Field(0.1, ge=0)
    """Pull of the weights towards zero: it takes this much to keep the text from overfitting."""
    contrastive_weight: float = Field(0.3, ge=0)
    """Weight of the loss that tells the taken job from the others of the batch."""
    binary_weight: float = Field(1.0, ge=0)
    """Weight of the loss on shown-and-not-taken against taken, where such labels exist."""
    temperature: float = Field(0.1, gt=0)
    """Divides the cosine in the contrastive loss: lower is sharper."""
    both_sides: bool = False
    """The contrastive loss also tells the member who took a job from the batch's others."""
    popularity_correction: float = Field(0.0, ge=0, le=1)
    """Share of its log popularity taken off a job in the contrastive loss: popular jobs stand in
    more batches as negatives than chance would have it; 1 makes up for all of that."""
    hard_negatives: int = Field(0, ge=0)
    """Jobs drawn per taken one, out of those that resemble it by text, as further candidates."""
    hard_pool: int = Field(50, gt=0)
    """How many resembling jobs they are drawn from."""
    hard_weight: float = Field(0.0, ge=0)
    """What a drawn job counts in the loss on taken or not; 0: in the contrastive loss only."""
    kind_weights: dict[str, float] = Field(default_factory=dict)
    """Weight of a label by its kind, times its own; 1 where not named, 0 leaves it out."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the labels held out: the last ones by time, drawn by chance without times."""
    validation_labels: int = Field(6_000, gt=0)
    """Labels that a validation reads, at most."""
    minimum_taken: int = Field(20, gt=1)
    """Fewer taken labels than this cannot train a model."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products in training; vectors that are served always come of float32."""
    seed: int = Field(0, ge=0)
    """Seeds weights, batches, sampling and dropout."""
    threads: int = Field(2, gt=0)
    """Torch threads; the same number gives the same bits."""

    @model_validator(mode="after")
    def _fits_together(self) -> "GraphSettings":
        if self.hidden % self.heads:
            raise ValueError(f"hidden={self.hidden} is no multiple of heads={self.heads}")
        for name, fan_outs in {"fan_outs": self.fan_outs, **self.fan_outs_of}.items():
            if len(fan_outs) != self.layers:
                raise ValueError(
                    f"{name} has {len(fan_outs)} numbers, but there are {self.layers} layers"
                )
            if any(k < ALL for k in fan_outs):
                raise ValueError(f"{name}={fan_outs}: wanted 0 or more, or -1 for all")
            if self.adaptive and ALL in fan_outs:
                raise ValueError(f"{name}={fan_outs}: adaptive needs a number to reach, not -1")
        return self

    def fan_out(self, relation: str, hop: int) -> int:
        """In-edges read over `relation`, `hop` hops from the label (0 is the label's own end)."""
        return self.fan_outs_of.get(relation, self.fan_outs)[hop]
