"""
Write a trained tower as one folder that TextEncoder and SentenceTransformer both load.

    save(folder, train_text(...))

Files: see `star_features.text.tuned`. The manifest is written when everything else is, and the
canaries are the tower's own vectors: what is loaded must reproduce what was trained.

Shapes: C canaries, D width.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from star_features.files import write_json
from star_features.spaces import unit
from star_features.text import canaries, tokens, weights
from star_features.text.encoder import TextEncoder
from star_features.text.packing import pack
from star_features.text.settings import EncoderSettings, Side
from star_features.text.training.tower import Heads, Tower
from star_features.text.training.train import Trained
from star_features.text.tuned import (
    HEAD_WEIGHT,
    LAYOUT,
    MANIFEST,
    NORMALIZE,
    POOLING,
    REPORT,
    head_files,
)

SENTENCE_TRANSFORMERS = "sentence_transformers.models"
ROUTER = "2_Router"
SIDES: tuple[Side, ...] = ("member", "job")
AS_PEERS_SAY: dict[Side, str] = {"member": "query", "job": "document"}
"""What `encode_query` and `encode_document` are there for."""


def save(folder: Path, trained: Trained) -> None:
    """Write the folder, load it, and store the canaries it has to reproduce from now on.

    Raises:
        ArtefactError: what is loaded does not give the vectors of the trained tower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (MANIFEST, canaries.NOTES):
        (folder / stale).unlink(missing_ok=True)
    encoder, tower = trained.frozen.encoder, trained.tower
    base = weights.locate(encoder.model)
    _write_adapter(folder, tower, base)
    _write_heads(folder, tower.heads)
    _write_for_sentence_transformers(folder, encoder, trained.frozen.axes_DD.shape[1], tower.heads)
    _write_tokenizer(folder, base, encoder)
    write_json(folder / REPORT, trained.report.to_json())
    written = weights.fingerprint(base, folder, head_files(folder, tower.heads.kind))
    write_json(
        folder / MANIFEST,
        {
            "layout": LAYOUT,
            "encoder": _portable(encoder),
            "head": tower.heads.kind,
            "sha256": {name: value for name, value in asdict(written).items() if value},
        },
    )
    _store_canaries(folder, trained)


def _portable(encoder: EncoderSettings) -> dict[str, Any]:
    """Settings as the manifest keeps them: pinned weights by name, others by whole path."""
    model = encoder.model
    if model not in weights.PACKAGES:
        model = str(Path(model).expanduser().resolve())
    kept = encoder.model_dump(exclude={"adapter", "width", "dtype", "device", "token_budget"})
    return kept | {"model": model}


def _write_adapter(folder: Path, tower: Tower, base: Path) -> None:
    from peft import get_peft_model_state_dict

    config = tower.peft.peft_config["default"]
    config.base_model_name_or_path = str(base)
    config.inference_mode = True
    config.save_pretrained(str(folder))
    tensors = get_peft_model_state_dict(tower.peft)
    save_file(
        {name: value.detach().cpu().float().contiguous() for name, value in tensors.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )


def _write_heads(folder: Path, heads: Heads) -> None:
    """A Dense module a side, as SentenceTransformer reads them; a shared one once."""
    files = head_files(folder, heads.kind)
    for side, weight_DD in heads.by_side().items():
        files[side].parent.mkdir(parents=True, exist_ok=True)
        tensors = {HEAD_WEIGHT: weight_DD.detach().cpu().contiguous()}
        save_file(tensors, files[side], metadata={"format": "pt"})
        write_json(
            files[side].with_name("config.json"),
            {
                "in_features": weight_DD.shape[1],
                "out_features": weight_DD.shape[0],
                "bias": False,
                "activation_function": "torch.nn.modules.linear.Identity",
            },
        )


def _write_router(folder: Path) -> None:
    """Which Dense a text goes through: `encode(texts, task="job")`, or `encode_document`."""
    write_json(
        folder / ROUTER / "router_config.json",
        {
            "types": {side: f"{SENTENCE_TRANSFORMERS}.Dense" for side in SIDES},
            "structure": {side: [side] for side in SIDES},
            "parameters": {
                "default_route": None,
                "allow_empty_key": False,
                "route_mappings": {str((AS_PEERS_SAY[side], None)): side for side in SIDES},
            },
        },
    )


def _write_for_sentence_transformers(
    folder: Path, encoder: EncoderSettings, width: int, heads: Heads
) -> None:
    """The modules that SentenceTransformer puts one behind the other, and the sides' prompts."""
    modules = [("", "Transformer"), (POOLING, "Pooling")]
    modules += {"none": [], "shared": [("2_Dense", "Dense")], "sides": [(ROUTER, "Router")]}[
        heads.kind
    ]
    modules += [(NORMALIZE, "Normalize")] if encoder.normalize else []
    for path, _ in modules:
        (folder / path).mkdir(exist_ok=True)
    write_json(
        folder / "modules.json",
        [
            {"idx": n, "name": str(n), "path": path, "type": f"{SENTENCE_TRANSFORMERS}.{kind}"}
            for n, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        folder / POOLING / "config.json",
        {
            "word_embedding_dimension": width,
            "pooling_mode_mean_tokens": encoder.pooling == "mean",
            "pooling_mode_lasttoken": encoder.pooling == "last",
            "pooling_mode_cls_token": False,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    longest = max(encoder.member.max_tokens, encoder.job.max_tokens)
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False}
    )
    if heads.kind == "sides":
        _write_router(folder)
    prompts = {
        name: encoder.side(side).prompt for side in SIDES for name in (side, AS_PEERS_SAY[side])
    }
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})


def _write_tokenizer(folder: Path, base: Path, encoder: EncoderSettings) -> None:
    """The base's tokenizer, which ends a text itself where our encoder would append the token."""
    from tokenizers import processors

    tokenizer = tokens.load_backend(base)
    backend = tokenizer.backend_tokenizer
    end = tokenizer.eos_token
    if encoder.end_token and backend.encode("a").tokens[-1:] != [end]:
        ending = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)]
        )
        before = backend.post_processor
        backend.post_processor = processors.Sequence([before, ending]) if before else ending
    tokenizer.save_pretrained(str(folder))


def _store_canaries(folder: Path, trained: Trained) -> None:
    wanted_CD = _tower_canaries(trained)
    encoder = TextEncoder.load(EncoderSettings(model=str(folder)))
    got_CD = encoder.canaries()
    canaries.agree(
        str(folder), got_CD, wanted_CD, "The folder is not what was trained: train it again."
    )
    canaries.store(folder, encoder.digest(), wanted_CD)


def _tower_canaries(trained: Trained) -> NDArray[np.float32]:
    """C × D by the tower itself, its adapter not merged; member side and then job side."""
    encoder, tower = trained.frozen.encoder, trained.tower
    backend = tokens.load_backend(weights.locate(encoder.model))
    tower.learn(False)
    device = next(tower.parameters()).device
    rows = []
    for name in SIDES:
        side = encoder.side(name)
        read = tokens.for_side(backend, side.prompt, side.max_tokens, bool(encoder.end_token))
        is_job = torch.tensor([name == "job"], device=device)
        with torch.no_grad():
            rows += [tower(pack([ids]).to(device), is_job) for ids, _ in read(canaries.TEXTS)]
    vectors_CD: NDArray[np.float32] = torch.cat(rows).float().cpu().numpy()
    return unit(vectors_CD)
