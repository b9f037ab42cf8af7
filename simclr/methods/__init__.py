"""The methods that train a classifier; this is the only list of them.

Nothing heavy is imported here, so that the command line can check names before torch is loaded.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simclr.methods.base import Features, Job
    from simclr.methods.scoring import Classified


@dataclass(frozen=True)
class Method:
    """One way to train and score a classifier on a label draw.

    Attributes:
        summary: one line for `--help`.
        place: `module:function`, where the function is
            `(job: Job, features: Features, draw: int) -> Classified`.
        encoder: whether the function gets the features of a pretrained encoder, or of one with
            random weights.
        trains: whether the method trains by gradient steps. Its length, batch size and learning
            rate are then the part of the configuration that has the method's name.
    """

    summary: str
    place: str
    encoder: Literal["pretrained", "random"] = "pretrained"
    trains: bool = False

    def load(self) -> "Callable[[Job, Features, int], Classified]":
        """Import the function."""
        function: Callable[[Job, Features, int], Classified] = pkgutil.resolve_name(self.place)
        return function


METHODS = {
    "linear_eval": Method(
        "a linear classifier on the frozen encoder",
        "simclr.methods.linear_eval:linear_eval",
    ),
    "finetune": Method(
        "encoder and linear classifier, both trained on the labels",
        "simclr.methods.finetune:finetune",
        trains=True,
    ),
    "supervised": Method(
        "baseline: the same network trained on the labels from random weights",
        "simclr.methods.finetune:supervised",
        encoder="random",
        trains=True,
    ),
    "random_encoder": Method(
        "baseline: a linear classifier on an encoder with random weights",
        "simclr.methods.linear_eval:random_encoder",
        encoder="random",
    ),
    "pixels": Method(
        "baseline: a linear classifier on the pixels themselves",
        "simclr.methods.linear_eval:pixels",
        encoder="random",
    ),
    "label_spread": Method(
        "label propagation to the unlabelled images, then a linear classifier",
        "simclr.methods.label_spread:label_spread",
    ),
    "self_train": Method(
        "all weights, trained on labelled and unlabelled images",
        "simclr.methods.self_train:self_train",
        trains=True,
    ),
}
