"""Self-supervised pretraining on images, then classification with few labels.

The names below are imported when they are asked for, so that `import simclr` costs nothing.
"""

import pkgutil
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simclr.config.augment import AugmentConfig as AugmentConfig
    from simclr.config.schema import Config as Config
    from simclr.config.schema import EncoderConfig as EncoderConfig
    from simclr.data.datamodule import ContrastiveDataModule as ContrastiveDataModule
    from simclr.inference import predict as predict
    from simclr.learner import Learner as Learner
    from simclr.losses.nt_xent import nt_xent as nt_xent
    from simclr.methods.simclr import SimCLR as SimCLR
    from simclr.models.encoders import build_encoder as build_encoder
    from simclr.models.weights import load_classifier as load_classifier
    from simclr.models.weights import load_encoder as load_encoder
    from simclr.views import build_views as build_views

__version__ = "0.1.0"

_PLACES = {
    "AugmentConfig": "simclr.config.augment",
    "Config": "simclr.config.schema",
    "ContrastiveDataModule": "simclr.data.datamodule",
    "EncoderConfig": "simclr.config.schema",
    "Learner": "simclr.learner",
    "SimCLR": "simclr.methods.simclr",
    "build_encoder": "simclr.models.encoders",
    "build_views": "simclr.views",
    "load_classifier": "simclr.models.weights",
    "load_encoder": "simclr.models.weights",
    "nt_xent": "simclr.losses.nt_xent",
    "predict": "simclr.inference",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    """Import a public name (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return pkgutil.resolve_name(f"{_PLACES[name]}:{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keep `simclr.predict` the function even after the command of that name was imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _PLACES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
