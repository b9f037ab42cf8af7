"""The sentence at the end of a benchmark: does pretraining pay?"""

from collections.abc import Sequence

from simclr.reports.results import Row
from simclr.reports.verdict import verdict


def rows(method: str, accuracies: Sequence[float], seed: int = 0) -> list[Row]:
    return [
        Row(method, seed, draw, accuracy, None, 1.0, "") for draw, accuracy in enumerate(accuracies)
    ]


def said(ours: Sequence[float], theirs: Sequence[float]) -> str:
    return verdict(
        [*rows("linear_eval", ours), *rows("supervised", theirs), *rows("pixels", [0.1, 0.1, 0.1])],
        {"linear_eval"},
    )


def test_a_difference_is_paired_and_against_the_best_baseline() -> None:
    text = said([0.8, 0.5, 0.6], [0.7, 0.4, 0.51])
    assert text.startswith("Pretraining paid. linear_eval against supervised")
    assert "+9.7 points" in text
    assert "+8.2 to +11.1" in text


def test_it_says_that_pretraining_did_not_pay_and_what_to_try() -> None:
    text = said([0.5, 0.5, 0.5], [0.7, 0.6, 0.5])
    assert text.startswith("Pretraining did not pay.")
    assert "-10.0 points" in text
    assert "Try" in text


def test_an_interval_that_includes_zero_decides_nothing() -> None:
    assert said([0.9, 0.5, 0.6], [0.5, 0.5, 0.7]).startswith("Pretraining may have paid")


def test_several_seeds_count_once_each() -> None:
    """Many draws of two pretrainings that disagree are no evidence."""
    ours = [*rows("linear_eval", [0.9] * 9, seed=0), *rows("linear_eval", [0.51] * 9, seed=1)]
    theirs = [row for seed in (0, 1) for row in rows("supervised", [0.5] * 9, seed)]
    assert verdict([*ours, *theirs], {"linear_eval"}).startswith("Pretraining may have paid")


def test_without_a_baseline_there_is_nothing_to_say() -> None:
    assert verdict(rows("linear_eval", [0.9]), {"linear_eval"}) == ""
