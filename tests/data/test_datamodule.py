"""Batches of views and of labelled images: what training and evaluation get to see."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from simclr.config.augment import AugmentConfig
from simclr.data.datamodule import (
    ContrastiveDataModule,
    LabelledDataModule,
    SelfTrainDataModule,
    to_float,
)
from simclr.data.images import LabelledImages
from simclr.data.synthetic import draw_digits
from simclr.errors import SimclrError
from simclr.views import Views, build_views

AUGMENT = AugmentConfig(rotation=20, shift=0.1, thickness=0.5, noise=0.05)


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return draw_digits(50, 28, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def views() -> Views:
    return build_views(AUGMENT)


def on_rank(data: Any, rank: int, world_size: int) -> Any:
    """As it is in one of several processes."""
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, strategy=strategy)
    return data


def seen(data: Any, batches: Iterable[Any]) -> list[tuple[Tensor, Tensor]]:
    return [data.on_after_batch_transfer(batch, 0) for batch in batches]


def test_an_example_without_a_trainer(digits: LabelledImages, views: Views) -> None:
    view0, view1 = ContrastiveDataModule(digits.images, views, batch_size=16).example()
    for view in (view0, view1):
        assert view.shape == (16, 1, 28, 28)
        assert view.dtype == torch.float32
        assert view.min() >= 0
        assert view.max() <= 1
        assert view.std() > 0.1
    assert (view0 != view1).flatten(1).any(1).all()


def test_both_views_are_of_the_same_image(digits: LabelledImages) -> None:
    view0, view1 = ContrastiveDataModule(digits.images, build_views(AugmentConfig()), 16).example()
    assert torch.equal(view0, view1)
    originals = {image.numpy().tobytes() for image in digits.images / 255}
    assert {image.numpy().tobytes() for image in view0} <= originals
    assert len({image.numpy().tobytes() for image in view0}) == 16


def test_the_seed_decides_the_views(digits: LabelledImages, views: Views) -> None:
    first, _ = ContrastiveDataModule(digits.images, views, 16, seed=0).example()
    torch.manual_seed(99)
    again, _ = ContrastiveDataModule(digits.images, views, 16, seed=0).example()
    other, _ = ContrastiveDataModule(digits.images, views, 16, seed=1).example()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_another_epoch_has_other_views(digits: LabelledImages) -> None:
    """Of one and the same image, so that it is not only the order that differs."""
    data = ContrastiveDataModule(digits.images[:1], build_views(AUGMENT), batch_size=1)
    batches = data.train_dataloader()
    ((first, _),) = seen(data, batches)
    batches.sampler.set_epoch(1)
    ((second, _),) = seen(data, batches)
    assert not torch.equal(first, second)


def test_an_example_is_the_first_batch_of_training(digits: LabelledImages, views: Views) -> None:
    class Keep(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.batches: list[tuple[Tensor, Tensor]] = []

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            self.batches.append(batch)

        def configure_optimizers(self) -> None:
            """None is needed."""

    module = Keep()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = ContrastiveDataModule(digits.images, views, batch_size=16)
    example = data.example()
    trainer.fit(module, data)
    assert len(module.batches) == 2 * (50 // 16)
    assert torch.equal(module.batches[0][0], example[0])
    assert torch.equal(module.batches[0][1], example[1])
    assert not torch.equal(module.batches[3][0], example[0])  # Lightning told it the epoch


@pytest.mark.parametrize("world_size", [2, 4])
def test_views_do_not_depend_on_the_number_of_processes(
    digits: LabelledImages, views: Views, world_size: int
) -> None:
    def make() -> ContrastiveDataModule:
        return ContrastiveDataModule(digits.images, views, batch_size=16, seed=3)

    alone = make()
    whole = seen(alone, alone.train_dataloader())
    ranks = [on_rank(make(), rank, world_size) for rank in range(world_size)]
    shares = [seen(data, data.train_dataloader()) for data in ranks]
    for batch, expected in enumerate(whole):
        for view in (0, 1):
            parts = [share[batch][view] for share in shares]
            assert {len(part) for part in parts} == {16 // world_size}
            together = torch.stack(parts, dim=1).flatten(0, 1)
            torch.testing.assert_close(together, expected[view])


def test_a_batch_larger_than_the_data(digits: LabelledImages, views: Views) -> None:
    ContrastiveDataModule(digits.images, views, batch_size=50)
    with pytest.raises(SimclrError, match=r"data\.batch_size=51: there are only 50 images"):
        ContrastiveDataModule(digits.images, views, batch_size=51)


def test_a_batch_that_processes_cannot_share(digits: LabelledImages, views: Views) -> None:
    data = on_rank(ContrastiveDataModule(digits.images, views, batch_size=16), 0, 3)
    with pytest.raises(SimclrError, match=r"data\.batch_size=16: .* multiple of .* 3 processes"):
        data.train_dataloader()


def labelled(
    digits: LabelledImages, views: Views | None = None, batch_size: int = 10
) -> LabelledDataModule:
    train = digits.select(torch.arange(20))
    rest = LabelledImages(digits.images[20:], digits.labels[20:])
    return LabelledDataModule(train, rest.sample(13), rest, batch_size, seed=5, views=views)


def test_labelled_training_images_come_as_views(digits: LabelledImages, views: Views) -> None:
    data = labelled(digits, views)
    (images, labels), (more, other_labels) = seen(data, data.train_dataloader())
    assert images.shape == more.shape == (10, 1, 28, 28)
    counts = torch.bincount(torch.cat((labels, other_labels)), minlength=10)
    assert torch.equal(counts, torch.bincount(digits.labels[:20], minlength=10))
    plain = labelled(digits)
    ((originals, same_labels), _) = seen(plain, plain.train_dataloader())
    assert torch.equal(labels, same_labels)
    assert (images != originals).flatten(1).any(1).all()
    assert images.min() >= 0
    assert images.max() <= 1


def test_labelled_images_without_views(digits: LabelledImages) -> None:
    data = labelled(digits, batch_size=20)
    ((images, labels),) = seen(data, data.train_dataloader())
    pairs = {(image.numpy().tobytes(), int(y)) for image, y in zip(images, labels, strict=True)}
    assert pairs == {
        (image.numpy().tobytes(), int(y))
        for image, y in zip(digits.images[:20] / 255, digits.labels[:20], strict=True)
    }


def test_evaluation_sees_each_image_once_as_it_is(digits: LabelledImages, views: Views) -> None:
    data = labelled(digits, views)
    for part, loader in ((data.val, data.val_dataloader()), (data.test, data.test_dataloader())):
        assert part is not None
        batches = seen(data, loader)
        assert torch.equal(torch.cat([images for images, _ in batches]), part.images / 255)
        assert torch.equal(torch.cat([labels for _, labels in batches]), part.labels)


def test_parts_that_are_not_there(digits: LabelledImages) -> None:
    data = LabelledDataModule(digits, None, None, batch_size=10)
    assert list(data.val_dataloader()) == []
    assert list(data.test_dataloader()) == []


def test_fewer_labels_than_a_batch_are_one_batch(digits: LabelledImages) -> None:
    batches = labelled(digits, batch_size=1_000).train_dataloader()
    assert len(batches) == 1
    assert len(next(iter(batches))[0]) == 20


def test_labelled_views_do_not_depend_on_the_number_of_processes(
    digits: LabelledImages, views: Views
) -> None:
    alone = labelled(digits, views)
    ranks = [on_rank(labelled(digits, views), rank, 2) for rank in range(2)]
    shares = [seen(data, data.train_dataloader()) for data in ranks]
    for batch, (images, labels) in enumerate(seen(alone, alone.train_dataloader())):
        together = [torch.stack([s[batch][i] for s in shares], 1).flatten(0, 1) for i in (0, 1)]
        torch.testing.assert_close(together[0], images)
        assert torch.equal(together[1], labels)


def self_training(digits: LabelledImages, views: Views, batch_size: int) -> SelfTrainDataModule:
    train, rest = digits.select(torch.arange(10)), digits.select(torch.arange(10, 50))
    return SelfTrainDataModule(rest.images, train, train, rest, batch_size, 5, views)


def by_image(images: Tensor, labels: Tensor) -> dict[bytes, int]:
    return {image.numpy().tobytes(): int(y) for image, y in zip(images, labels, strict=True)}


def test_self_training_sees_pairs_of_unlabelled_images_and_all_labelled_ones(
    digits: LabelledImages,
) -> None:
    data = self_training(digits, build_views(AugmentConfig()), batch_size=20)
    batches = seen(data, data.train_dataloader())
    pairs = torch.cat([images[:40].view(2, 20, -1) for images, _ in batches], dim=1)
    assert torch.equal(pairs[0], pairs[1])
    assert {row.numpy().tobytes() for row in pairs[0]} == {
        image.numpy().tobytes() for image in digits.images[10:] / 255
    }
    for images, labels in batches:
        assert data.views_per_step == len(images) == 50
        assert by_image(images[40:], labels) == by_image(
            digits.images[:10] / 255, digits.labels[:10]
        )


def test_self_training_compares_whole_images_with_views(
    digits: LabelledImages, views: Views
) -> None:
    data = self_training(digits, views, batch_size=20)
    whole = {image.numpy().tobytes() for image in digits.images / 255}
    for images, _ in seen(data, data.train_dataloader()):
        assert {image.numpy().tobytes() for image in images[:20]} < whole
        assert not {image.numpy().tobytes() for image in images[20:]} & whole


def test_no_more_labelled_images_in_a_step_than_unlabelled_ones(
    digits: LabelledImages, views: Views
) -> None:
    data = self_training(digits, views, batch_size=4)
    drawn = [labels.tolist() for _, labels in seen(data, data.train_dataloader())]
    assert {len(labels) for labels in drawn} == {4}
    assert data.views_per_step == 12
    assert {label for labels in drawn for label in labels} == {*digits.labels[:10].tolist()}


def test_self_training_is_scored_on_images_as_they_are(
    digits: LabelledImages, views: Views
) -> None:
    data = self_training(digits, views, batch_size=20)
    for part, loader in ((data.val, data.val_dataloader()), (data.test, data.test_dataloader())):
        assert part is not None
        ((images, labels),) = seen(data, loader)
        assert torch.equal(images, part.images / 255)
        assert torch.equal(labels, part.labels)


def test_features_pass_unchanged() -> None:
    features = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_float(features), features)
    assert torch.equal(to_float(torch.tensor([0, 51, 255]).byte()), torch.tensor([0.0, 0.2, 1.0]))
