"""Two encoders for every law: the real MiniLM, and a random two-layer Mistral made here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from star_features.text.encoder import TextEncoder
from star_features.text.settings import EncoderSettings

WORDS = [
    "the",
    "a",
    "nurse",
    "carpenter",
    "engineer",
    "data",
    "night",
    "stage",
    "builds",
    "cares",
    "reads",
    "for",
    "in",
    "of",
    "and",
]
TEXTS = [
    "nurse",
    "the engineer reads data",
    "a carpenter builds the stage for the night and the nurse cares for the carpenter",
    "data",
    "",
    "a nurse in the night",
    "the engineer reads data",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(TEXTS)


def save_mistral(folder: Path) -> Path:
    """A decoder of two layers, four heads over two key heads, and a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import MistralConfig, MistralModel, PreTrainedTokenizerFast

    vocabulary = {word: row for row, word in enumerate(["<unk>", "</s>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        sliding_window=None,
        initializer_range=0.3,
    )
    MistralModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mistral_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mistral(tmp_path_factory.mktemp("mistral"))


@pytest.fixture
def fresh_mistral(tmp_path: Path) -> Path:
    """A folder of one's own, to be spoilt."""
    return save_mistral(tmp_path / "mistral")


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    return TextEncoder.load(EncoderSettings(token_budget=64))


@pytest.fixture(scope="session")
def mistral(mistral_folder: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(model=str(mistral_folder), token_budget=16))


@pytest.fixture(params=["minilm", "mistral"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    """What every test that takes it says must hold for each kind of backbone."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def load(mistral_folder: Path) -> Callable[..., TextEncoder]:
    """Load the Mistral with other settings."""

    def with_settings(**changes: object) -> TextEncoder:
        return TextEncoder.load(EncoderSettings(**{"model": str(mistral_folder)} | changes))

    return with_settings
