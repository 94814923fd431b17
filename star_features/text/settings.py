"""Settings of the text encoder: the model is a folder, and every choice that moves a vector."""

from typing import Literal

from pydantic import PositiveInt

from star_features.files import Settings

Side = Literal["member", "job"]
Pooling = Literal["mean", "last"]
Dtype = Literal["float32", "bfloat16"]


class SideSettings(Settings):
    """How one side's texts are read."""

    prompt: str = ""
    """Put before every text of this side."""

    max_tokens: PositiveInt = 1024
    """Longer texts are cut here, or at the backbone's own limit where that is lower."""


class EncoderSettings(Settings):
    """One text encoder. The defaults are all-MiniLM-L6-v2 as published."""

    model: str = "all-MiniLM-L6-v2"
    """A model folder (config.json, *.safetensors, tokenizer), or the name of pinned weights."""

    adapter: str | None = None
    """A LoRA folder in peft's format, merged into the weights at load."""

    pooling: Pooling | None = None
    """A text's vector: the mean of its tokens or its last token. Default: last for decoders."""

    end_token: bool | None = None
    """End every text with the end-of-text token. Default: with last-token pooling."""

    member: SideSettings = SideSettings(max_tokens=1024)
    """The member side."""

    job: SideSettings = SideSettings(max_tokens=1800)
    """The job side."""

    width: PositiveInt | None = None
    """Keep this many first coordinates: for models trained for it. Default: all."""

    normalize: bool = True
    """Scale vectors to unit length, as every served vector is."""

    dtype: Dtype = "float32"
    """bfloat16 only where the hardware multiplies in it, and checked against float32 at load."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU when there is one."""

    token_budget: PositiveInt = 2048
    """Tokens per forward pass. Changes speed and memory, never a vector; more pays on a GPU."""

    def side(self, side: Side) -> SideSettings:
        return self.member if side == "member" else self.job
