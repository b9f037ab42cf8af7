"""Signals stop a training between two steps."""

import os
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

import lightning as L

from simclr.launch.signals import REQUEUE, STOP

ASK_EVERY = 10  # steps, where an answer makes processes or a GPU wait for each other


class Stopped(SystemExit):
    """A signal stopped the training; the exit status is 128 + the signal, as 143 for SIGTERM.

    Raised between two steps, where the training can be resumed from.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class StopSignals(L.Callback):
    """SIGINT, SIGTERM, SIGHUP and, under SLURM, SIGUSR1 stop training after the step.

    A second one does so at once. SIGUSR1 is what SLURM can be asked to send before time is up
    (`--signal=USR1@60`): the job is then put back into the queue. Signals that are ignored (nohup)
    stay ignored.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may have handlers
        signals = [*STOP, *([REQUEUE] if REQUEUE and "SLURM_JOB_ID" in os.environ else [])]
        for signum in signals:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if agreed(trainer, self._received is not None):
            self._stop()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restore()
        if trainer.strategy.reduce_boolean_decision(self._received is not None, all=False):
            self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._restore()
            signal.raise_signal(signum)
        self._received = signum

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _stop(self) -> None:
        raise Stopped(self._received or signal.SIGTERM)  # another process may have been told


def requeue(stopped: Stopped) -> None:
    """Put the SLURM job back into its queue if the signal was SIGUSR1.

    To be called when the checkpoint is written: it ends the job.
    """
    if stopped.signum == REQUEUE:
        subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)


def agreed(trainer: L.Trainer, wanted: bool) -> bool:
    """Whether `wanted` is true in any process of the training; all get the same answer.

    Several processes are asked only every few steps, because the devices wait for each other.
    """
    if trainer.world_size == 1:
        return wanted
    if trainer.global_step % ASK_EVERY:
        return False
    return trainer.strategy.reduce_boolean_decision(wanted, all=False)
