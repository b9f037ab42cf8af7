"""How much memory there is for a process in a container or a job of a cluster."""

import os
from pathlib import Path

import pytest

from simclr.launch.memory import memory_limit

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("", {}, MACHINE),
        ("0::/\n", {"memory.max": "max"}, MACHINE),
        ("0::/\n", {"memory.max": "1000000"}, 1_000_000),
        ("0::/a/b\n", {"a/memory.max": "2000", "a/b/memory.max": "max"}, 2_000),
        ("0::/a/b\n", {"a/memory.max": "2000", "a/b/memory.max": "1500"}, 1_500),
        ("9:cpu:/x\n5:memory:/job\n", {"memory/job/memory.limit_in_bytes": "3000"}, 3_000),
        ("5:memory:/job\n", {"memory/memory.limit_in_bytes": str(2**63)}, MACHINE),
        ("nonsense\n", {}, MACHINE),
    ],
)
def test_the_smallest_limit_counts(
    own: str, files: dict[str, str], limit: int, tmp_path: Path
) -> None:
    limits = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in (limits | {"proc/self/cgroup": own}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert memory_limit(tmp_path) == limit


def test_where_the_system_does_not_say_there_is_a_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert memory_limit(tmp_path) == 8 * 2**30
