"""Accuracy of a linear classifier on a frozen encoder: labels of random images, and of chosen ones.

    python benchmarks/choosing.py --json made.json --figure made.png FOLDER... data.root=data

FOLDER is the output of a pretraining, one per seed. Neither choice is balanced over the classes.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from labels import parts
from loops import configured
from matplotlib.figure import Figure
from measuring import markdown, write_report
from torch import Tensor

from simclr.config.schema import ProbeConfig
from simclr.data.labels import draw_any
from simclr.data.splits import Splits, load_splits
from simclr.evaluation.choosing import choose_typical
from simclr.evaluation.probe import FeatureNorm, fitted_accuracy, penalty
from simclr.reports.tables import Summary, summarise

BUDGETS = (10, 20, 50, 100)
CHOICES = {"random": "#d55e00", "typical": "#0072b2"}


def measure(
    folders: Sequence[Path], splits: Splits, random: int, typical: int
) -> Iterator[dict[str, Any]]:
    """A row for each classifier."""
    as_it_is = FeatureNorm(torch.zeros(1), torch.ones(1))
    for number, folder in enumerate(folders):
        train, val, test = parts(folder / "encoder.safetensors", splits)

        def draw(choice: str, budget: int, seed: int, features: Tensor = train.images) -> Tensor:
            if choice == "typical":
                return choose_typical(features, budget, seed)
            return draw_any(len(features), budget, seed)

        for budget in BUDGETS:
            for choice, repeats in (("random", random), ("typical", typical)):
                for seed in range(repeats):
                    labelled = train.select(draw(choice, budget, seed))
                    l2 = penalty(ProbeConfig().l2, budget)
                    yield {
                        **{"encoder": number, "labels": budget, "choice": choice, "seed": seed},
                        "classes": len(labelled.labels.unique()),
                        "val": fitted_accuracy(as_it_is, labelled, val, l2),
                        "test": fitted_accuracy(as_it_is, labelled, test, l2),
                    }


def summary(rows: Sequence[dict[str, Any]], budget: int, choice: str, number: str) -> Summary:
    """Of a number over draws and encoders; the interval is over the encoders' means."""
    own = [row for row in rows if (row["labels"], row["choice"]) == (budget, choice)]
    share = number != "classes"
    return summarise([row[number] for row in own], [row["encoder"] for row in own], share)


def gain(rows: Sequence[dict[str, Any]], budget: int) -> Summary:
    """What the choice adds to random draws, paired over the encoders."""

    def mean(encoder: int, choice: str) -> float:
        own = [r for r in rows if (r["encoder"], r["labels"]) == (encoder, budget)]
        values: list[float] = [row["test"] for row in own if row["choice"] == choice]
        return sum(values) / len(values)

    encoders = sorted({row["encoder"] for row in rows})
    return summarise([mean(one, "typical") - mean(one, "random") for one in encoders])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each number of labels."""
    lines = []
    for budget in BUDGETS:
        line = [str(budget)]
        for choice in CHOICES:
            test = summary(rows, budget, choice, "test")
            line += [f"{summary(rows, budget, choice, 'classes').mean:.1f}"]
            line += [f"{test.mean:.2%} (sd {test.sd or 0:.2%})"]
        more = gain(rows, budget)
        low, high = more.ci95 or (more.mean, more.mean)
        lines.append([*line, f"{100 * more.mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"])
    header = ["labels", "classes, random", "random", "classes, chosen", "chosen", "gain, points"]
    return markdown(header, lines)


def figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy against number of labels: each draw as a dot, and the means."""
    drawn = Figure(figsize=(6.4, 4), layout="constrained", dpi=150)
    axis = drawn.subplots()
    for (choice, colour), shift in zip(CHOICES.items(), (0.97, 1.03), strict=True):
        own = [row for row in rows if row["choice"] == choice]
        axis.scatter(
            [shift * row["labels"] for row in own],
            [100 * row["test"] for row in own],
            s=8,
            alpha=0.3,
            color=colour,
        )
        means = [100 * summary(rows, budget, choice, "test").mean for budget in BUDGETS]
        axis.plot([shift * budget for budget in BUDGETS], means, "o-", color=colour, label=choice)
    axis.set(xscale="log", xlabel="labels", ylabel="test accuracy, %")
    axis.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right")
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="raw results")
    parser.add_argument("--figure", type=Path, help="a picture of them")
    parser.add_argument("--random", type=int, default=20, help="random draws of each number")
    parser.add_argument("--typical", type=int, default=5, help="seeds of the choice, likewise")
    arguments, rest = parser.parse_known_args()
    folders = [Path(one) for one in rest if "=" not in one]
    splits = load_splits(configured([one for one in rest if "=" in one]).data)
    rows = []
    for row in measure(folders, splits, arguments.random, arguments.typical):
        print(row, flush=True)
        rows.append(row)
    write_report(arguments.json, results=rows)
    if arguments.figure:
        figure(rows).savefig(arguments.figure)
    print(table(rows))
