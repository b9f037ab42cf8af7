"""Figures of a finished run, in its folder and in TensorBoard: none of them can harm its result."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from simclr.config.schema import Config
from simclr.errors import reason
from simclr.reports.tensorboard import add_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

Drawings = Mapping[str, "Callable[[], Figure]"]


def show(
    config: Config, folder: Path, drawings: Callable[[], Drawings], files: bool = True
) -> None:
    """Draw figures, into figures/*.png and into TensorBoard if it is the logger.

    To be called when the results are on disk. A figure that cannot be drawn is one warning.

    Args:
        config: of the run.
        folder: its output folder.
        drawings: a name for each figure, and what draws it.
        files: whether figures/*.png are wanted.
    """
    found: Drawings = {}
    with harmless("There are no figures"):
        found = drawings()
    drawn: dict[str, Figure] = {}
    for name, draw in found.items():
        with harmless(f"The figure {name} was not drawn"):
            figure = draw()
            if files:
                path = folder / "figures" / f"{name}.png"
                path.parent.mkdir(exist_ok=True)
                figure.savefig(path)
            drawn[name] = figure
    with harmless("TensorBoard does not show the figures"):
        add_figures(config, folder, drawn)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn a failure of something that only shows results into a warning: what, and why."""
    try:
        yield
    except Exception as error:
        logger.warning("%s: %s", what, reason(error))
