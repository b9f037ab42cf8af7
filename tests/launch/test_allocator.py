"""What the C library does with the memory of freed tensors."""

import resource
import sys

import pytest
import torch

from simclr.launch.allocator import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    """A page that was handed back costs a page fault when it is needed again."""
    keep_freed_memory()

    def faults(mebibytes: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(mebibytes * 2**18)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages = 40 * 2**20 // resource.getpagesize()
    settled = [faults(40) for _ in range(20)][-5:]
    assert sum(settled) < pages / 2
