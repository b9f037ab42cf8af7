"""The expected duration of a pretraining, told before it begins."""

import time
from copy import deepcopy

import torch
from lightning import Trainer

from simclr.models.encoders import Encoder

TRIED = 32  # views whose time is measured
PASSES = 5  # the quickest counts; the others waited for what else the machine does
ENOUGH = 1  # seconds of measuring, after which no further pass begins
LONG = 20 * 60  # seconds that a person should be warned of


def expected_seconds(trainer: Trainer, encoder: Encoder, view: torch.Size, views: int) -> float:
    """Seconds of the forward and backward passes of `views` views of shape (C, H, W).

    They are measured on a copy of the encoder with `TRIED` views, as the quickest of some passes
    after one to warm up. The time for making views, for the loss and for the optimiser is not
    included.
    """
    device = trainer.strategy.root_device
    tried = deepcopy(encoder).to(device).train()
    images = torch.zeros(TRIED, *view, device=device)
    took: list[float] = []
    own = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(own):  # of dropout, which must not change the run
        while len(took) <= PASSES and sum(took[1:]) < ENOUGH:
            begun = time.perf_counter()
            with trainer.precision_plugin.forward_context():
                total = tried(images).float().sum()
            total.backward()
            total.item()  # waits for the device
            took.append(time.perf_counter() - begun)
    return min(took[1:]) / TRIED * views / trainer.world_size


def in_words(seconds: float, encoder: str) -> str:
    """The expected time for a person, with a quicker choice where it is long."""
    if seconds < 60:
        return "less than a minute"
    minutes = f"about {seconds / 60:.0f} minute{'s' * (seconds >= 90)}"
    if seconds < LONG:
        return minutes
    quicker = "" if encoder in ("cnn", "resnet") else "encoder=resnet or encoder=cnn is quicker; "
    return f"{minutes} on this machine ({quicker}trainer.steps=N makes it shorter)"
