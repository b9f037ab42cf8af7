"""A folder of own images, drawn by the test."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> Path:
    """A noisy picture of one colour."""
    noise = np.random.default_rng(seed).integers(-30, 31, (20, 24, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


def paint_folder(root: Path, unlabelled: int = 30, labelled: int = 6) -> Path:
    """unlabeled/, train/CLASS/ and test/CLASS/ with pictures of three colours."""
    for number in range(unlabelled):
        paint(root / "unlabeled" / f"{number}.png", [*COLOURS.values()][number % 3], number)
    for place, (name, colour) in enumerate(COLOURS.items()):
        for number in range(labelled):
            for part in ("train", "test"):
                seed = 1_000 * (place + 1) + number + 500 * (part == "test")
                paint(root / part / name / f"{number}.png", colour, seed)
    return root
