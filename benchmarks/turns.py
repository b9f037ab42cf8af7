"""Training loops in processes of their own that take turns on one machine.

Whatever else the machine does then meets all of them alike, and none inherits another's memory.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import peak_mib
from torch import Tensor


class Turns:
    """Stops a training loop after every turn until it may go on, and times each turn.

    A turn begins with a few steps that are not timed: they use up what worker processes made
    ready while the loop stood still, and wake the threads.

    Args:
        warm: steps of a turn before the clock starts.
        timed: steps on the clock.
    """

    def __init__(self, warm: int, timed: int) -> None:
        self.warm = warm
        self.timed = timed
        self._done = 0
        self._started = 0.0

    def step(self, loss: Tensor) -> None:
        """Call after every training step."""
        self._done += 1
        if self._done == self.warm:
            self._started = time.perf_counter()
        if self._done == self.warm + self.timed:
            value = loss.item()
            seconds = time.perf_counter() - self._started
            turn = {"seconds": seconds / self.timed, "loss": value, "mib": peak_mib()}
            print(json.dumps(turn), file=sys.__stdout__, flush=True)
            if not sys.stdin.readline():
                sys.exit("the other end has gone")
            self._done = 0


class Loop:
    """The other end: a process whose training stops after every turn."""

    def __init__(self, command: Sequence[str]) -> None:
        self.name = " ".join(command)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "loops.py"), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> dict[str, Any]:
        """What the turn that is under way finds out.

        Raises:
            RuntimeError: if the process ends instead.
        """
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith('{"seconds"'):
                found: dict[str, Any] = json.loads(line)
                return found
        _, errors = self.process.communicate()
        raise RuntimeError(f"{self.name}: ended before its turn\n{errors}")

    def turn(self) -> dict[str, Any]:
        """Let it train for one turn, alone."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def take_turns(
    commands: Mapping[str, Sequence[str]], repeats: int
) -> dict[str, list[dict[str, Any]]]:
    """`repeats` turns of each loop, one after the other, after one turn each for warm-up."""
    loops = {name: Loop(command) for name, command in commands.items()}
    try:
        for loop in loops.values():
            loop.wait()
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in loops}
        for _ in range(repeats):
            for name, loop in loops.items():
                turns[name].append(loop.turn())
        return turns
    finally:
        for loop in loops.values():
            loop.close()
