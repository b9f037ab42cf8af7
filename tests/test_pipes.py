"""Commands whose output is read by others, through real pipes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simclr.pipes import folded

ROOT = Path(__file__).parent.parent

COMMAND = """
from simclr.pipes import while_read

def command():
    input()
    print("line\\n" * {lines}, end="")
    return 3

raise SystemExit(while_read(command))
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_terminal_cannot_write_is_shown_as_its_code(stream: str) -> None:
    command = (
        "import sys; from simclr.pipes import while_read; raise SystemExit("
        f"while_read(lambda: print('caf\u00e9', file=sys.{stream}) or 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert getattr(done, stream) == b"caf\\xe9\n"


def test_a_terminal_breaks_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    prose = "11000 images, of them 1115 labelled, well-drawn; " + 12 * "w"
    row = "| linear_eval | 98.99% |"
    text = f"{prose}\n\n{row}"
    monkeypatch.setenv("COLUMNS", "16")
    assert folded(text) == text, "for a file"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = folded(text).split("\n")
    assert lines == [
        *("11000 images, of", "them 1115", "labelled,", "well-drawn;", 12 * "w", "", row),
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_one_message() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND.format(lines=2)],
            env={"PYTHONPATH": str(ROOT)},
            input="\n",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "The output cannot be written: No space left on device\n",
    )


def ended(lines: int, read: bool) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command whose reader reads all, or goes at once."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(lines=lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},  # buffered, whatever is asked of this process
    ) as process:
        assert process.stdout is not None
        if not read:
            process.stdout.close()
        out, err = process.communicate("\n")
    return process.returncode, out, err


def test_a_command_that_is_read_ends_as_it_says() -> None:
    assert ended(2, read=True) == (3, "line\nline\n", "")


@pytest.mark.parametrize("lines", [1, 100_000])  # written at the end, and on the way
def test_a_command_that_nobody_reads_ends_quietly(lines: int) -> None:
    status, _, err = ended(lines, read=False)
    assert (status, err) == (128 + signal.SIGPIPE, "")
