"""Which images a person should label next, and which labels look wrong."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from simclr.data.image_files import read_images
from simclr.data.labels import fingerprint
from simclr.evaluation.choosing import choose_typical
from simclr.evaluation.suspects import held_out_shares, suspects
from simclr.files import write_whole
from simclr.launch.ranks import is_first
from simclr.methods.base import Features, Job, given_encoder
from simclr.models.classifier import extract_features
from simclr.reports.label_page import Shown, contact_sheet, label_page
from simclr.reports.results import Labels, Result, Timing
from simclr.training.callbacks.clock import Clock

SHOWN_SIDE = 224  # pixels of an image file on the page; data.image_size may be too small for eyes
MOST_SUSPECTS = 20


@dataclass(frozen=True)
class Doubt:
    """A label that looks wrong: of which labelled image, and what the model would have said."""

    place: int
    given: str
    said: str
    plausibility: float


def choose_labels(job: Job) -> Result:
    """Choose `labels.budget` images; leave to_label.csv, to_label.png and label.html.

    If images have labels by a person already, suspects.csv lists those that look wrong. The page
    shows them after the images to label.
    """
    splits, config, clock = job.splits, job.config, Clock()
    assert config.labels.budget is not None
    features = Features(given_encoder(job), job)
    count = len(splits.train.labels) if splits.labels_given else 0
    labelled = torch.arange(count) + len(splits.unlabelled) - count
    with job.progress.stage("choosing"), clock.running():
        seen = features.norm(extract_features(features.encoder, splits.unlabelled)).cpu()
        chosen = choose_typical(seen, config.labels.budget, config.labels.seed, labelled)
        doubts = _doubts(job, seen[labelled]) if count else []
    if is_first():
        column = "file" if splits.paths else "index"
        names = [splits.names[place] for place in chosen.tolist()]
        _write_csv(job, "to_label.csv", (column, "class"), [(name, "") for name in names])
        if count:
            header = (column, "class", "model_says", "plausibility")
            _write_csv(job, "suspects.csv", header, [_row(job, doubt) for doubt in doubts])
        _write_page(job, column, chosen, labelled, doubts)
    metrics: dict[str, float] = {
        "chosen": len(chosen),
        "labelled_before": count,
        "suspects": len(doubts),
    }
    drawn = Labels(None, config.labels.seed, fingerprint(chosen))
    timing = Timing(clock.seconds, len(splits.unlabelled) / clock.seconds)
    return Result("choose_labels", config.seed, metrics, drawn, 0, timing)


def advice(job: Job, result: Result) -> str:
    """What to do with what was left, in words."""
    found = f"{result.metrics['chosen']:.0f} images to label"
    if result.metrics["suspects"]:
        found += f", and {result.metrics['suspects']:.0f} labels that look wrong (suspects.csv)"
    return (
        f"{found}. Open {job.folder / 'label.html'} in a browser, save labels.csv, and train with "
        "data.labels=labels.csv"
    )


def _doubts(job: Job, seen: Tensor) -> list[Doubt]:
    """The labels that look wrong, among those of the images with representations `seen`."""
    splits, labels = job.splits, job.splits.train.labels
    if len(splits.classes) < 2:
        return []
    shares = held_out_shares(seen, labels, len(splits.classes), job.config.probe.l2)
    return [
        Doubt(
            place,
            splits.classes[int(labels[place])],
            splits.classes[int(shares[place].argmax())],
            float(shares[place, labels[place]]),
        )
        for place in suspects(shares, labels, MOST_SUSPECTS).tolist()
    ]


def _row(job: Job, doubt: Doubt) -> tuple[str, str, str, str]:
    name = job.splits.names[_in_unlabelled(job, doubt)]
    return name, doubt.given, doubt.said, f"{doubt.plausibility:.6f}"


def _in_unlabelled(job: Job, doubt: Doubt) -> int:
    return int(job.splits.in_unlabelled(torch.tensor(doubt.place)))


def _write_csv(job: Job, name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(job.folder / name, text.getvalue().encode())


def _write_page(
    job: Job, column: str, chosen: Tensor, labelled: Tensor, doubts: Sequence[Doubt]
) -> None:
    splits = job.splits
    places = [*chosen.tolist(), *(_in_unlabelled(job, doubt) for doubt in doubts)]
    images = _images_to_show(job, places)
    to_label = [Shown(splits.names[place]) for place in chosen.tolist()]
    to_check = [
        Shown(splits.names[_in_unlabelled(job, doubt)], doubt.given, doubt.said) for doubt in doubts
    ]
    before = (
        {
            splits.names[place]: splits.classes[label]
            for place, label in zip(labelled.tolist(), splits.train.labels.tolist(), strict=True)
        }
        if job.config.data.labels
        else {}
    )
    page = label_page(images, [*to_label, *to_check], splits.classes, column, before)
    write_whole(job.folder / "label.html", page.encode())
    if len(chosen):
        write_whole(job.folder / "to_label.png", contact_sheet(images[: len(chosen)]))


def _images_to_show(job: Job, places: Sequence[int]) -> Tensor:
    """Images uint8 (N, C, H, W) for eyes; of files, more pixels than the encoder sees."""
    splits = job.splits
    if not splits.paths:
        return splits.unlabelled[torch.tensor(places, dtype=torch.int64)]
    channels, height, width = splits.shape
    side = max(SHOWN_SIDE, height, width)
    files: list[Path] = [splits.paths[place] for place in places]
    images, _ = read_images(files, (channels, side, side))
    return images
