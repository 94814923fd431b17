"""
The `value_text` column that Feast's SQL stores keep beside a stored value, for searching.
"""

from collections.abc import Sequence
from typing import Any

from feast.infra.online_stores.helpers import extract_text_and_num
from feast.protos.feast.types.Value_pb2 import Value

from star_features.errors import UsageError
from star_features.online.wire import FLOATS_TAG, STRING_TAG, string_of


def refuse_search(settings: Any) -> None:
    """Vector search inside the store needs columns that the fast stores do not fill.

    Raises:
        UsageError: one of Feast's search settings is on.
    """
    for setting in ("vector_enabled", "enable_openai_compatible_store"):
        if getattr(settings, setting, False):
            raise UsageError(
                f"{settings.type} has no {setting}; set it to false, or take Feast's own store"
            )


def texts_of(values: Sequence[bytes]) -> list[str | None]:
    """The text of every stored value: strings and numbers have one, vectors and nulls none."""
    return [_text_of(value) for value in values]


def _text_of(value: bytes) -> str | None:
    if not value or value.startswith(FLOATS_TAG):
        return None
    if value.startswith(STRING_TAG):
        return string_of(value)
    text: str | None = extract_text_and_num(Value.FromString(value), False)[0]
    return text
