"""One or two sentences that say whether pretraining paid, with the evidence."""

from collections.abc import Container, Sequence

from simclr.reports.results import Row, by_method
from simclr.reports.tables import summarise

ADVICE = (
    "Try, in this order: the settings for another kind of image (experiment=photos, symbols or "
    "objects), longer pretraining (trainer.steps=5000), more unlabelled images."
)


def verdict(rows: Sequence[Row], pretrained: Container[str]) -> str:
    """Compare the best method that uses pretraining with the best that does not.

    The difference is paired: both methods are trained on the same label draw with the same seed.

    Args:
        rows: all trained classifiers of a benchmark.
        pretrained: the methods that use a pretrained encoder.

    Returns:
        Sentences, or nothing if there is no method of one kind.
    """
    methods = by_method(rows)
    ranked = sorted(methods, key=lambda method: -_mean(methods[method]))
    ours = [method for method in ranked if method in pretrained]
    baselines = [method for method in ranked if method not in pretrained]
    if not ours or not baselines:
        return ""
    best, baseline = ours[0], baselines[0]
    seeds = [row.pretrain_seed for row in methods[best]]
    found = summarise(_differences(methods[best], methods[baseline]), groups=seeds)
    compared = f"{best} against {baseline}, the best baseline: {found.mean * 100:+.1f} points"
    if found.ci95 is not None:
        low, high = (100 * end for end in found.ci95)
        compared += f" (paired by seed and label draw, 95 % interval {low:+.1f} to {high:+.1f})"
    if found.mean <= 0:
        return f"Pretraining did not pay. {compared}. {ADVICE}"
    if found.ci95 is None or found.ci95[0] <= 0:
        return f"Pretraining may have paid; more seeds or draws would tell. {compared}."
    return f"Pretraining paid. {compared}."


def _mean(rows: Sequence[Row]) -> float:
    return sum(row.test_accuracy for row in rows) / len(rows)


def _differences(ours: Sequence[Row], theirs: Sequence[Row]) -> list[float]:
    other = {(row.pretrain_seed, row.label_seed): row.test_accuracy for row in theirs}
    return [row.test_accuracy - other[row.pretrain_seed, row.label_seed] for row in ours]
