"""One page in which a person labels images: everything inside, no server and no network."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from simclr.reports.mosaic import in_colour, mosaic

TEMPLATE = Path(__file__).with_name("label.html")
PLACE = '"DATA"'  # in the template
SMALL = 64  # pixels in each direction; larger images are compressed with small losses


@dataclass(frozen=True)
class Shown:
    """An image on the page.

    Attributes:
        name: its file or index.
        given: its class by a person, if that looks wrong.
        said: the class that the model would have given it.
    """

    name: str
    given: str | None = None
    said: str | None = None


def label_page(
    images: Tensor,
    shown: Sequence[Shown],
    classes: Sequence[str],
    column: str,
    before: Mapping[str, str],
) -> str:
    """The page as HTML.

    Args:
        images: uint8 (N, C, H, W).
        shown: N, what the page says about each image.
        classes: known ones; the person may add others.
        column: of labels.csv that tells the image: file or index.
        before: class of each image by its name that a person labelled before; saved again with
            the new ones.
    """
    told = [
        {**asdict(one), "image": _data_uri(image)} for one, image in zip(shown, images, strict=True)
    ]
    content = {"column": column, "classes": [*classes], "items": told, "before": dict(before)}
    key = hashlib.blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()
    data = json.dumps(content | {"key": f"simclr-labels-{key}"})
    # Inside a script, "<" could end it; JSON takes an escape in its place.
    return TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data.replace("<", r"\u003c"), 1)


def contact_sheet(images: Tensor, columns: int = 10) -> bytes:
    """A PNG of images uint8 (N, C, H, W) in rows, in their order."""
    coloured = in_colour(images).float() / 255
    columns = min(columns, len(coloured))
    missing = -len(coloured) % columns
    blank = torch.ones(missing, *coloured.shape[1:])
    rows = torch.cat((coloured, blank)).unflatten(0, (-1, columns))
    return _encoded((mosaic(rows) * 255).round().byte(), "PNG")


def _data_uri(image: Tensor) -> str:
    form = "PNG" if max(image.shape[1:]) <= SMALL else "JPEG"
    return f"data:image/{form.lower()};base64,{base64.b64encode(_encoded(image, form)).decode()}"


def _encoded(image: Tensor, form: str) -> bytes:
    """A uint8 image (C, H, W) as a file of this format."""
    from PIL import Image

    pixels = in_colour(image).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, quality=90)
    return file.getvalue()
