import csv
import gzip
import json
import math
import statistics
import struct
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from command_line import TINY, configured, do
from PIL import Image
from safetensors.torch import load_file
from scipy.stats import t as student_t
from torch import Tensor, nn

from simclr.config.schema import DataConfig, EncoderConfig
from simclr.data.images import LabelledImages
from simclr.data.splits import Splits, load_splits
from simclr.data.synthetic import draw_digits, draw_source
from simclr.evaluation.calibration import calibration_error
from simclr.methods.base import Features, Job
from simclr.methods.label_spread import pseudo_labels
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.weights import load_classifier, load_encoder, save_encoder
from simclr.training.callbacks.progress import Progress

METHODS = ["linear_eval", "finetune", "supervised", "random_encoder"]
TASKS = ["linear_eval", "finetune", "supervised", "label_spread", "self_train"]
KEYS = {"task", "seed", "metrics", "labels", "n_test", "timing", "config", "versions", "git"}


def results(folder: Path) -> dict[str, Any]:
    """results.json, refusing what strict JSON has no words for."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in {folder}")

    read: dict[str, Any] = json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    return read


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results.csv").open(newline="")))


def summary(folder: Path) -> dict[str, Any]:
    methods: dict[str, Any] = json.loads((folder / "summary.json").read_text())["methods"]
    return methods


def metrics(folder: Path) -> dict[str, float]:
    """What must not depend on the time a run took."""
    found: dict[str, float] = results(folder)["metrics"]
    return {name: value for name, value in found.items() if "seconds" not in name}


def given(folder: Path) -> str:
    return f"encoder.weights={folder}/encoder.safetensors"


# results.json


@pytest.mark.parametrize("task", TASKS)
def test_results_of_a_classifier(
    task: str, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [] if task == "supervised" else [given(pretrained)]
    result = results(do(tmp_path, f"task={task}", "labels.seed=3", *weights))
    said = capsys.readouterr().out
    assert result.keys() >= KEYS
    assert result["task"] == task
    assert result["seed"] == 0
    for name in ("test_accuracy", "val_accuracy", "test_ece"):
        assert 0 <= result["metrics"][name] <= 1
        assert f"{name}: {result['metrics'][name]:.4f}\n" in said
    assert result["n_test"] == 60
    assert result["labels"]["per_class"] == 2
    assert result["labels"]["seed"] == 3
    assert len(result["labels"]["sha256"]) == 64
    assert result["timing"]["fit_seconds"] > 0
    assert result["timing"]["views_per_second"] > 0
    assert result["config"]["data"]["batch_size"] == 32
    assert torch.__version__.startswith(result["versions"]["torch"])


def test_a_classifier_file_is_as_confident_as_its_result_says(
    pretrained: Path, tmp_path: Path
) -> None:
    folder = do(tmp_path, "task=linear_eval", given(pretrained))
    result = results(folder)
    test = load_splits(DataConfig(**result["config"]["data"])).test
    assert test is not None
    with torch.inference_mode():
        logits = load_classifier(folder / "classifier.safetensors")(test.images / 255)
    assert calibration_error(logits, test.labels) == pytest.approx(result["metrics"]["test_ece"])
    accuracy = (logits.argmax(1) == test.labels).float().mean()
    assert float(accuracy) == pytest.approx(result["metrics"]["test_accuracy"])


def test_finetuning_starts_at_the_linear_classifier(pretrained: Path, tmp_path: Path) -> None:
    given_weights = (given(pretrained), "trainer.precision=32-true")
    linear = metrics(do(tmp_path / "linear", "task=linear_eval", *given_weights))
    still = ("optimizer.lr=0", "finetune.encoder_lr=0")
    unmoved = metrics(do(tmp_path / "finetune", "task=finetune", *given_weights, *still))
    for name in ("val_accuracy", "test_accuracy"):
        assert unmoved[name] == linear[name]


def test_results_of_a_pretraining(pretrained: Path) -> None:
    result = results(pretrained)
    assert result.keys() >= KEYS
    assert result["task"] == "pretrain"
    assert math.isfinite(result["metrics"]["loss"])
    assert 0 <= result["metrics"]["val_accuracy"] <= 1
    assert result["n_test"] == 0
    assert (pretrained / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("task", ["pretrain", "self_train"])
def test_batch_norm_knows_whole_images(task: str, pretrained: Path, tmp_path: Path) -> None:
    """Though training saw views of them."""
    if task == "pretrain":
        encoder = load_encoder(pretrained / "encoder.safetensors")
    else:
        trained = do(tmp_path, "task=self_train", given(pretrained))
        encoder = load_classifier(trained / "classifier.safetensors").encoder
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    data = DataConfig(**results(pretrained)["config"]["data"])
    measure_batch_norm(encoder, load_splits(data).unlabelled)
    for name, buffer in encoder.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_views_of_the_second_stage_are_as_mild_as_asked_for(tmp_path: Path) -> None:
    stage = ("task=pretrain", "clustering.max_epochs=1", "augment.stroke=0")
    strong = metrics(do(tmp_path / "strong", *stage, "clustering.augment_strength=1"))
    none = metrics(do(tmp_path / "none", *stage, "clustering.augment_strength=0"))
    assert strong["contrastive_accuracy"] < none["contrastive_accuracy"] == 1


def test_results_of_a_benchmark(benchmarked: Path) -> None:
    result = results(benchmarked)
    assert result.keys() >= KEYS
    assert result["task"] == "benchmark"
    assert result["n_test"] == 60
    assert result["metrics"]["pretrain_seconds"] > 0
    methods = summary(benchmarked)
    assert result["metrics"]["test_accuracy"] == methods["linear_eval"]["mean"]
    for method in METHODS[1:]:
        assert result["metrics"][f"{method}_test_accuracy"] == methods[method]["mean"]


# The tables of a benchmark


def test_a_row_for_each_method_seed_and_draw(benchmarked: Path) -> None:
    found = [(row["method"], row["pretrain_seed"], row["label_seed"]) for row in rows(benchmarked)]
    expected = [(m, seed, draw) for m in METHODS for seed in "01" for draw in "01"]
    assert sorted(found) == sorted(expected)


def test_a_draw_is_the_same_images_for_every_method(benchmarked: Path) -> None:
    drawn: dict[str, set[str]] = {}
    for row in rows(benchmarked):
        drawn.setdefault(row["label_seed"], set()).add(row["labels_sha256"])
    assert [len(hashes) for hashes in drawn.values()] == [1, 1]
    assert drawn["0"] != drawn["1"]


def test_the_summary_follows_from_the_rows(benchmarked: Path) -> None:
    methods = summary(benchmarked)
    assert list(methods) == METHODS
    for method, own in methods.items():
        scores = [float(r["test_accuracy"]) for r in rows(benchmarked) if r["method"] == method]
        mean, sd = statistics.mean(scores), statistics.stdev(scores)
        of_seed: dict[str, list[float]] = {}
        for r in rows(benchmarked):
            if r["method"] == method:
                of_seed.setdefault(r["pretrain_seed"], []).append(float(r["test_accuracy"]))
        one, other = (statistics.mean(scores) for scores in of_seed.values())
        half = student_t.ppf(0.975, df=1) * abs(one - other) / 2
        width = half / (mean * (1 - mean))  # on the logit scale
        assert own["n"] == len(scores) == 4
        assert own["mean"] == pytest.approx(mean, abs=1e-12)
        assert own["sd"] == pytest.approx(sd, abs=1e-12)
        assert own["seeds"] == 2
        expected = [1 / (1 + (1 - mean) / mean * math.exp(move)) for move in (width, -width)]
        assert own["ci95"] == pytest.approx(expected, abs=1e-12)


def test_the_benchmark_scores_as_each_task_does_alone(benchmarked: Path, tmp_path: Path) -> None:
    """From the same encoder; the random one is the encoder as pretraining found it."""
    L.seed_everything(1, verbose=False)
    config = results(benchmarked)["config"]
    encoder = EncoderConfig(**config["encoder"])
    save_encoder(tmp_path / "encoder.safetensors", build_encoder(encoder, 1), 1)

    def schedule(method: str) -> list[str]:
        keys = {"max_epochs": "trainer", "batch_size": "data", "lr": "optimizer"}
        return [f"{group}.{key}={config[method][key]}" for key, group in keys.items()]

    for method, *settings in (
        ("linear_eval", "task=linear_eval", given(benchmarked / "seed_1")),
        ("finetune", "task=finetune", given(benchmarked / "seed_1"), *schedule("finetune")),
        ("supervised", "task=supervised", *schedule("supervised")),
        ("random_encoder", "task=linear_eval", given(tmp_path)),
    ):
        alone = results(do(tmp_path / method, "seed=1", "labels.seed=1", *settings))["metrics"]
        (row,) = (
            row
            for row in rows(benchmarked)
            if (row["method"], row["pretrain_seed"], row["label_seed"]) == (method, "1", "1")
        )
        assert float(row["test_accuracy"]) == alone["test_accuracy"], method
        assert float(row["val_accuracy"]) == alone["val_accuracy"], method


# Methods that use the unlabelled images, too


def test_a_benchmark_of_other_methods_scores_as_each_task_does_alone(
    pretrained: Path, tmp_path: Path
) -> None:
    methods = ["linear_eval", "label_spread", "self_train"]
    made = do(tmp_path / "all", "methods=[linear_eval,label_spread,self_train]")
    assert list(summary(made)) == methods
    assert [row["method"] for row in rows(made)] == [m for m in methods for _ in range(2)]
    schedule = ("trainer.max_epochs=2", "data.batch_size=32", "optimizer.lr=2e-3")
    for method in methods:
        own = schedule if method == "self_train" else ()
        alone = metrics(do(tmp_path / method, f"task={method}", given(pretrained), *own))
        (row,) = (r for r in rows(made) if (r["method"], r["label_seed"]) == (method, "0"))
        assert float(row["test_accuracy"]) == alone["test_accuracy"], method
        assert float(row["val_accuracy"]) == alone["val_accuracy"], method
    assert metrics(made)["label_spread_test_accuracy"] == summary(made)["label_spread"]["mean"]


def test_the_images_of_a_draw_keep_their_labels() -> None:
    """Of a data set that has more unlabelled images than labelled ones; features mean little."""
    digits = draw_digits(250, 28, torch.Generator().manual_seed(0))
    train = digits.select(torch.arange(50, 250))
    splits = Splits(digits.images, train, torch.arange(200), None, None, tuple("0123456789"))
    job = Job(configured(*TINY, "labels.per_class=10"), splits, Path(), Progress(0))
    features = Features(build_encoder(job.config.encoder, 1), job)
    for seed in range(5):
        drawn = splits.draw(per_class=10, seed=seed)
        labels = pseudo_labels(job, features, seed)
        assert torch.equal(labels[50 + drawn], train.labels[drawn])
        assert len(labels) == 250


def test_neighbours_are_alike_in_representations_and_in_inner_features() -> None:
    """A grid of 3x3 hides how the first rows differ; representations know nothing of the last."""

    class FirstRows(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0, :2].flatten(1)

    kinds = torch.arange(40) % 4
    images = torch.zeros(40, 1, 6, 6, dtype=torch.uint8)
    detail = torch.tensor([[255, 0], [0, 255]], dtype=torch.uint8).tile(1, 3)
    images[:, 0, :2] = torch.where((kinds < 2)[:, None, None], detail, 255 - detail)
    images[kinds % 2 == 1, 0, 4:] = 255
    splits = Splits(images, LabelledImages(images, kinds), torch.arange(40), None, None, ("a", "b"))
    job = Job(configured(*TINY, "label_spread.neighbours=5"), splits, Path(), Progress(0))
    torch.manual_seed(0)
    encoder = Encoder(
        EncoderConfig(), nn.Sequential(nn.Conv2d(1, 1, 1), FirstRows()), 12, inner="0"
    )
    neighbours = torch.from_numpy(Features(encoder, job).graph.toarray()) > 1e-6
    assert neighbours.any(1).all()
    assert not neighbours[kinds[:, None] != kinds].any()


# Seeds


def test_the_same_seed_gives_the_same_metrics_to_the_bit(benchmarked: Path, tmp_path: Path) -> None:
    again = do(tmp_path, "pretrain_seeds=[0,1]")
    assert metrics(again) == metrics(benchmarked)
    files = ("seed_0/encoder.safetensors", "seed_1/encoder.safetensors", "classifier.safetensors")
    for name in files:
        assert (again / name).read_bytes() == (benchmarked / name).read_bytes()


def test_another_seed_gives_others(pretrained: Path, benchmarked: Path, tmp_path: Path) -> None:
    """And a benchmark's pretrainings are those of its seeds."""
    other = do(tmp_path, "task=pretrain", "seed=1")
    assert metrics(other)["loss"] != metrics(pretrained)["loss"]
    one, two = (load_file(folder / "encoder.safetensors") for folder in (pretrained, other))
    assert all(not torch.equal(one[name], two[name]) for name in one if "weight" in name)
    for alone, seed in ((pretrained, 0), (other, 1)):
        within = benchmarked / f"seed_{seed}" / "encoder.safetensors"
        assert within.read_bytes() == (alone / "encoder.safetensors").read_bytes()


# Encoders and classifiers


@pytest.mark.parametrize("task", ["linear_eval", "label_spread"])
def test_a_frozen_encoder_is_left_as_it_was(task: str, pretrained: Path, tmp_path: Path) -> None:
    """Weights and batch norm's running statistics, to the bit."""
    folder = do(tmp_path, f"task={task}", given(pretrained))
    before = load_file(pretrained / "encoder.safetensors")
    after = load_classifier(folder / "classifier.safetensors").encoder.state_dict()
    assert any("running_var" in name for name in before)
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]), name


def test_finetune_moves_every_weight_of_the_encoder(pretrained: Path, tmp_path: Path) -> None:
    folder = do(tmp_path, "task=finetune", given(pretrained))
    before = load_file(pretrained / "encoder.safetensors")
    after = load_classifier(folder / "classifier.safetensors").encoder.state_dict()
    for name in before:
        statistic = name.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
        assert torch.equal(before[name], after[name]) is statistic, name


@pytest.mark.parametrize("task", TASKS)
def test_the_saved_classifier_has_the_accuracy_that_was_reported(
    task: str, pretrained: Path, tmp_path: Path
) -> None:
    weights = [] if task == "supervised" else [given(pretrained)]
    folder = do(tmp_path, f"task={task}", "trainer.precision=32-true", *weights)
    test = draw_source(train_size=300, test_size=60, image_size=28, seed=0).test
    assert test is not None
    classifier = load_classifier(folder / "classifier.safetensors")
    with torch.inference_mode():
        right = classifier(test.images.float() / 255).argmax(1) == test.labels
    assert float(right.float().mean()) == pytest.approx(metrics(folder)["test_accuracy"], abs=1e-6)


def test_pretraining_may_start_from_weights(pretrained: Path, tmp_path: Path) -> None:
    folder = do(tmp_path, "task=pretrain", given(pretrained), "seed=9", "optimizer.lr=1e-12")
    before = load_encoder(pretrained / "encoder.safetensors")
    after = load_encoder(folder / "encoder.safetensors")
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("task", ["finetune", "supervised"])
def test_common_keys_mean_the_classifier_where_it_is_the_task(
    task: str, pretrained: Path, tmp_path: Path
) -> None:
    """10 labelled images in batches of 5 for 3 epochs; the linear layer learns nothing at lr 0."""
    weights = [] if task == "supervised" else [given(pretrained)]
    common = (f"task={task}", "labels.per_class=1", "data.batch_size=5", "optimizer.lr=0", *weights)
    logged = ("logger=csv", "trainer.log_every_n_steps=1")
    three = do(tmp_path / "three", *common, *logged, "trainer.max_epochs=3")
    with (three / "csv" / "metrics.csv").open(newline="") as file:
        losses = [row["training/loss"] for row in csv.DictReader(file) if row["training/loss"]]
    assert len(losses) == 3 * 10 // 5

    one = do(tmp_path / "one", *common, "trainer.max_epochs=1")
    longer, shorter = (
        load_classifier(folder / "classifier.safetensors") for folder in (three, one)
    )
    assert torch.equal(longer.linear.weight, shorter.linear.weight)
    for name, parameter in longer.encoder.named_parameters():
        assert not torch.equal(parameter, shorter.encoder.get_parameter(name)), name


# Data of one's own


def write_idx(path: Path, values: Tensor) -> None:
    """Raw, or gzip-compressed if the name ends in .gz."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    content = header + values.to(torch.uint8).numpy().tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_idx_files_of_any_size_and_classes(tmp_path: Path) -> None:
    """Images of 20x24 pixels in the three classes 3, 5 and 8; two of the files compressed."""
    generator = torch.Generator().manual_seed(0)
    for part, count, end in (("train", 90, ""), ("t10k", 30, ".gz")):
        labels = torch.tensor([3, 5, 8])[torch.arange(count) % 3]
        images = torch.randint(0, 256, (count, 20, 24), generator=generator)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{end}", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{end}", labels)
    folder = do(
        tmp_path / "run",
        *("data.name=idx", f"data.root={tmp_path}", "data.val_images=20", "labels.draws=1"),
        *("data.train_images=null", "data.test_images=null"),
    )
    assert results(folder)["n_test"] == 30
    classifier = load_classifier(folder / "classifier.safetensors")
    assert classifier(torch.zeros(1, 1, 20, 24)).shape == (1, 3)


def pictures(root: Path) -> list[str]:
    """Write unlabelled and labelled ones of several sizes; return the settings for them."""
    digits = draw_digits(60, 30, torch.Generator().manual_seed(0))
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        name = f"class_{int(label) % 2}"
        folder = (root / "unlabeled", root / "train" / name, root / "test" / name)[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image[0].numpy()).convert("RGB").resize((20 + number, 30))
        picture.save(folder / f"{number}.png")
    return [
        *("data.name=folder", f"data.root={root}", "data.image_size=16", "data.channels=3"),
        *("data.train_images=null", "data.test_images=null", "data.val_images=0"),
        *("augment.hue=0.1", "labels.draws=1"),
    ]


def test_own_images_in_folders(tmp_path: Path) -> None:
    """In colour, without validation images."""
    made = do(tmp_path / "run", *pictures(tmp_path / "pictures"))
    assert results(made)["n_test"] == 20
    assert "val_accuracy" not in results(made)["metrics"]
    classifier = load_classifier(made / "classifier.safetensors")
    assert classifier(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def test_images_that_stay_in_their_files_help_few_labels_just_as_well(tmp_path: Path) -> None:
    methods = "methods=[linear_eval,label_spread,self_train]"
    folder = pictures(tmp_path / "pictures")
    made = do(tmp_path / "streamed", *folder, methods, "data.stream=always")
    assert [summary(made)[method]["n"] for method in ("label_spread", "self_train")] == [1, 1]
    assert metrics(made) == metrics(do(tmp_path / "held", *folder, methods, "data.stream=never"))
