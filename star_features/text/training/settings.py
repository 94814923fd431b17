"""What can be chosen about the text tower's training: one line and one sentence each."""

from typing import Literal

from pydantic import Field

from star_features.files import Settings

Loss = Literal["contrastive", "bce+triplet"]
HeadKind = Literal["sides", "shared", "none"]


class TrainSettings(Settings):
    """Everything that changes what a text tower learns; stored beside its weights.

    The base model, its pooling and its limits are the encoder's settings.
    """

    # --- what is trained
    rank: int = Field(8, gt=0)
    """Rank of the LoRA matrices."""
    alpha: int = Field(16, gt=0)
    """LoRA's update counts `alpha / rank` times."""
    targets: tuple[str, ...] = ()
    """Names of the layers that LoRA changes; empty: query, key and value, as named here."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of a LoRA layer's inputs that a step leaves out; the backbone itself drops nothing."""
    head: HeadKind = "sides"
    """A linear map behind the pooling too, one a side or one for both; starts as principal axes."""
    head_texts: int = Field(4096, gt=0)
    """Texts that the principal axes are taken of, at most."""

    # --- the loss
    loss: Loss = "bce+triplet"
    """Binary cross-entropy with semi-hard triplets as in the paper, or in-batch contrastive."""
    temperature: float = Field(0.05, gt=0)
    """Divides the cosine in the contrastive loss: lower is sharper."""
    margin: float = Field(0.1, gt=0)
    """By how much a triplet wants the taken job's cosine above the other's."""
    scale: float = Field(5.0, gt=0)
    """Slope of the binary cross-entropy at the start: lower spreads the cosines further."""
    offset: float = -1.0
    """Log-odds of a taken pair at the mean cosine, at the start: below the truth, as here, the
    pairs that were taken move first."""
    triplet_weight: float = Field(1.0, ge=0)
    """Weight of the triplets beside the binary cross-entropy."""
    widths: tuple[int, ...] = (64, 128, 200, 256)
    """Matryoshka: the loss is the mean over these first coordinates and over all of them."""

    # --- the head first, on the frozen model's vectors: no forward pass, so many steps a second
    first_epochs: int = Field(8, ge=0)
    """Passes over the pairs in which the head alone learns; the best of them is kept."""
    first_batch: int = Field(2048, gt=1)
    """Pairs per step of these."""
    first_rate: float = Field(2e-3, gt=0)
    """Step size of these."""
    first_pairs: int = Field(200_000, gt=1)
    """The newest pairs that these read, at most; the texts of all of them are encoded once."""

    # --- then all of it, step by step
    effective_batch: int = Field(256, gt=1)
    """Pairs per step, all of them each other's candidates."""
    rows_per_member: int = Field(4, gt=0)
    """Pairs of one member that stay together in a batch: its text is then encoded once."""
    micro_tokens: int = Field(4096, gt=0)
    """Tokens per forward and backward pass; halved when memory runs out."""
    gradient_cache: bool = True
    """Keep the graph of one micro-batch at a time: memory of a micro-batch, one more forward."""
    gradient_checkpointing: bool = False
    """Keep only the states between layers, and compute the rest again: less memory, slower."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 only where the hardware multiplies in it; trained weights stay float32."""
    learning_rate: float = Field(5e-4, gt=0)
    """Step size of AdamW on the LoRA matrices, after the warm-up."""
    head_learning_rate: float = Field(1e-4, gt=0)
    """The same for the head, which has learnt already or is a rotation, and does not start at 0."""
    warm_up: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the step size rises."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the step size falls to zero afterwards."""
    weight_decay: float = Field(0.0, ge=0)
    """Pull of the trained weights towards zero."""
    clip: float = Field(1.0, gt=0)
    """Longest gradient that a step follows."""
    epochs: int = Field(1, ge=0)
    """Passes over the pairs; 0 trains the head alone."""
    max_steps: int | None = Field(None, gt=0)
    """Stop after this many steps, if the epochs last longer."""

    # --- validation and guards
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the pairs held out: the last ones by time."""
    validation_pairs: int = Field(2000, gt=1)
    """Pairs that a validation reads, at most."""
    validate_every: int = Field(20, gt=0)
    """Steps between two validations; a checkpoint is written at each."""
    below: float = Field(0.01, ge=0)
    """A validation AUC this far below the frozen model's is a bad one."""
    patience: int = Field(2, gt=0)
    """Stop after this many bad validations in a row."""
    oscillation: float = Field(0.5, gt=0)
    """Stop when the loss jumps, step to step, by this share of its first level on average."""
    oscillation_steps: int = Field(10, gt=1)
    """Steps over which that is looked at."""

    # --- runs
    seed: int = Field(0, ge=0)
    """Seeds the new weights, the order of the pairs and the dropout."""
    threads: int = Field(2, gt=0)
    """Torch threads; the same number gives the same bits."""
