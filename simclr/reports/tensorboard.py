"""Pictures, settings and final metrics for TensorBoard."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning as L
from lightning.fabric.loggers.logger import _DummyExperiment, rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger

from simclr.config.keys import keys_of
from simclr.config.schema import Config
from simclr.errors import reason
from simclr.launch.sweeps import overrides
from simclr.reports.tables import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

FOLDER = "tensorboard"
NO_SETTING = {"output_dir", "checkpoint", "logger", "data.root"}  # of no interest to a comparison


class Board(TensorBoardLogger):
    """A run in TensorBoard whose steps may go on from an earlier training's.

    Only curves are shown: what has no group (GROUP/NAME) is a final score, a single dot, and stands
    in HPARAMS and TEXT. If the events cannot be written, on a full disk for one, a warning says so
    once, and training goes on without them.

    Args:
        folder: of the run's events.
        begins_at: steps of earlier trainings.
    """

    broken = False

    def __init__(self, folder: Path, begins_at: int = 0) -> None:
        super().__init__(folder.parent, name=folder.name, version="")
        self.begins_at = begins_at

    @property
    @rank_zero_experiment
    def experiment(self) -> "SummaryWriter":
        """The writer of events; after a failure, one that writes nothing."""
        if not self.broken:
            try:
                writer: SummaryWriter = super().experiment
                return writer
            except Exception as error:
                self._give_up(error)
        return cast("SummaryWriter", _DummyExperiment())

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        curves = {name: value for name, value in metrics.items() if "/" in name}
        self._if_possible(super().log_metrics, curves, step)

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


def board(config: Config, folder: Path, training: str = "", begins_at: int = 0) -> Board:
    """The run of a training in TensorBoard; that of the task itself has the task's name."""
    apart = training if training not in ("clustering", "student") else ""
    return Board(folder / FOLDER / (apart or config.task), begins_at)


def shown_step(trainer: L.Trainer) -> int:
    """The step of all stages together, by which curves and pictures are ordered."""
    boards = [logger for logger in trainer.loggers if isinstance(logger, Board)]
    return trainer.global_step + sum(one.begins_at for one in boards)


def log_scalars(trainer: L.Trainer, values: Mapping[str, float]) -> None:
    """Send numbers, named GROUP/NAME, to whatever logger the trainer has."""
    for one in trainer.loggers:
        one.log_metrics(dict(values), shown_step(trainer))


def writer_of(trainer: L.Trainer) -> "SummaryWriter | None":
    """The writer for pictures of this training; None without TensorBoard."""
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


def add_result(config: Config, folder: Path, metrics: Mapping[str, float], text: str = "") -> None:
    """List a finished run in HPARAMS and TEXT, if TensorBoard is its logger.

    HPARAMS has what was set and the final metrics. It shows metrics of curves only, and last; so
    they are written as it expects settings. It makes its columns from all runs only as long as
    none of them declares what it expects, as `SummaryWriter.add_hparams` would.

    Args:
        config: of the run.
        folder: its output folder.
        metrics: its final ones.
        text: what the run printed at its end, in Markdown; if it is empty, the metrics are shown.
    """
    from torch.utils.tensorboard.summary import hparams

    with _writer(config, folder) as writer:
        if writer:
            final = {_column(name, metrics): value for name, value in metrics.items()}
            _, *session = hparams(final | settings(config), {})
            for summary in session:
                writer._get_file_writer().add_summary(summary)
            lines = [[name, f"{value:.4f}"] for name, value in metrics.items()]
            writer.add_text("result", text or markdown(["metric", "value"], lines))


def _column(metric: str, metrics: Iterable[str]) -> str:
    """The metric's name in HPARAMS, which sorts columns by name and shows the first five.

    So the accuracies of the first method come before the settings of a sweep, all else after them.
    """
    for part in ("test", "val"):
        accuracy = f"{part}_accuracy"
        if metric == next((name for name in metrics if name.endswith(accuracy)), None):
            method = metric.removesuffix(accuracy).strip("_")
            return ", ".join(["Accuracy", part, *([method] if method else [])])
    return f"\N{RIGHTWARDS ARROW} {metric.replace('_', ' ')}"


@contextmanager
def _writer(config: Config, folder: Path) -> Iterator[Any]:
    if config.logger != "tensorboard":
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / FOLDER / config.task) as writer:
        yield writer


def settings(config: Config) -> dict[str, float | str | bool]:
    """Task, seed and the settings that were changed, on the command line or from the defaults."""
    values = {name: value for name, value, _ in keys_of(config)}
    typed = overrides()
    if typed is None:
        default = {name: value for name, value, _ in keys_of(Config())}
        chosen = {name: value for name, value in values.items() if value != default[name]}
    else:
        pairs = (one.lstrip("+~").partition("=") for one in typed)
        chosen = {name: values.get(name, value) for name, _, value in pairs}
    chosen = {"task": config.task, "seed": config.seed} | chosen
    return {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in chosen.items()
        if name not in NO_SETTING and not name.startswith("hydra")
    }
