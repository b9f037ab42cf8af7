"""Resuming a stopped run, and keeping other runs out of its folder."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from simclr.config.keys import flat
from simclr.config.schema import BOOKKEEPING, Config
from simclr.errors import InUseError, SimclrError
from simclr.launch.folders import SUBFOLDER
from simclr.training.callbacks.checkpoints import newest_checkpoint, read_checkpoint

AUTO = "auto"
MAY_CHANGE = BOOKKEEPING | {  # between a stop and going on
    "data.root",
    "data.stream",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
}


@contextmanager
def claimed(folder: Path, resuming: bool) -> Iterator[None]:
    """Keep other runs out of an output folder; remove it again if the run did not begin.

    Raises:
        SimclrError: if it cannot be written to, another run is at work in it, or, unless resuming,
            one has been.
    """
    name = f"output_dir={folder}"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InUseError(
            f"{name}: another run is writing there; choose another folder, or wait"
        ) from None
    except OSError as error:
        raise SimclrError(f"{name}: cannot be written: {error.strerror or error}") from error
    try:
        parts = ("results.json", "checkpoints", "finished.jsonl")
        left = [part for part in parts if (folder / part).exists()]
        if left and not resuming:
            what = "a finished run" if left[0] == "results.json" else "a run that was stopped"
            raise InUseError(
                f"{name}: holds {what} ({left[0]}); choose another folder, or go on with it: "
                f"checkpoint={AUTO}"
            )
        yield
    finally:
        if {path.name for path in folder.glob("*")} <= {".lock", SUBFOLDER}:  # nothing was begun
            shutil.rmtree(folder / SUBFOLDER, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def starting_point(config: Config, folder: Path, images: Mapping[str, str]) -> Path | None:
    """The checkpoint that training goes on from: `config.checkpoint`, or the newest whole one.

    Args:
        config: of this run.
        folder: its output folder.
        images: the fingerprint of its data.

    Raises:
        SimclrError: if the file is no whole checkpoint, or one of a run with other settings or
            images.
    """
    if config.checkpoint is None:
        return None
    path = newest_checkpoint(folder) if config.checkpoint == AUTO else Path(config.checkpoint)
    if path is not None:
        try:
            checkpoint = read_checkpoint(path)
        except SimclrError as error:
            raise SimclrError(f"checkpoint={error}") from error
        settled = config.checkpoint == AUTO or stages_over(checkpoint) > 0
        longer = set() if settled else {"trainer.max_epochs"}
        same_settings(checkpoint["config"], asdict(config), str(path), MAY_CHANGE | longer)
        same_images(checkpoint.get("images"), images, str(path))
    return path


def stages_over(checkpoint: Mapping[str, Any]) -> int:
    """How many stages of a pretraining are over: those before the checkpoint's own, 0 to 2."""
    weights = checkpoint["state_dict"]
    if "cluster_heads.weight" not in weights:
        return 0
    return 1 if any(name.startswith("head.") for name in weights) else 2


def same_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], where: str, may_change: set[str] = MAY_CHANGE
) -> None:
    """Refuse to go on with other settings: the result would be neither run's.

    Raises:
        SimclrError: naming each key that differs, with both values.
    """
    old, new = dict(flat(before)), dict(flat(now))
    if changed := [
        f"  {key}={new.get(key)}: was {old.get(key)}"
        for key in old  # an older version did not know all keys of today
        if key not in may_change and old.get(key) != new.get(key)
    ]:
        raise SimclrError(
            f"checkpoint: the run in {where} has other settings:\n"
            + "\n".join(changed)
            + "\nKeep them, or begin anew in another output_dir."
        )


def same_images(before: object, now: Mapping[str, str], where: str) -> None:
    """Refuse to go on with other images: the result would be of neither data set.

    Args:
        before: the fingerprint of the stopped run; one of an earlier version left none.
        now: that of this run.
        where: the file or folder of the stopped run.

    Raises:
        SimclrError: naming each part that differs.
    """
    if not isinstance(before, Mapping):
        return
    if changed := [
        f"  {part}: was {before.get(part, 'not there')}; is {now.get(part, 'not there')}"
        for part in dict.fromkeys((*before, *now))
        if before.get(part) != now.get(part)
    ]:
        raise SimclrError(
            f"checkpoint: the run in {where} saw other images in data.root:\n"
            + "\n".join(changed)
            + "\nPut those images back, or begin anew in another output_dir."
        )
