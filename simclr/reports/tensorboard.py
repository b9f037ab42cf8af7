"""What TensorBoard shows beside curves: pictures, and a run's settings with its final metrics."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from simclr.config.schema import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
NO_SETTING = ("output_dir", "checkpoint", "logger")


class Board(TensorBoardLogger):
    """Lightning's own final scores have a group, like all others; the epoch has no curve."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        grouped = {
            name if "/" in name else f"final/{name}": value
            for name, value in metrics.items()
            if name != "epoch"
        }
        super().log_metrics(grouped, step)


def log_scalars(trainer: L.Trainer, values: Mapping[str, float]) -> None:
    """Send numbers, named GROUP/NAME, to whatever logger the trainer has."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), trainer.global_step)


def writer_of(trainer: L.Trainer) -> "SummaryWriter | None":
    """What pictures of this training are written with, if it is watched by TensorBoard."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer: SummaryWriter = logger.experiment
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
