"""What TensorBoard shows beside curves: pictures, and a run's settings with its final metrics."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning as L
from lightning.fabric.loggers.logger import _DummyExperiment, rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger

from simclr.config.schema import Config
from simclr.errors import reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

FOLDER = "tensorboard"
NO_SETTING = ("output_dir", "checkpoint", "logger")


class Board(TensorBoardLogger):
    """Lightning's own final scores have a group, like all others; the epoch has no curve.

    If the events cannot be written, on a full disk for one, a warning says so once, and training
    goes on without them.
    """

    broken = False

    @property
    @rank_zero_experiment
    def experiment(self) -> "SummaryWriter":
        """What events are written with; after a failure, something that writes none."""
        if not self.broken:
            try:
                writer: SummaryWriter = super().experiment
                return writer
            except Exception as error:
                self._give_up(error)
        return cast("SummaryWriter", _DummyExperiment())

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        grouped = {
            name if "/" in name else f"final/{name}": value
            for name, value in metrics.items()
            if name != "epoch"
        }
        self._if_possible(super().log_metrics, grouped, step)

    def log_hyperparams(self, *arguments: Any, **more: Any) -> None:
        self._if_possible(super().log_hyperparams, *arguments, **more)

    def save(self) -> None:
        self._if_possible(super().save)

    def finalize(self, status: str) -> None:
        self._if_possible(super().finalize, status)

    def _if_possible(self, write: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        if self.broken:
            return
        try:
            write(*arguments, **more)
        except Exception as error:  # of any kind: also what the writer's own thread met
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.broken = True
        logger.warning("TensorBoard shows no more of this training: %s", reason(error))


def warn_of_writers() -> None:
    """Let a writer's thread that fails end with a warning at once, instead of a traceback."""
    threading.excepthook = _warn_of_writer


def _warn_of_writer(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and type(failed.thread).__module__.startswith("tensorboard"):
        logger.warning("TensorBoard's events cannot be written: %s", reason(failed.exc_value))
    else:
        threading.__excepthook__(failed)


def log_scalars(trainer: L.Trainer, values: Mapping[str, float]) -> None:
    """Send numbers, named GROUP/NAME, to whatever logger the trainer has."""
    for one in trainer.loggers:
        one.log_metrics(dict(values), trainer.global_step)


def writer_of(trainer: L.Trainer) -> "SummaryWriter | None":
    """What pictures of this training are written with, if it is watched by TensorBoard."""
    for board in trainer.loggers:
        if isinstance(board, Board) and not board.broken:
            writer: SummaryWriter = board.experiment
            return writer
    return None


def add_figures(config: Config, folder: Path, figures: Mapping[str, "Figure"]) -> None:
    """Show figures of a finished run, if TensorBoard is its logger."""
    with _writer(config, folder) as writer:
        for name, figure in figures.items() if writer else ():
            writer.add_figure(f"figures/{name}", figure, close=False)


def add_result(config: Config, folder: Path, metrics: Mapping[str, float]) -> None:
    """List a finished run in the HPARAMS tab, if TensorBoard is its logger.

    All settings are written; the tab lists those that differ between runs first. It makes its
    columns from all runs only as long as none of them declares what it expects, as
    `SummaryWriter.add_hparams` would.
    """
    from torch.utils.tensorboard.summary import hparams

    with _writer(config, folder) as writer:
        if writer:
            _, *session = hparams(dict(_settings(config)), {})
            for summary in session:
                writer._get_file_writer().add_summary(summary)
            for name, value in metrics.items():
                writer.add_scalar(f"final/{name}", value)


@contextmanager
def _writer(config: Config, folder: Path) -> Iterator[Any]:
    if config.logger != "tensorboard":
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / FOLDER) as writer:
        yield writer


def _settings(part: Any, prefix: str = "") -> Iterator[tuple[str, float | str | bool]]:
    for name, value in vars(part).items():
        if is_dataclass(value):
            yield from _settings(value, f"{prefix}{name}.")
        elif prefix + name not in NO_SETTING:
            yield prefix + name, value if isinstance(value, (bool, int, float)) else str(value)
