"""
One core, one batch: several forward passes at a time, each on a single thread.

Splitting every operation over all cores makes the cores wait for each other several hundred times
per batch, and the more so the busier the machine. Whole batches have nothing to wait for.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def run(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Results in the order of `items`; a single item gets all threads for itself."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    try:
        # torch keeps the number of threads per calling thread: these have one each.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, items)
    finally:
        torch.set_num_threads(threads)
