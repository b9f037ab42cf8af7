"""SimCLR on one page: pretrain without labels, probe with ten per class, look at neighbours.

    python examples/first_look.py                     # MNIST, minutes on a laptop
    python examples/first_look.py --data synthetic --images 3000 --epochs 1

It uses the parts of simclr directly, without Hydra; `simclr.Learner` is all of it as one object.
Figures go to --out.
"""

import argparse
from pathlib import Path

import lightning as L
import torch

from simclr.config.augment import AugmentConfig
from simclr.config.schema import EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.labels import draw_labels
from simclr.data.sources import SOURCES, load_source
from simclr.evaluation.probe import FeatureNorm, softmax_regression
from simclr.methods.simclr import SimCLR
from simclr.models.classifier import extract_features
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.reports.figures import (
    confusion_figure,
    embedding_figure,
    neighbours_figure,
    views_figure,
)
from simclr.reports.mosaic import neighbours, one_per_class
from simclr.views import build_views

parser = argparse.ArgumentParser(description="Pretrain, probe, look at neighbours.")
parser.add_argument("--data", choices=SOURCES, default="mnist")
parser.add_argument("--root", type=Path, default=Path("data"))
parser.add_argument("--images", type=int, help="use only so many training images")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--out", type=Path, default=Path("outputs/first_look"))
options = parser.parse_args()
L.seed_everything(0, verbose=False)
options.out.mkdir(parents=True, exist_ok=True)

# Images without their labels, and two random views of each.
source = load_source(options.data, options.root, train_size=options.images or 12_000)
train = source.train.sample(options.images)
test = source.test or source.train
views = build_views(
    AugmentConfig(
        rotation=20, scale=[0.7, 1.2], aspect=0.2, shear=0.2, shift=0.1, elastic=1.5, thickness=0.7
    )
)
data = ContrastiveDataModule(train.images, views, batch_size=256)
view0, view1 = data.example()

# An encoder to keep, a head to throw away, and the contrastive loss on the head's output.
encoder = build_encoder(EncoderConfig(), in_channels=train.images.shape[1])
model = SimCLR(
    encoder,
    build_head(HeadConfig(), encoder.dim),
    LossConfig(temperature=0.5),
    OptimizerConfig(),
)
trainer = L.Trainer(
    max_epochs=options.epochs,
    logger=False,
    enable_checkpointing=False,
    enable_model_summary=False,
    use_distributed_sampler=False,
)
trainer.fit(model, data)

# A linear classifier on the frozen representations of ten labelled images per class.
train_features = extract_features(encoder, train.images)
test_features = extract_features(encoder, test.images)
norm = FeatureNorm.of(train_features)
chosen = draw_labels(train.labels, source.classes, per_class=10, seed=0)
weight, bias = softmax_regression(
    norm(train_features[chosen]), train.labels[chosen], len(source.classes), l2=3e-3
)
predicted = (norm(test_features) @ weight.T + bias).argmax(1)
accuracy = (predicted == test.labels).float().mean()
print(f"{accuracy:.1%} of {len(test.labels)} test images right, with {len(chosen)} labels")

# What the encoder finds similar, and what the classifier confuses.
few = test.sample(2_000)
few_features = extract_features(encoder, few.images)
confusion = torch.zeros(len(source.classes), len(source.classes), dtype=torch.int64)
confusion.index_put_((test.labels, predicted), torch.tensor(1), accumulate=True)
figures = {
    "views": views_figure(view0[:10], [view1[:10]]),
    "neighbours": neighbours_figure(
        *neighbours(few.images, few.labels, few_features, one_per_class(few.labels))
    ),
    "embedding": embedding_figure(few_features, few.labels, source.classes),
    "confusion": confusion_figure(confusion, source.classes),
}
for name, figure in figures.items():
    figure.savefig(options.out / f"{name}.png")
print(f"Figures: {options.out}")
