"""Progress on everything that takes more than two seconds; silent where nobody watches."""

from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield `items` behind a progress bar on stderr (none when stderr is no terminal)."""
    yield from tqdm(items, desc=what, total=total, unit=unit, disable=None, leave=False)


def bar(what: str, total: int | None = None, unit: str = "it") -> "tqdm[NoReturn]":
    """A progress bar to update by hand: `with bar("encode", total=n) as b: b.update(k)`."""
    return tqdm(desc=what, total=total, unit=unit, disable=None, leave=False)
