"""
A GGUF file as a model folder, for weights that come in llama.cpp's form.

    star convert SmolLM2-135M-Instruct.Q4_1.gguf models/smollm2-135m

    [text.v3.encoder]
    model = "models/smollm2-135m"

Reads what llama.cpp calls `llama` (Llama, Mistral, SmolLM) with a byte-level BPE tokenizer, and
refuses the rest by name. The folder is a `MistralForCausalLM` without a sliding window, its
weights unpacked to float32: logits are those of transformers' own reading of the file, to the bit.
Needs `pip install gguf`.

Shapes: O outputs and I inputs of a layer.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from star_features.errors import ArtefactError, UsageError
from star_features.progress import track

Weights = dict[str, NDArray[np.float32]]

OUTER = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# What splits a text before the merges: llama.cpp's name -> whether every digit stands alone.
SPLITS = {"smollm": True, "gpt-2": False, "default": False}
WANTED = "a llama-shaped model with a byte-level BPE tokenizer; or take its Hugging Face folder."


def convert(gguf: Path, folder: Path) -> Path:
    """Write the model folder; it is whole or absent.

    Raises:
        UsageError: the folder is there already, or the package gguf is not installed.
        ArtefactError: the file is no GGUF, or of an architecture or tokenizer that is not read.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists; wanted a folder that is not there yet")
    reader = _open(gguf)
    config = _config(gguf, reader)
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    config.save_pretrained(str(aside))
    _tokenizer(gguf, reader, config).save_pretrained(str(aside))
    _write_weights(aside, _weights(gguf, reader, config))
    aside.rename(folder)
    return folder


def _open(gguf: Path) -> Any:
    if find_spec("gguf") is None:
        raise UsageError("reading GGUF needs the package gguf.\nRun: pip install gguf")
    from gguf import GGUFReader

    try:
        return GGUFReader(gguf)
    except (ValueError, OSError) as error:
        raise ArtefactError(gguf, f"no GGUF file: {error}", WANTED) from error


def _field(reader: Any, name: str, otherwise: Any = None) -> Any:
    field = reader.get_field(name)
    return otherwise if field is None else field.contents()


def _config(gguf: Path, reader: Any) -> Any:
    from transformers import MistralConfig

    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise ArtefactError(gguf, f"its architecture is {architecture!r}", WANTED)
    if scaling := _field(reader, "llama.rope.scaling.type"):
        raise ArtefactError(gguf, f"its positions are scaled ({scaling})", WANTED)
    width, heads = (_field(reader, f"llama.{n}") for n in ("embedding_length", NAME_OF_HEADS))
    return MistralConfig(
        architectures=["MistralForCausalLM"],
        dtype="float32",
        hidden_size=width,
        intermediate_size=_field(reader, "llama.feed_forward_length"),
        num_hidden_layers=_field(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_field(reader, f"llama.{NAME_OF_HEADS}_kv", heads),
        head_dim=_field(reader, "llama.attention.key_length", width // heads),
        rms_norm_eps=_field(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={
            "rope_theta": _field(reader, "llama.rope.freq_base", 10_000.0),
            "rope_type": "default",
        },
        max_position_embeddings=_field(reader, "llama.context_length"),
        sliding_window=None,
        tie_word_embeddings=not any(tensor.name == "output.weight" for tensor in reader.tensors),
        vocab_size=len(_field(reader, "tokenizer.ggml.tokens", [])),
        **{
            f"{ours}_token_id": _field(reader, f"tokenizer.ggml.{theirs}_token_id")
            for ours, theirs in SPECIAL.items()
        },
    )


NAME_OF_HEADS = "attention.head_count"
SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _weights(gguf: Path, reader: Any, config: Any) -> Weights:
    from gguf.quants import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    found: Weights = {}
    for tensor in track(reader.tensors, "convert", len(reader.tensors), "weight"):
        stem, _, kind = tensor.name.rpartition(".")
        place = stem.rpartition(".")[2]
        if kind != "weight" or place not in {*OUTER, *INNER}:
            raise ArtefactError(gguf, f"it has a weight {tensor.name!r}", WANTED)
        value = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if place in heads:
            value = halves_apart(value, heads[place])
        found[_name(stem, place)] = np.ascontiguousarray(value)
    return found


def _name(stem: str, place: str) -> str:
    """`blk.3.attn_q` as transformers calls it."""
    if place in OUTER:
        return f"{OUTER[place]}.weight"
    return f"model.layers.{stem.split('.')[1]}.{INNER[place]}.weight"


def halves_apart(weight_OI: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head as transformers turns them: first halves of all pairs, then the second.

    llama.cpp keeps the two coordinates that a position turns together side by side.
    """
    outputs, inputs = weight_OI.shape
    pairs = weight_OI.reshape(heads, outputs // heads // 2, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(outputs, inputs)


def _write_weights(folder: Path, weights: Weights) -> None:
    from safetensors.numpy import save_file

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _tokenizer(gguf: Path, reader: Any, config: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    kind, split = (_field(reader, f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if kind != "gpt2" or split not in SPLITS:
        raise ArtefactError(gguf, f"its tokenizer is {kind!r}, split as {split!r}", WANTED)
    names = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE({name: row for row, name in enumerate(names)}, merges))
    backend.pre_tokenizer = _splitter(digits=SPLITS[split])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(_control_tokens(reader, names))
    special = {
        f"{name}_token": names[row]
        for name in SPECIAL
        if (row := getattr(config, f"{name}_token_id", None)) is not None
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=config.max_position_embeddings, **special
    )


def _splitter(digits: bool) -> Any:
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alone = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    return pre_tokenizers.Sequence([*alone, words])


CONTROL = 3
"""llama.cpp's type of a token that no text is cut into."""


def _control_tokens(reader: Any, names: list[str]) -> list[Any]:
    from tokenizers import AddedToken

    kinds = _field(reader, "tokenizer.ggml.token_type", [])
    found = [name for name, kind in zip(names, kinds, strict=False) if kind == CONTROL]
    return [AddedToken(name, special=True, normalized=False) for name in found]
