"""
The model in training: a frozen backbone with LoRA in its attention, pooling, and linear heads.

    tower = Tower(with_lora(backbone.load(folder, None), settings), "mean", Heads(axes_DD, "sides"))
    tower(pack(ids), is_job_N)          # N × D, not yet unit length

Shapes: N texts, T tokens, D width.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from star_features.errors import UsageError
from star_features.text import backbone
from star_features.text.packing import POOLINGS, Packed
from star_features.text.settings import Pooling, Side
from star_features.text.training.settings import HeadKind, TrainSettings

# Query, key and value as the architectures call them; fused layers hold all three.
ATTENTION_NAMES: tuple[tuple[str, ...], ...] = (
    ("q_proj", "k_proj", "v_proj"),  # llama, mistral, qwen, gemma
    ("query", "key", "value"),  # bert, roberta, electra
    ("q_lin", "k_lin", "v_lin"),  # distilbert
    ("query_proj", "key_proj", "value_proj"),  # deberta-v2
    ("qkv_proj",),  # phi-3
    ("Wqkv",),  # modernbert, mpt
    ("query_key_value",),  # gpt-neox, falcon, bloom
    ("q", "k", "v"),  # t5, mpnet
)


class Heads(nn.Module):
    """A linear map behind the pooling: one a side, one for both, or none at all.

    Two sides of one shared map can only be near where their texts are alike; a map a side can also
    learn that one kind of work leads to another.
    """

    def __init__(self, axes_DD: NDArray[np.float32], kind: HeadKind) -> None:
        super().__init__()
        self.kind = kind
        if kind != "none":
            self.member = nn.Parameter(torch.from_numpy(axes_DD.copy()))
        if kind == "sides":
            self.job = nn.Parameter(torch.from_numpy(axes_DD.copy()))

    def forward(self, pooled_ND: Tensor, is_job_N: Tensor) -> Tensor:
        if self.kind == "none":
            return pooled_ND
        if self.kind == "shared":
            return pooled_ND @ self.member.T
        return torch.where(is_job_N[:, None], pooled_ND @ self.job.T, pooled_ND @ self.member.T)

    def by_side(self) -> dict[Side, Tensor]:
        """Each side's matrix; empty where there is none."""
        if self.kind == "none":
            return {}
        return {"member": self.member, "job": self.job if self.kind == "sides" else self.member}


class Tower(nn.Module):
    """Backbone, pooling and heads as one differentiable function of packed texts."""

    def __init__(self, peft: Any, pooling: Pooling, heads: Heads) -> None:
        super().__init__()
        self.peft = peft
        self.pooling = pooling
        self.heads = heads

    def forward(self, packed: Packed, is_job_N: Tensor) -> Tensor:
        states_TD = backbone.hidden(self.peft.get_base_model(), packed)
        vectors: Tensor = self.heads(POOLINGS[self.pooling](states_TD, packed.spans), is_job_N)
        return vectors

    def trained(self) -> dict[str, nn.Parameter]:
        """Parameters that training moves, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def learn(self, on: bool) -> None:
        """Turn LoRA's dropout and gradient checkpointing on or off; the backbone drops nothing."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        self.eval()
        for name, module in self.named_modules():
            if isinstance(module, GradientCheckpointingLayer) or ".lora_dropout." in name:
                module.training = on


def with_lora(model: nn.Module, settings: TrainSettings) -> Any:
    """The backbone with fresh LoRA matrices, which at first change nothing."""
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(settings.targets or attention_names(model)),
        task_type=TaskType.FEATURE_EXTRACTION,
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    return get_peft_model(model, config)


def attention_names(model: nn.Module) -> tuple[str, ...]:
    """What this architecture calls its query, key and value layers."""
    known = {name.rsplit(".", 1)[-1] for name, m in model.named_modules() if _is_linear(m)}
    for names in ATTENTION_NAMES:
        if known.issuperset(names):
            return names
    raise UsageError(
        f"no query, key and value among this model's layers: {', '.join(sorted(known))}.\n"
        'Name the layers to train yourself: targets = ["...", "..."]'
    )


def principal_axes(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """D × D, orthogonal: the rows are the directions that hold most of these vectors, in order.

    Not centred: a cosine is taken from the origin. A head that starts so leaves every cosine at
    full width as it was, and its first k coordinates are the best k that the frozen model has.
    """
    moment_DD = vectors_ND.T.astype(np.float64) @ vectors_ND
    _, axes_DD = np.linalg.eigh(moment_DD)
    axes_DD = axes_DD.T[::-1]
    signs_D = np.sign(axes_DD[np.arange(len(axes_DD)), np.abs(axes_DD).argmax(axis=1)])
    return np.ascontiguousarray(axes_DD * signs_D[:, None], dtype=np.float32)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
