"""What a run writes to is gone: its folder is deleted, or TensorBoard's events find no room."""

import errno
import shutil
from pathlib import Path

import pytest
from command_line import TINY, Ended, at_step, train
from tensorboard.summary.writer.record_writer import RecordWriter

from simclr.training.callbacks.progress import Progress


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
@pytest.mark.parametrize(
    ("task", "step"),
    [
        ("task=pretrain trainer.checkpoint_seconds=0", 3),
        ("task=pretrain trainer.checkpoint_seconds=0", 7),
        ("task=supervised trainer.max_epochs=4", 2),
        ("labels.draws=1 probe.every_steps=0", 7 + 4),
    ],
)
def test_a_run_whose_folder_is_deleted_ends_at_once_and_leaves_nothing(
    logger: str, task: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    lose = at_step(step, lambda: shutil.rmtree(made))
    monkeypatch.setattr(Progress, "on_train_batch_end", lose)
    given = (*TINY, *task.split(), f"logger={logger}", "output_dir=made")
    ended = train(*given, folder=tmp_path)
    assert ended.status == 1
    assert "output_dir=made: was deleted " in ended.err
    assert "Traceback" not in ended.err + ended.out
    assert not made.exists()


def failing_writes(monkeypatch: pytest.MonkeyPatch, after: int, folder: Path) -> Ended:
    """A pretraining whose events find room for so many entries."""
    whole, written = RecordWriter.write, 0

    def write(self: RecordWriter, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    given = (*TINY, "task=pretrain", "logger=tensorboard", "trainer.log_every_n_steps=1")
    return train(*given, "output_dir=made", folder=folder)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_run_goes_on_without_tensorboard_where_its_events_find_no_room(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = failing_writes(monkeypatch, after, tmp_path)
    assert ended.status == 0, ended.err
    said = ended.out + ended.err
    assert "OSError: [Errno 28] No space left on device" in said
    assert said.count("TensorBoard shows no more of this training") == 1
    assert "Traceback" not in said
    assert (tmp_path / "made" / "results.json").exists()
