"""
Train text: fine-tune a text version on the history, once.

    star train text --version v2 [--retrain]

A version whose entry has a `[text.vN.training]` table is trained before it encodes: LoRA and a
head over the entry's base model, from pairs of the history alone, each with the texts as they
stood at the time. Killed and run again, it goes on at its last validation.
"""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipelines.home import Home
from pipelines.receipts import Facts
from pipelines.recording import forget_views
from pipelines.roles import SEED, label_frame, roles
from star_features.catalogue import ENTITIES, TextVersion
from star_features.errors import UsageError
from star_features.files import read_json, write_json
from star_features.tables.canonical import Tables
from star_features.text.settings import EncoderSettings
from star_features.text.training import TrainSettings
from star_features.text.tuned import FREE, MANIFEST, REPORT

ASKED = "asked.json"
"""What spaces.toml said when the model was trained."""


def run(home: Home, version: str, retrain: bool = False) -> Facts:
    """Train the version unless it is there; its training report.

    Raises:
        UsageError: the version has no training table, or another one than it was trained with.
    """
    wanted = home.catalogue().text_version(version)
    if wanted.training is None:
        raise UsageError(
            f"[text.{version}] is frozen: it has no training.\n"
            "Add the next version to spaces.toml with a [text.vN.training] table; an empty one "
            "takes every default."
        )
    if retrain:
        forget(home, version)
    return train_once(home, version, wanted)


def encoder_settings(home: Home, version: str, wanted: TextVersion) -> EncoderSettings:
    """What encodes this version: its base model, or the model trained from it, now if need be."""
    if wanted.training is None:
        return EncoderSettings(**wanted.encoder)
    report = train_once(home, version, wanted)
    widths = [row["width"] for row in report["widths"]]
    if wanted.width not in widths:
        raise UsageError(
            f"[text.{version}] says width = {wanted.width}; it was trained for "
            f"{', '.join(map(str, widths))}: correct spaces.toml"
        )
    speed = {name: value for name, value in wanted.encoder.items() if name in FREE - {"model"}}
    folder = home.model(f"text_{version}")
    return EncoderSettings(**{**speed, "model": str(folder), "width": wanted.width})


def forget(home: Home, version: str) -> None:
    """Remove a version's model and vectors, so that it can be trained anew."""
    for folder in (home.model(f"text_{version}"), _checkpoint(home, version)):
        shutil.rmtree(folder, ignore_errors=True)
    views = [f"{entity}_text_{version}" for entity in ENTITIES]
    for view in views:
        shutil.rmtree(home.history / view, ignore_errors=True)
    forget_views(home, views)


def train_once(home: Home, version: str, wanted: TextVersion) -> Facts:
    """Train and save the model unless its folder is whole; its report."""
    folder = home.model(f"text_{version}")
    asked = {"encoder": wanted.encoder, "training": wanted.training}
    if not (folder / MANIFEST).exists():
        _train(home, version, wanted, folder, asked)
    if not (folder / ASKED).exists() or read_json(folder / ASKED) != asked:
        raise UsageError(
            f"[text.{version}] has other settings than the model in {folder} was trained with.\n"
            "A version that is served does not change: add the next one to spaces.toml, or train "
            f"this one anew: star train text --version {version} --retrain"
        )
    report: Facts = read_json(folder / REPORT)
    return report


def _train(home: Home, version: str, wanted: TextVersion, folder: Path, asked: Facts) -> None:
    settings = TrainSettings(**(wanted.training or {}))
    encoder = EncoderSettings(**wanted.encoder)
    from star_features.text.training.pairs import Pairs
    from star_features.text.training.save import save
    from star_features.text.training.train import train_text

    tables = Tables(home.tables)
    table = training_pairs(tables, roles(tables).history)
    checkpoint = _checkpoint(home, version)
    trained = train_text(Pairs.of(table), encoder, settings, checkpoint)
    write_json(folder / ASKED, asked)  # before the manifest, which makes the folder whole
    save(folder, trained)
    shutil.rmtree(checkpoint, ignore_errors=True)


def training_pairs(tables: Tables, rows: pa.Table) -> pa.Table:
    """`member_text`, `job_text`, `label` of these interactions, in order of time.

    A pair is left out where either has no text, or has one that is younger than the interaction.
    Without times the order is drawn by chance.
    """
    frame = label_frame(rows, "history", tables).rename(columns={"event_timestamp": "at"})
    for entity in ENTITIES:
        texts = tables.table(f"{entity}s", [f"{entity}_id", "text", "updated_at"]).to_pandas()
        texts = texts.rename(columns={"text": f"{entity}_text", "updated_at": f"{entity}_since"})
        frame = frame.merge(texts.dropna(subset=f"{entity}_text"), on=f"{entity}_id")
    if tables.has_times:
        frame = frame[(frame["member_since"] <= frame["at"]) & (frame["job_since"] <= frame["at"])]
        frame = frame.sort_values(["at", "member_id", "job_id"], kind="stable")
    else:
        frame = frame.sort_values(["member_id", "job_id"], kind="stable")
        frame = frame.sample(frac=1.0, random_state=SEED)
    return _as_table(frame)


def _as_table(frame: pd.DataFrame) -> pa.Table:
    columns = ["member_text", "job_text", "label"]
    return pa.Table.from_pandas(frame[columns], preserve_index=False)


def _checkpoint(home: Home, version: str) -> Path:
    return home.path / "checkpoints" / f"text_{version}"
