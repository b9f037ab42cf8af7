"""The clock, with a time that only the test moves."""

import time
from typing import Any

import pytest

from simclr.training.callbacks.clock import Clock

UNUSED: Any = None


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Time:
    source = Time()
    monkeypatch.setattr(time, "perf_counter", source)
    return source


@pytest.fixture
def running(times: Time) -> Clock:
    clock = Clock()
    times.now += 100  # before training
    clock.on_train_start(UNUSED, UNUSED)
    times.now += 5
    return clock


def test_it_counts_from_start_to_end(running: Clock, times: Time) -> None:
    assert running.seconds == 5
    times.now += 2
    running.on_train_end(UNUSED, UNUSED)
    times.now += 100
    assert running.seconds == 7


def test_what_comes_before_training_counts_where_it_is_said_so(times: Time) -> None:
    clock = Clock()
    with clock.running():
        times.now += 3
    times.now += 100
    clock.on_train_start(UNUSED, UNUSED)
    times.now += 5
    clock.on_train_end(UNUSED, UNUSED)
    assert clock.seconds == 8


def test_pauses_do_not_count(running: Clock, times: Time) -> None:
    for _ in range(2):
        with running.paused():
            times.now += 50
            assert running.seconds in (5, 6)
        times.now += 1
    running.on_train_end(UNUSED, UNUSED)
    assert running.seconds == 7


def test_a_resumed_training_counts_on(running: Clock, times: Time) -> None:
    state = running.state_dict()
    times.now += 1_000
    resumed = Clock()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    resumed.on_train_start(UNUSED, UNUSED)
    times.now += 3
    assert resumed.seconds == 8


def test_a_state_saved_at_any_time_holds_what_the_clock_shows(running: Clock, times: Time) -> None:
    assert Clock().state_dict() == {"seconds": 0}
    assert running.state_dict() == {"seconds": 5}
    with running.paused():
        times.now += 50
        assert running.state_dict() == {"seconds": 5}
    running.on_train_end(UNUSED, UNUSED)
    times.now += 50
    assert running.state_dict() == {"seconds": 5}
