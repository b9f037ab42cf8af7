"""Summaries of a number over several runs, and tables of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from scipy.special import stdtrit

from simclr.files import printable

SUMMARY_HEADER = ("sd", "n", "95 % interval")  # after the name of what is summarised


@dataclass(frozen=True)
class Summary:
    """A number over several runs; sd and interval need at least two.

    Attributes:
        mean: of all values, in the number's own unit; accuracies are fractions.
        sd: sample standard deviation of all values.
        n: how many values.
        ci95: 95 % interval of the mean: over the seeds' means where there are several seeds, else
            over the values.
        seeds: how many there are; None if values were not said to have any.
    """

    mean: float
    sd: float | None
    n: int
    ci95: tuple[float, float] | None
    seeds: int | None = None


def summarise(
    values: Sequence[float], groups: Sequence[object] | None = None, share: bool = False
) -> Summary:
    """Mean, sample sd, n and Student's 95 % interval of at least one value.

    Values of one pretraining share an encoder and are not independent. So where there are several
    seeds the interval is that of their means, with as many degrees of freedom as seeds, less one.
    An interval of shares is symmetric on the logit scale, so that it never passes 0 or 1.

    Args:
        values: the number in each run.
        groups: the seed of each; None takes all values as independent.
        share: values are shares of 1, such as accuracies.
    """
    mean, sd = _spread(values)
    seeds = None if groups is None else len(set(groups))
    independent = _means(values, groups) if groups is not None and len(set(groups)) > 1 else values
    n, between = len(independent), _spread(independent)[1]
    if between is None:
        return Summary(mean, sd, len(values), None, seeds)
    half = float(stdtrit(n - 1, 0.975)) * between / n**0.5
    ends = _on_logit_scale(mean, half) if share else (mean - half, mean + half)
    return Summary(mean, sd, len(values), ends, seeds)


def _means(values: Sequence[float], groups: Sequence[object]) -> list[float]:
    """The mean of each group."""
    members: dict[object, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(value)
    return [sum(own) / len(own) for own in members.values()]


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample sd, which needs two values."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return mean, None
    return mean, (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5


def _on_logit_scale(mean: float, half: float) -> tuple[float, float]:
    """An interval of this half width at the mean, by the delta method, bent to lie within 0 and 1.

    odds * exp(-+ half / (mean * (1 - mean))) are the odds of its ends.
    """
    if half == 0 or not 0 < mean < 1:
        return mean, mean
    width = min(half / (mean * (1 - mean)), 700.0)  # exp of more is out of range
    low, high = (1 / (1 + (1 - mean) / mean * exp(sign * width)) for sign in (1, -1))
    return low, high


def summary_cells(summary: Summary, number: str) -> list[str]:
    """Mean, sd, n and interval as a table shows them; `number` is a format such as ".2%".

    Where n has its seeds beside it, the interval is over the seeds' means.
    """
    several = summary.seeds is not None and 1 < summary.seeds < summary.n
    return [
        format(summary.mean, number),
        "" if summary.sd is None else format(summary.sd, number),
        f"{summary.n} ({summary.seeds} seeds)" if several else str(summary.n),
        "" if summary.ci95 is None else " to ".join(format(end, number) for end in summary.ci95),
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it also reads as text."""
    escaped = [[printable(cell).replace("|", r"\|") for cell in line] for line in (header, *rows)]
    first, *rest = _aligned(escaped)
    rule = ["-" * len(cell) for cell in first]
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, rule, *rest))


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: columns aligned, and nothing else."""
    shown = [[printable(cell) for cell in line] for line in (header, *rows)]
    return "\n".join("  ".join(line).rstrip() for line in _aligned(shown))


def _aligned(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
