"""Summaries of a number over several runs, and tables of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

SUMMARY_HEADER = ("sd", "n", "95 % interval")  # after the name of what is summarised


@dataclass(frozen=True)
class Summary:
    """A number over several runs; sd and interval need at least two.

    Attributes:
        mean: in the number's own unit; accuracies are fractions.
        sd: sample standard deviation.
        n: how many.
        ci95: mean -+ t(0.975, n - 1) * sd / sqrt(n).
    """

    mean: float
    sd: float | None
    n: int
    ci95: tuple[float, float] | None


def summarise(values: Sequence[float]) -> Summary:
    """Mean, sample sd, n and Student's 95 % interval of at least one value."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return Summary(mean, None, 1, None)
    sd = (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5
    half = float(stdtrit(n - 1, 0.975)) * sd / n**0.5
    return Summary(mean, sd, n, (mean - half, mean + half))


def summary_cells(summary: Summary, number: str) -> list[str]:
    """Mean, sd, n and interval as a table shows them; `number` is a format such as ".2%"."""
    return [
        format(summary.mean, number),
        "" if summary.sd is None else format(summary.sd, number),
        str(summary.n),
        "" if summary.ci95 is None else " to ".join(format(end, number) for end in summary.ci95),
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it also reads as text."""
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in (header, *rows)]
    first, *rest = _aligned(escaped)
    rule = ["-" * len(cell) for cell in first]
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, rule, *rest))


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: columns aligned, and nothing else."""
    return "\n".join("  ".join(line).rstrip() for line in _aligned([header, *rows]))


def _aligned(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
