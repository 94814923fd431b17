"""The saved folder: read back, refused when anything in it is off, and read by others too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from star_features.errors import ArtefactError, UsageError
from star_features.files import read_json, write_json
from star_features.spaces import unit
from star_features.text import backbone, weights
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings, Side
from star_features.text.training import TrainSettings
from star_features.text.training.pairs import Pairs
from star_features.text.training.save import save
from star_features.text.training.train import Trained, train_text

NEAR = {"rtol": 0, "atol": 2e-5}
WORDS = ["a nurse in the night", "the carpenter builds the stage", "data", "night", "the nurse"]


@pytest.fixture(scope="module")
def tuned(tuned_folder: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(model=str(tuned_folder)))


@pytest.fixture
def spoilable(tuned_folder: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return shutil.copytree(tuned_folder, tmp_path / "copy")


def test_what_is_read_back_gives_the_vectors_of_the_trained_tower(
    tuned: TextEncoder, trained: Trained
) -> None:
    texts = list(WORDS)
    ids = [ids for ids, _ in tuned.read(texts, "job")]
    trained.tower.learn(False)
    made_ND = np.concatenate([_row(trained, each) for each in ids])
    np.testing.assert_allclose(tuned.encode(texts, "job").vectors_ND, unit(made_ND), **NEAR)


def _row(trained: Trained, ids: np.ndarray) -> np.ndarray:
    from star_features.text.packing import pack

    row: np.ndarray = trained.tower(pack([ids]), torch.tensor([True])).detach().numpy()
    return row


@pytest.mark.parametrize("side", ["member", "job"])
def test_sentence_transformers_reads_the_folder_and_gives_the_same_vectors(
    tuned: TextEncoder, tuned_folder: Path, side: Side
) -> None:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(tuned_folder), device="cpu")
    got_ND = peer.encode(WORDS, prompt_name=side, task=side)
    np.testing.assert_allclose(got_ND, tuned.encode(WORDS, side).vectors_ND, **NEAR)


def test_sentence_transformers_takes_members_for_queries_and_jobs_for_documents(
    tuned: TextEncoder, tuned_folder: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(tuned_folder), device="cpu")
    members_ND, jobs_ND = (tuned.encode(WORDS, side).vectors_ND for side in ("member", "job"))
    np.testing.assert_allclose(peer.encode_query(WORDS), members_ND, **NEAR)
    np.testing.assert_allclose(peer.encode_document(WORDS), jobs_ND, **NEAR)
    with pytest.raises(ValueError, match="route"):
        peer.encode(WORDS)


@pytest.mark.parametrize("head", ["none", "shared"])
def test_sentence_transformers_reads_a_tuned_minilm_too(
    pairs: Pairs, quick: Callable[..., TrainSettings], tmp_path: Path, head: str
) -> None:
    from sentence_transformers import SentenceTransformer

    some = pairs.take(np.arange(40))
    settings = quick(max_steps=1, effective_batch=8, micro_tokens=200, head=head)
    save(tmp_path / "v2", train_text(some, EncoderSettings(), settings))
    got_ND = SentenceTransformer(str(tmp_path / "v2"), device="cpu").encode(WORDS)
    tuned = TextEncoder.load(EncoderSettings(model=str(tmp_path / "v2")))
    np.testing.assert_allclose(got_ND, tuned.encode(WORDS, "member").vectors_ND, **NEAR)


def test_a_tuned_model_has_other_vectors_and_another_space_than_the_frozen_one(
    tuned: TextEncoder, trained: Trained
) -> None:
    frozen = TextEncoder.load(trained.frozen.encoder)
    cosines = tuned.encode(WORDS, "job").vectors_ND @ tuned.encode(WORDS, "job").vectors_ND.T
    wanted = frozen.encode(WORDS, "job").vectors_ND @ frozen.encode(WORDS, "job").vectors_ND.T
    assert not np.allclose(cosines, wanted, atol=0.05)
    for side in ("member", "job"):
        one, another = (e.space("job_text_v2", side) for e in (tuned, frozen))
        assert one.id != another.id
        changed = {k for k, v in one.identity.items() if another.identity.get(k) != v}
        assert changed == {"adapter_sha256", "head_sha256"}


def test_prompts_and_limits_of_the_training_are_those_of_the_encoder(tuned: TextEncoder) -> None:
    assert tuned.settings.job.prompt == "for "
    assert tuned.max_tokens("job") == 32
    assert tuned.encode(["night"], "job").tokens == 3  # prompt, word, end


def test_a_setting_that_training_fixed_cannot_be_changed_and_speed_can(tuned_folder: Path) -> None:
    with pytest.raises(UsageError, match="pooling = 'mean'"):
        TextEncoder.load(EncoderSettings(model=str(tuned_folder), pooling="mean"))
    asked = EncoderSettings(model=str(tuned_folder), token_budget=7, pooling="last")
    assert TextEncoder.load(asked).settings.token_budget == 7


def test_a_narrow_cut_is_the_first_coordinates_in_a_space_of_its_own(
    tuned: TextEncoder, tuned_folder: Path
) -> None:
    narrow = TextEncoder.load(EncoderSettings(model=str(tuned_folder), width=8))
    got_ND = narrow.encode(WORDS, "job").vectors_ND
    np.testing.assert_allclose(got_ND, unit(tuned.encode(WORDS, "job").vectors_ND[:, :8]), **NEAR)
    assert narrow.space("job_text_v2", "job").width == 8
    assert narrow.space("job_text_v2", "job").id != tuned.space("job_text_v2", "job").id


def test_an_adapter_that_silently_was_not_applied_is_refused(
    tuned_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "_merged", lambda model, _: model.eval())
    with pytest.raises(ArtefactError, match="cosine"):
        TextEncoder.load(EncoderSettings(model=str(tuned_folder)))


def test_a_head_that_silently_was_not_applied_is_refused(
    tuned_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from star_features.text.tuned import Tuned

    monkeypatch.setattr(Tuned, "head_matrices", lambda _: {})
    with pytest.raises(ArtefactError, match="cosine"):
        TextEncoder.load(EncoderSettings(model=str(tuned_folder)))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "2_Router/job/model.safetensors"])
def test_a_byte_changed_is_refused(spoilable: Path, name: str) -> None:
    spoilt = bytearray((spoilable / name).read_bytes())
    spoilt[-1] ^= 1
    (spoilable / name).write_bytes(spoilt)
    with pytest.raises(ArtefactError, match="train it anew"):
        TextEncoder.load(EncoderSettings(model=str(spoilable)))


def test_another_base_model_is_refused(spoilable: Path, fresh_mistral: Path) -> None:
    config = read_json(fresh_mistral / "config.json")
    write_json(fresh_mistral / "config.json", config | {"rms_norm_eps": 1e-3})
    manifest = read_json(spoilable / "tower.json")
    manifest["encoder"]["model"] = str(fresh_mistral)
    write_json(spoilable / "tower.json", manifest)
    with pytest.raises(ArtefactError, match="config of"):
        TextEncoder.load(EncoderSettings(model=str(spoilable)))


def test_a_moved_base_model_is_the_same_space(spoilable: Path, fresh_mistral: Path) -> None:
    before = TextEncoder.load(EncoderSettings(model=str(spoilable)))
    manifest = read_json(spoilable / "tower.json")
    manifest["encoder"]["model"] = str(fresh_mistral)
    write_json(spoilable / "tower.json", manifest)
    adapter = json.loads((spoilable / "adapter_config.json").read_text())
    adapter["base_model_name_or_path"] = str(fresh_mistral)
    adapter["target_modules"].reverse()
    write_json(spoilable / "adapter_config.json", adapter)
    after = TextEncoder.load(EncoderSettings(model=str(spoilable)))
    assert after.space("job_text_v2", "job").id == before.space("job_text_v2", "job").id


def test_a_tuned_model_is_not_tuned_again(
    pairs: Pairs, tuned_folder: Path, quick: Callable[..., TrainSettings]
) -> None:
    with pytest.raises(UsageError, match="plain base model"):
        train_text(pairs, EncoderSettings(model=str(tuned_folder)), quick())


def test_a_folder_that_was_cut_off_before_its_manifest_is_no_model(spoilable: Path) -> None:
    (spoilable / "tower.json").unlink()
    with pytest.raises(UsageError, match="no model folder"):
        TextEncoder.load(EncoderSettings(model=str(spoilable)))


def test_everything_on_disk_is_safetensors_json_or_a_tokenizer(tuned_folder: Path) -> None:
    files = {path.name for path in tuned_folder.rglob("*") if path.is_file()}
    assert {Path(name).suffix for name in files} == {".safetensors", ".json"}
    assert not any(name.startswith("model.safetensors") for name in files - {"model.safetensors"})


def test_what_a_save_cannot_reproduce_is_refused(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_merged(model: nn.Module, _: Path) -> nn.Module:
        return model.eval()

    monkeypatch.setattr(backbone, "_merged", not_merged)
    with pytest.raises(ArtefactError, match="not what was trained"):
        save(tmp_path / "v2", trained)


def test_a_weights_file_of_the_adapter_is_hashed_apart_from_the_base(tuned_folder: Path) -> None:
    fingerprint = weights.fingerprint(weights.locate("all-MiniLM-L6-v2"), tuned_folder)
    assert fingerprint.weights == weights.PINNED["all-MiniLM-L6-v2"]
    assert fingerprint.job_head is None
