"""One progress bar for the whole job, however many trainings it has, and a line for each stage."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import lightning as L
from tqdm import tqdm

from simclr.launch.ranks import is_first

SHOWN = {  # metric: how it is named and written; a narrow terminal cuts the last ones
    "test_accuracy": "test {:.1%}",
    "val_accuracy": "validation {:.1%}",
    "probe_accuracy": "probe {:.1%}",
    "loss": "loss {:.3f}",
    "contrastive_accuracy": "contrastive {:.1%}",
}
UNTIMED = "{desc} {elapsed}{postfix}"
WIDE = 100  # columns, from which there is place for a bar and the speed


class Progress(L.Callback):
    """Counts images that went through the encoder; every stage says how many it will be.

    On a terminal it is one line with the time left, above which every finished stage leaves one.
    Elsewhere (logs, CI) finished stages leave the same lines, and long ones a line now and then.

    Args:
        total: images of the whole job, forward and backward.
        seconds: between two lines where there is no terminal.
    """

    def __init__(self, total: int, seconds: float = 60) -> None:
        self.first = is_first()
        self.interactive = sys.stderr.isatty()
        self.total = total
        self.seconds = seconds
        wide = shutil.get_terminal_size().columns >= WIDE
        self.bar = tqdm(
            total=total or None,
            bar_format="{desc} {percentage:3.0f}%"
            + " |{bar:8}| {remaining} left, {rate_fmt}{postfix}" * wide
            + ", {remaining} left{postfix}" * (not wide)
            if total
            else UNTIMED,
            unit="img",
            unit_scale=True,
            smoothing=0,  # the mean speed, because methods differ
            dynamic_ncols=True,
            disable=not (self.interactive and self.first),
            mininterval=0.5,
            leave=False,
        )
        self._stage, self._images_per_step = "", 0
        self._metrics: dict[str, str] = {}
        self._done = self._skipped = 0
        self._seconds = 0.0  # of trainings that are over
        self._started = self._spoke = time.monotonic()

    @contextmanager
    def stage(self, name: str, images_per_step: int = 0) -> Iterator[None]:
        """Name a stage, and say how many images one of its training steps takes."""
        begun = time.monotonic()
        self._stage, self._images_per_step, self._metrics = name, images_per_step, {}
        if self._done >= self.total:  # what is left trains nothing
            self.bar.bar_format = UNTIMED
        self.bar.set_postfix_str("", refresh=False)
        self.bar.set_description_str(name)
        yield
        took = tqdm.format_interval(time.monotonic() - begun)
        self._speak(", ".join([f"{name}: {took}", *self._metrics.values()]))

    def skip(self, images: int) -> None:
        """Count images that an earlier run has put through the encoder; they take no time."""
        self._done += images
        self._skipped += images
        if not self.bar.disable:
            self.bar.initial += images
            self.bar.n += images
            self.bar.last_print_n += images

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the speed from here on; the time before a training says nothing about it."""
        self.skip(trainer.global_step * self._images_per_step)  # 0 unless it was resumed
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Metrics are fetched from the device only where they are about to be shown."""
        self._done += self._images_per_step
        if self.bar.update(self._images_per_step):
            self._read(trainer)
        now = time.monotonic()
        if not self.interactive and self.first and now - self._spoke > self.seconds:
            self._read(trainer)
            begin = self._stage
            if (done := self._done - self._skipped) and self.total > self._done:
                left = (self._seconds + now - self._started) / done * (self.total - self._done)
                share = f"{self._done / self.total:.0%}"
                begin += f": {share} of the job, {tqdm.format_interval(left)} left"
            self._speak(", ".join([begin, *self._metrics.values()]))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._seconds += time.monotonic() - self._started
        self._read(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._read(trainer)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._read(trainer)

    def say(self, text: str) -> None:
        """Print on the terminal, above the bar; once, however many processes there are."""
        if self.first:
            with suppress(OSError):  # a reader that is gone, as `head` is, is no reason to end
                self.bar.write(text)

    def close(self) -> None:
        """Take the bar away; the lines of finished stages stay."""
        self.bar.close()

    def _read(self, trainer: L.Trainer) -> None:
        known = trainer.callback_metrics
        fresh = {
            name: form.format(float(known[name])) for name, form in SHOWN.items() if name in known
        }
        both = self._metrics | fresh
        self._metrics = {name: both[name] for name in SHOWN if name in both}
        self.bar.set_postfix_str(", ".join(self._metrics.values()), refresh=False)

    def _speak(self, text: str) -> None:
        self._spoke = time.monotonic()
        if self.first:
            with suppress(OSError):
                tqdm.write(text, file=sys.stderr)
