"""What a run shows in TensorBoard, read back from its event files."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import do
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_START_INFO_TAG,
    parse_session_start_info_plugin_data,
)

from simclr.training.callbacks.monitors import similarities


def events(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder))
    read.Reload()
    return read


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tensorboard/ of a tiny benchmark."""
    settings = ("logger=tensorboard", "labels.draws=1", "trainer.log_every_n_steps=2")
    return do(tmp_path_factory.mktemp("watched"), *settings, "loss.temperature=0.3") / "tensorboard"


@pytest.fixture(scope="module")
def main(watched: Path) -> EventAccumulator:
    return events(watched / "benchmark")


def test_curves_of_the_pretraining(main: EventAccumulator) -> None:
    """It has 7 steps, is logged every 2 and probed every 5 and at the end."""
    steps = {tag: [event.step for event in main.Scalars(tag)] for tag in main.Tags()["scalars"]}
    for name in ("loss", "contrastive_accuracy", "learning_rate", "views_per_second"):
        assert steps.pop(f"training/{name}") == [2, 4, 6]
    for tag in (
        *("probe/linear_accuracy", "probe/knn_accuracy"),
        *("projection/alignment", "projection/uniformity", "projection/sd"),
        *("representation/effective_rank", "representation/sd"),
    ):
        assert steps.pop(tag) == ([5] if tag.startswith("projection") else [5, 7])
        assert math.isfinite(main.Scalars(tag)[0].value)
    assert not steps, "single dots"
    assert all(event.value > 0 for event in main.Scalars("training/views_per_second"))
    assert sorted(main.Tags()["histograms"]) == ["similarity/negative", "similarity/positive"]


@pytest.mark.parametrize(("name", "pairs"), [("positive", 32), ("negative", 32 * 31)])
def test_histograms_hold_every_similarity(main: EventAccumulator, name: str, pairs: int) -> None:
    (event,) = main.Histograms(f"similarity/{name}")
    found = event.histogram_value
    assert found.num == sum(found.bucket) == pairs
    assert -1 <= found.min <= found.sum / found.num <= found.max <= 1


def test_pictures(main: EventAccumulator) -> None:
    images = {tag: [event.step for event in main.Images(tag)] for tag in main.Tags()["images"]}
    assert images.pop("samples/views") == [0]
    assert images.pop("samples/nearest_neighbours") == [0, 7]
    names = (
        *("accuracy", "views", "neighbours", "confusion", "reliability"),
        *("mistakes", "embedding", "pretraining"),
    )
    assert images == {f"figures/{name}": [0] for name in names}


def test_the_projector_has_thumbnails_and_labels(watched: Path) -> None:
    (sprite,) = watched.rglob("sprite.png")
    assert len((sprite.parent / "tensors.tsv").read_text().splitlines()) == 50
    assert set((sprite.parent / "metadata.tsv").read_text().split()) == set("0123456789")
    assert (watched / "benchmark" / "projector_config.pbtxt").exists()


@pytest.mark.parametrize("stage", ["finetune_draw_0", "supervised_draw_0"])
def test_every_other_training_has_curves_of_its_own(watched: Path, stage: str) -> None:
    tags = events(watched / stage).Tags()["scalars"]
    assert set(tags) == {
        f"training/{name}" for name in ("loss", "learning_rate", "views_per_second")
    }


def test_hparams_hold_what_was_set_and_the_final_metrics(main: EventAccumulator) -> None:
    """Not the experiment, so that TensorBoard makes its table from all runs there are."""
    tags = main.PluginTagToContent("hparams")
    assert EXPERIMENT_TAG not in tags
    settings: Any = parse_session_start_info_plugin_data(tags[SESSION_START_INFO_TAG]).hparams
    assert settings["loss.temperature"].number_value == pytest.approx(0.3)
    assert settings["task"].string_value == "benchmark"
    assert settings["encoder.channels"].string_value == "[4, 8, 8, 16]"
    assert "clustering.weight" not in settings
    assert "output_dir" not in settings
    others = {f"→ {name}" for name in ("finetune test accuracy", "supervised test ece")}
    assert others <= set(settings)
    assert all(0 <= settings[name].number_value <= 1 for name in others)
    columns = sorted(settings)  # as TensorBoard does
    assert columns[:2] == ["Accuracy, test", "Accuracy, val"]
    assert min(others) > "trainer.steps"


def test_the_table_is_among_the_texts(main: EventAccumulator) -> None:
    (event,) = main.Tensors("result/text_summary")
    assert "| linear_eval " in event.tensor_proto.string_val[0].decode()


def test_the_second_stage_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    length = ("trainer.max_epochs=1", "clustering.max_epochs=1", "clustering.batch_size=32")
    folder = do(
        tmp_path, "task=pretrain", "logger=tensorboard", "trainer.log_every_n_steps=2", *length
    )
    read = events(folder / "tensorboard" / "pretrain")
    losses = [event.step for event in read.Scalars("training/loss")]
    first = read.Scalars("training/cluster_information")[0].step
    probes = [event.step for event in read.Scalars("probe/linear_accuracy")]
    assert losses == sorted(set(losses))
    assert first > 7
    assert {7, probes[-1]} <= set(probes)
    assert probes[-1] == 14
    assert [path.name for path in (folder / "tensorboard").iterdir()] == ["pretrain"]


def test_similarities() -> None:
    z0, z1 = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    positive, negative = similarities(z0, z1)
    every = torch.stack([torch.cosine_similarity(z0, z1.roll(-k, 0)) for k in range(5)], dim=1)
    torch.testing.assert_close(positive, every[:, 0])
    torch.testing.assert_close(negative.sort().values, every[:, 1:].flatten().sort().values)
