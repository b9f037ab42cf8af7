"""A signal to the whole process group, as SLURM, `timeout` and systemd send it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, TRAIN, train
from own_images import paint_folder

GIVEN = (
    *(word for word in TINY if not word.startswith(("data.name", "data.val", "data.t"))),
    *("data=folder", "data.root=own", "data.image_size=16", "data.stream=always"),
    *("task=pretrain", "data.batch_size=8", "trainer.max_epochs=4"),
)
SIGNALS_ITS_GROUP = """
import os, runpy, subprocess, sys, time
from simclr.methods.simclr import SimCLR

signum = int(sys.argv.pop())
steps = 0
original = SimCLR.training_step

def signal_all(self, *arguments):
    global steps
    steps += 1
    if steps == 8:
        kill = ["kill", f"-{signum}", "--", f"-{os.getpgid(0)}"]
        subprocess.run(kill, start_new_session=True)  # not by the decoders' parent
        end = time.monotonic() + 1  # a long step: processes that end are noticed in it
        while time.monotonic() < end:
            pass
    return original(self, *arguments)

SimCLR.training_step = signal_all
sys.argv[0] = os.environ["TRAIN"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere decoders end with the group")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_images_are_streamed_and_the_run_goes_on_as_if_never_stopped(
    signum: signal.Signals, tmp_path: Path
) -> None:
    paint_folder(tmp_path / "own")
    stopped = subprocess.run(
        [sys.executable, "-c", SIGNALS_ITS_GROUP, *GIVEN, "output_dir=made", str(int(signum))],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRAIN": str(TRAIN)},
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert stopped.returncode == 128 + signum, stopped.stderr
    assert "To go on: the same command with output_dir=made checkpoint=auto" in stopped.stderr
    assert (tmp_path / "made" / "checkpoints" / "last.ckpt").exists()
    for folder, more in (("made", ["checkpoint=auto"]), ("whole", [])):
        ended = train(*GIVEN, f"output_dir={folder}", *more, folder=tmp_path)
        assert ended.status == 0, ended.err
    made, whole = (tmp_path / name / "encoder.safetensors" for name in ("made", "whole"))
    assert made.read_bytes() == whole.read_bytes()
