"""
Text vectors of each text version, computed once and kept.

    text = text_of(world, plan, "tuned")

- `frozen`: all-MiniLM-L6-v2 as published, 384 wide.
- `tuned`: the same, fine-tuned by LoRA on the earlier part of the history; few steps, see the plan.
- `other`: another backbone of another width: a model folder where the plan names one, else TF-IDF
  of letter n-grams cut to 256 dimensions by SVD, which is what it says and no language model.

Shapes: N texts, D width.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks.compat_lab.plan import Plan
from benchmarks.compat_lab.worlds import World
from pipelines.train_text import training_pairs
from star_features.catalogue import ENTITIES, Entity
from star_features.files import write_json
from star_features.spaces import VectorTable, digest, unit
from star_features.text.settings import EncoderSettings, SideSettings
from star_features.text.training import TrainSettings

WIDTH = 256


def text_of(world: World, plan: Plan, version: str) -> dict[str, VectorTable]:
    """A vector of every member and job that has a text."""
    folder = world.folder / "text"
    path = folder / f"{version}.safetensors"
    ids, texts = {}, {}
    for entity in ENTITIES:
        rows = world.tables.table(f"{entity}s", [f"{entity}_id", "text"]).drop_null()
        ids[entity], texts[entity] = (rows[i].to_pylist() for i in (0, 1))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        vectors, facts = _made(world, plan, version, texts)
        aside = path.with_suffix(".tmp")
        save_file(vectors, aside)
        aside.rename(path)
        write_json(folder / f"{version}.json", facts)
    vectors = load_file(path)
    name = digest([world.name, world.seed, version], 12)
    return {
        e: VectorTable(f"{e}_text_v1@{name}", np.asarray(ids[e], dtype=np.str_), vectors[e])
        for e in ENTITIES
    }


def _made(
    world: World, plan: Plan, version: str, texts: dict[Entity, list[str]]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    if version == "other" and plan.backbone is None:
        return _tf_idf(texts, world.seed), {"encoder": "TF-IDF of letters, SVD", "width": WIDTH}
    settings, facts = _encoder(world, plan, version)
    from star_features.text.encoder import TextEncoder

    encoder = TextEncoder.load(settings)
    return {e: encoder.encode(texts[e], side=e).vectors_ND for e in ENTITIES}, facts


def _encoder(world: World, plan: Plan, version: str) -> tuple[EncoderSettings, dict[str, Any]]:
    side = SideSettings(max_tokens=plan.tokens)
    base = EncoderSettings(member=side, job=side)
    if version == "frozen":
        return base, {"encoder": base.model}
    if version == "other":
        return base.model_copy(update={"model": plan.backbone}), {"encoder": "as given"}
    report = _tuned(world, plan, base)
    facts = {key: report[key] for key in ("frozen_auc", "best_auc", "best_step", "steps")}
    return EncoderSettings(model=str(world.folder / "models" / "text")), facts


def _tuned(world: World, plan: Plan, base: EncoderSettings) -> dict[str, Any]:
    """Fine-tune the text tower; killed and called again, it goes on."""
    from star_features.text.training.pairs import Pairs
    from star_features.text.training.save import save
    from star_features.text.training.train import train_text

    steps, batch = plan.tuning
    chosen = {"max_steps": steps, "effective_batch": batch, "seed": world.seed, "threads": 1}
    settings = TrainSettings.model_validate(chosen | {"validation_pairs": 400, "validate_every": 8})
    pairs = Pairs.of(training_pairs(world.tables, world.learned_from(early=True)))
    trained = train_text(pairs, base, settings, world.folder / "models" / "text.checkpoint")
    save(world.folder / "models" / "text", trained)
    return trained.report.to_json()


def _tf_idf(texts: dict[Entity, list[str]], seed: int) -> dict[str, NDArray[np.float32]]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
    found = letters.fit_transform([text for entity in ENTITIES for text in texts[entity]])
    width = min(WIDTH, found.shape[1] - 1)
    vectors_ND = TruncatedSVD(width, random_state=seed).fit_transform(found)
    ends = len(texts["member"])
    parts = {"member": vectors_ND[:ends], "job": vectors_ND[ends:]}
    return {e: np.ascontiguousarray(unit(parts[e].astype(np.float32))) for e in ENTITIES}
