"""Random views of images: batched, with parameters of its own for each view, on the device."""

from simclr.views.base import Transform
from simclr.views.compose import Views, build_views
from simclr.views.geometry import Geometry
from simclr.views.photometric import Blur, Colour, Gamma, Noise
from simclr.views.strokes import Erasing, ExtraStroke, Thickness

__all__ = [
    "Blur",
    "Colour",
    "Erasing",
    "ExtraStroke",
    "Gamma",
    "Geometry",
    "Noise",
    "Thickness",
    "Transform",
    "Views",
    "build_views",
]
