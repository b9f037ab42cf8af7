"""The stages of pretraining: how long each is, and which encoder is kept."""

from pathlib import Path

import pytest
import torch
from command_line import configured, do
from safetensors.torch import load_file

from simclr import load_classifier, load_encoder
from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.methods.simclr import SimCLR
from simclr.methods.stages import count_views, stages


@pytest.mark.parametrize(
    ("images", "epochs"), [(55_000, (4, 2)), (20_000, (11, 6)), (500, (567, 400))]
)
def test_few_images_are_seen_more_often(images: int, epochs: tuple[int, int]) -> None:
    """MNIST's 55 000 give the four and two epochs that they always had."""
    assert tuple(stage.max_epochs for stage in stages(configured(), images)) == epochs


def test_a_number_of_epochs_counts_where_it_is_given() -> None:
    config = configured("trainer.max_epochs=3", "clustering.max_epochs=0")
    assert [stage.max_epochs for stage in stages(config, 500)] == [3]


def test_a_student_sees_one_view_of_each_image() -> None:
    config = configured("trainer.max_epochs=3", "clustering.max_epochs=2", "student.max_epochs=5")
    assert count_views(config, 512) == 2 * 3 * 512 + 2 * 2 * 512 + 5 * 512


def test_a_second_stage_that_does_harm_is_undone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate of 1 destroys what eight epochs made of the encoder."""
    stages = ("trainer.max_epochs=8", "clustering.max_epochs=2", "clustering.lr=1")
    folder = do(tmp_path / "run", "task=pretrain", *stages)
    before = load_file(folder / "checkpoints" / "before_clustering.safetensors")
    kept = load_file(folder / "encoder.safetensors")
    assert all(before[name].equal(kept[name]) for name in before)
    assert "the encoder before it is kept" in capsys.readouterr().out


def test_the_encoder_of_a_run_with_a_student_is_the_larger_one(tmp_path: Path) -> None:
    stages = ("trainer.max_epochs=1", "clustering.max_epochs=1", "student.max_epochs=1")
    larger = ("student.channels=[8,16,32]", "student.convs_per_stage=2", "student.batch_size=32")
    kept = "data.val_images=0"  # which would undo what seven steps make of a student
    folder = do(tmp_path / "run", "labels.draws=1", "methods=[linear_eval]", kept, *stages, *larger)
    config = EncoderConfig(name="cnn", channels=[8, 16, 32], convs_per_stage=2)
    for encoder in (
        load_encoder(folder / "encoder.safetensors"),
        load_classifier(folder / "classifier.safetensors").encoder,
        SimCLR.load_from_checkpoint(folder / "checkpoints" / "last.ckpt").encoder,
    ):
        assert encoder.config == config
        assert encoder.eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 32)


def test_a_student_that_does_not_fit_the_images_is_refused_before_training(tmp_path: Path) -> None:
    stages = ("clustering.max_epochs=1", "student.max_epochs=1")
    deep = ("data.image_size=12", "encoder.channels=[4,8]", "student.channels=[4,8,8,8,8,8]")
    with pytest.raises(SimclrError, match=r"^student\.channels=\[4, 8, 8, 8, 8, 8\]: too many"):
        do(tmp_path / "run", "task=pretrain", *stages, *deep)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_student_that_diverges_says_which_key_to_lower(tmp_path: Path) -> None:
    stages = ("clustering.max_epochs=1", "student.max_epochs=2", "student.channels=[4,8]")
    with pytest.raises(SimclrError, match=r"choose a lower student\.lr") as refused:
        do(tmp_path / "run", "task=pretrain", *stages, "student.batch_size=32", "student.lr=1e38")
    assert "temperature" not in str(refused.value)


def test_a_stage_says_its_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    do(tmp_path / "run", "task=pretrain", "trainer.max_epochs=2", "clustering.max_epochs=1")
    said = capsys.readouterr().out
    assert " images, 2 epochs, " in said
    assert " images, 1 epoch, " in said
