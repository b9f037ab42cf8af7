"""What one run gains over another, paired by pretraining seed.

    python benchmarks/paired.py outputs/WITH outputs/WITHOUT

Both runs have the same methods, seeds and label draws.
"""

import argparse
import csv
from pathlib import Path

from measuring import markdown

from simclr.reports.tables import Summary, summarise

Key = tuple[str, int, int]  # method, pretraining seed, label seed


def accuracies(folder: Path) -> dict[Key, float]:
    with (folder / "results.csv").open(newline="") as file:
        return {
            (row["method"], int(row["pretrain_seed"]), int(row["label_seed"])): float(
                row["test_accuracy"]
            )
            for row in csv.DictReader(file)
        }


def gains(run: Path, base: Path) -> dict[str, tuple[list[float], Summary]]:
    """For each method that both runs have: the mean gain of each seed, and their summary.

    Raises:
        ValueError: if the runs differ in a seed or a draw of it.
    """
    ours, theirs = accuracies(run), accuracies(base)
    both = {method for method, *_ in ours} & {method for method, *_ in theirs}
    ours, theirs = (
        {key: value for key, value in one.items() if key[0] in both} for one in (ours, theirs)
    )
    if ours.keys() != theirs.keys():
        raise ValueError(f"{run} and {base} have different seeds or label draws")
    found = {}
    for method in sorted(both, key=[key[0] for key in ours].index):
        of_seed: dict[int, list[float]] = {}
        for key, value in ours.items():
            if key[0] == method:
                of_seed.setdefault(key[1], []).append(value - theirs[key])
        means = [sum(own) / len(own) for own in of_seed.values()]
        found[method] = (means, summarise(means))
    return found


def table(run: Path, base: Path) -> str:
    """One line for each method, in percentage points."""
    lines = []
    for method, (means, summary) in gains(run, base).items():
        low, high = summary.ci95 or (summary.mean, summary.mean)
        each = ", ".join(f"{100 * mean:+.2f}" for mean in means)
        interval = f"{100 * low:+.2f} to {100 * high:+.2f}"
        lines.append([method, f"{100 * summary.mean:+.2f}", each, interval])
    return markdown(["method", "gain, points", "of each seed", "95 % interval"], lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="output of the run")
    parser.add_argument("base", type=Path, help="output of the run that it is compared with")
    arguments = parser.parse_args()
    print(table(arguments.run, arguments.base))
