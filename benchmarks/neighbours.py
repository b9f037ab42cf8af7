"""The search for neighbours that label spreading uses, beside the exact one.

    python benchmarks/neighbours.py --json benchmarks/results/neighbours.json RUN data.root=data

RUN is the output folder of a pretraining. The features are those of its unlabelled images, as
label_spread sees them; labels are spread from ten per class, and compared with the true ones. The
last row has drawn features of a million images, and no labels. What follows RUN is as for train.py.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from loops import configured
from measuring import markdown, options, peak_mib, reset_peak, write_report
from torch import Tensor

from simclr.data.splits import load_splits
from simclr.evaluation import neighbours
from simclr.evaluation.label_spreading import spread_labels
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import extract_layers
from simclr.models.weights import load_encoder

MILLION, DIM, KINDS = 1_000_000, 128, 200


def drawn() -> Tensor:
    """Features of a million images of some kinds, which fill 32 of 128 directions."""
    generator = torch.Generator().manual_seed(0)
    kinds = 1.5 * torch.randn(KINDS, 32, generator=generator)
    own = kinds[torch.randint(KINDS, (MILLION,), generator=generator)]
    seen = own + torch.randn(MILLION, 32, generator=generator)
    return (seen @ torch.randn(32, DIM, generator=generator)).relu()


def measure(run: Path, draws: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    config = configured([*overrides])
    splits = load_splits(config.data)
    encoder = load_encoder(run / "encoder.safetensors")
    layers = extract_layers(encoder, splits.unlabelled)
    features = torch.cat([FeatureNorm.of(layer)(layer) for layer in layers], dim=1)
    places = splits.in_unlabelled(torch.arange(len(splits.train.labels)))
    k, alpha = config.label_spread.neighbours, config.label_spread.alpha

    def right(graph: Any) -> list[float]:
        """The share of right spread labels, for each draw."""
        shares = []
        for seed in range(draws):
            chosen = splits.draw(config.labels.per_class, seed)
            given = splits.train.labels[chosen]
            spread = spread_labels(graph, places[chosen], given, len(splits.classes), alpha)
            same = spread.argmax(1)[places] == splits.train.labels
            shares.append(float(same.float().mean()))
        return shares

    rows = []
    for name, up_to in (("among clusters", neighbours.EXACT_UP_TO), ("exact", MILLION)):
        with patch.object(neighbours, "EXACT_UP_TO", up_to):
            row, graph = _timed(name, features, k)
        rows.append(row | {"right": right(graph)})
    return [*rows, _timed("among clusters", drawn(), k)[0]]


def _timed(name: str, features: Tensor, k: int) -> tuple[dict[str, Any], Any]:
    reset_peak()
    start = time.perf_counter()
    graph = neighbours.neighbour_graph(features, k)
    seconds = time.perf_counter() - start
    size = {"images": len(features), "dim": features.shape[1]}
    return {"search": name, **size, "seconds": seconds, "mib": peak_mib()}, graph


def table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        right = row.get("right")
        return [
            row["search"],
            f"{row['images']} x {row['dim']}",
            f"{row['seconds']:.1f} s",
            f"{row['mib']:.0f}",
            f"{100 * sum(right) / len(right):.3f}% (n {len(right)})" if right else "",
        ]

    header = ["search", "features", "graph", "memory, MiB", "spread labels that are right"]
    return markdown(header, map(cells, rows))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="output folder of a pretraining")
    parser.add_argument("--draws", type=int, default=20, help="label draws")
    arguments, overrides = parser.parse_known_args()
    rows = measure(arguments.run, arguments.draws, overrides)
    print(table(rows))
    if arguments.json:
        write_report(arguments.json, kind="neighbours", settings=overrides, results=rows)


if __name__ == "__main__":
    main()
