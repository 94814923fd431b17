"""Which member and job vectors may meet: one space per column, one version per pair."""

from collections.abc import Sequence
from typing import Any

from star_features.errors import DataError, SpaceMismatch
from star_features.spaces import NAME


def version_of(space: str) -> tuple[str, str]:
    """Kind and version of a space id: `member_text_v1@…` gives `("text", "1")`."""
    found = NAME.match(space.split("@")[0])
    if not found:
        raise DataError(
            space, "this is no space id", "Wanted one such as job_text_v1@3f9a1c20b7d4."
        )
    return found["kind"], found["version"]


def require_pair(member_space: str, job_space: str) -> None:
    """Raise SpaceMismatch unless both are the same kind at the same version."""
    if version_of(member_space) != version_of(job_space):
        raise SpaceMismatch(got=f"{member_space} and {job_space}", wanted="one kind and version")


def single_space(spaces: Sequence[Any], where: str) -> str | None:
    """The only space id among `spaces`, None where there is none; two are refused."""
    found = sorted({space for space in spaces if isinstance(space, str) and space})
    if len(found) > 1:
        raise SpaceMismatch(
            got=f"{len(found)} spaces in {where} ({', '.join(found)})", wanted=f"one of {found}"
        )
    return found[0] if found else None
