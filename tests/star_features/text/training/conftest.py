"""A small world to train on: nurses take the night jobs, carpenters those of the stage."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings
from star_features.text.training.pairs import Pairs
from star_features.text.training.save import save
from star_features.text.training.train import Run, Trained, prepare, train_text

MATCHES = {("nurse", "night"), ("carpenter", "stage")}
FILLERS = ["the", "a", "data", "reads", "for", "in", "of", "and"]


def small_world(pairs: int, seed: int = 0) -> pa.Table:
    draw = random.Random(seed)

    def around(word: str) -> str:
        before, after = (draw.choices(FILLERS, k=draw.randint(0, 2)) for _ in range(2))
        return " ".join([*before, word, *after])

    rows = []
    for _ in range(pairs):
        who, where = draw.choice(["nurse", "carpenter"]), draw.choice(["night", "stage"])
        rows.append((around(who), around(where), int((who, where) in MATCHES)))
    members, jobs, labels = zip(*rows, strict=True)
    return pa.table({"member_text": members, "job_text": jobs, "label": labels})


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return small_world(240)


@pytest.fixture(scope="session")
def pairs(table: pa.Table) -> Pairs:
    return Pairs.of(table)


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainSettings]:
    """Settings that train the small Mistral in a second or two."""

    def with_changes(**changes: object) -> TrainSettings:
        small = {
            "loss": "contrastive",
            "head": "shared",
            "first_epochs": 0,
            "rank": 4,
            "widths": (8, 16),
            "temperature": 0.1,
            "effective_batch": 48,
            "rows_per_member": 1,
            "micro_tokens": 200,
            "learning_rate": 2e-2,
            "head_learning_rate": 2e-2,
            "validation": 0.25,
            "validate_every": 3,
            "threads": 1,
            "epochs": 30,
            "max_steps": 6,
        }
        return TrainSettings(**small | changes)  # type: ignore[arg-type]

    return with_changes


@pytest.fixture(scope="session")
def base(mistral_folder: Path) -> EncoderSettings:
    return EncoderSettings(model=str(mistral_folder), job={"max_tokens": 32, "prompt": "for "})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def prepared(
    pairs: Pairs, base: EncoderSettings, quick: Callable[..., TrainSettings]
) -> Callable[..., Run]:
    """A run before its first step, with changed settings."""
    return lambda **changes: prepare(pairs, base, quick(**changes))


@pytest.fixture(scope="session")
def trained(pairs: Pairs, base: EncoderSettings, quick: Callable[..., TrainSettings]) -> Trained:
    """A head a side, first alone, then with LoRA."""
    first = {"first_epochs": 10, "first_batch": 48, "first_rate": 2e-2}
    return train_text(pairs, base, quick(loss="bce+triplet", head="sides", max_steps=24, **first))


@pytest.fixture(scope="session")
def tuned_folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained tower on disk. Tests only read it."""
    folder = tmp_path_factory.mktemp("tuned") / "text_v2"
    save(folder, trained)
    return folder
