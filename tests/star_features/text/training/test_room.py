"""Memory that was freed goes back to the system, also from between blocks that stay."""

import subprocess
import sys

import pytest

HELD = """
import torch
from pathlib import Path
from star_features.text.training.room import hand_back_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) // 256  # MiB, of pages of 4 KiB

{ask}
del (warm := [torch.ones(20 << 18)])[:]  # a block of 20 MiB, freed: glibc learns from it
freed, kept = [], []
for _ in range(60):
    freed.append(torch.ones(1 << 19))  # 2 MiB
    kept.append(torch.ones(8192))
before = resident()
freed.clear()
print(before - resident())
"""


def handed_back(ask: str) -> int:
    code = HELD.format(ask=ask)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_freed_blocks_between_blocks_that_stay_leave_the_process_only_when_asked() -> None:
    assert handed_back("assert hand_back_large_blocks()") > 100
    assert handed_back("") < 60
