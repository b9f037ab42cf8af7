"""Parameter groups, the algorithms, and the learning rate of every step."""

import sys
from collections import Counter

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from simclr.config.schema import EncoderConfig, HeadConfig, OptimizerConfig
from simclr.errors import SimclrError
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.training.optim import build_optimizer, parameter_groups, scaled_lr, warmup_cosine

DECAY = 0.3


def modules(name: str = "cnn") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name=name, channels=[8, 16]), 1)
    return encoder, build_head(HeadConfig(hidden=[10], dim=4), encoder.dim)


def groups_of(optimizer: Optimizer) -> dict[int, dict[str, object]]:
    return {id(p): group for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("algorithm", ["adamw", "muon", "sgd", "lars"])
@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_every_trainable_parameter_is_in_exactly_one_group(name: str, algorithm: str) -> None:
    if algorithm == "lars":
        pytest.importorskip("timm")
    encoder, head = modules(name)
    next(encoder.parameters()).requires_grad_(False)
    optimizer = build_optimizer(OptimizerConfig(name=algorithm), [(encoder, 1e-3), (head, 1e-2)])
    held = Counter(id(p) for group in optimizer.param_groups for p in group["params"])
    trainable = [p for m in (encoder, head) for p in m.parameters() if p.requires_grad]
    assert held == Counter(map(id, trainable))


@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_norms_and_biases_do_not_decay(name: str) -> None:
    encoder, head = modules(name)
    config = OptimizerConfig(weight_decay=DECAY)
    groups = groups_of(build_optimizer(config, [(encoder, 1e-3), (head, 1e-2)]))
    kinds: Counter[bool] = Counter()
    for module in [*encoder.modules(), *head.modules()]:
        norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        for key, parameter in module.named_parameters(recurse=False):
            decays = not norm and key != "bias"
            assert groups[id(parameter)]["weight_decay"] == (DECAY if decays else 0)
            kinds[decays] += 1
    assert min(kinds[True], kinds[False]) > 0


def test_position_embeddings_of_a_transformer_do_not_decay() -> None:
    timm = pytest.importorskip("timm")
    transformer = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, depth=1)
    wrapped = nn.Sequential(transformer)
    groups = groups_of(build_optimizer(OptimizerConfig(weight_decay=DECAY), [(wrapped, 1e-3)]))
    for name, parameter in transformer.named_parameters():
        exempt = parameter.ndim < 2 or name in ("pos_embed", "cls_token")
        assert groups[id(parameter)]["weight_decay"] == (0 if exempt else DECAY), name


def test_every_module_has_its_learning_rate() -> None:
    encoder, head = modules()
    groups = groups_of(build_optimizer(OptimizerConfig(), [(encoder, 1e-3), (head, 1e-2)]))
    assert {groups[id(p)]["lr"] for p in encoder.parameters()} == {1e-3}
    assert {groups[id(p)]["lr"] for p in head.parameters()} == {1e-2}


def test_a_frozen_module_has_no_group() -> None:
    encoder, head = modules()
    encoder.requires_grad_(False)
    assert {group["lr"] for group in parameter_groups([(encoder, 1.0), (head, 2.0)])} == {2.0}


def test_lars_adapts_the_step_to_each_weight_and_leaves_norms_and_biases() -> None:
    """A weight moves by lr * 0.001 * its norm however large its gradient; a bias by lr * it."""
    pytest.importorskip("timm")
    steps = []
    for size in (1.0, 100.0):
        torch.manual_seed(0)
        layer = nn.Linear(4, 4)
        before = [p.detach().clone() for p in (layer.weight, layer.bias)]
        config = OptimizerConfig(name="lars", momentum=0.0, weight_decay=0.0)
        optimizer = build_optimizer(config, [(layer, 1.0)])
        layer.weight.grad, layer.bias.grad = torch.ones(4, 4) * size, torch.ones(4) * size
        optimizer.step()
        steps.append([(p - old).norm() for p, old in zip(layer.parameters(), before, strict=True)])
    (weight, bias), (weight_large, bias_large) = steps
    torch.testing.assert_close(weight, 0.001 * before[0].norm())
    torch.testing.assert_close(weight_large, weight)
    torch.testing.assert_close(bias_large, 100 * bias)


def test_sgd_takes_its_momentum() -> None:
    encoder, _ = modules()
    for momentum in (0.0, 0.8):
        config = OptimizerConfig(name="sgd", momentum=momentum)
        optimizer = build_optimizer(config, [(encoder, 1.0)])
        assert isinstance(optimizer, torch.optim.SGD)
        assert {group["momentum"] for group in optimizer.param_groups} == {momentum}


def test_lars_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.optim.lars", None)
    with pytest.raises(SimclrError, match=r"optimizer\.name=lars: needs .* '\.\[timm\]'"):
        build_optimizer(OptimizerConfig(name="lars"), [(modules()[0], 1.0)])


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="no optimizer named 'adam'"):
        build_optimizer(OptimizerConfig(name="adam"), [(modules()[0], 1.0)])


@pytest.mark.parametrize(
    ("rule", "batch_size", "lr"),
    [("none", 4096, 0.3), ("linear", 4096, 4.8), ("linear", 64, 0.075), ("sqrt", 4096, 1.2)],
)
def test_the_rate_grows_with_the_batch_as_in_the_paper(
    rule: str, batch_size: int, lr: float
) -> None:
    config = OptimizerConfig(lr=0.3, lr_scaling=rule)
    assert scaled_lr(config, batch_size) == pytest.approx(lr)


def test_an_unknown_rule() -> None:
    with pytest.raises(ValueError, match="no lr_scaling named 'cubic'"):
        scaled_lr(OptimizerConfig(lr_scaling="cubic"), 256)


def rates(total_steps: int, warmup: float, steps: int | None = None) -> list[list[float]]:
    """The learning rates of two groups, peaks 1 and 10, at every step."""
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 10.0}]
    )
    schedule = warmup_cosine(optimizer, total_steps, warmup)
    seen = []
    for _ in range(steps or total_steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return seen


def test_warm_up_is_linear_to_the_peak_then_cosine() -> None:
    first, second = zip(*rates(20, warmup=0.2), strict=True)
    assert first[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert first[4] == 1.0  # cosine of 0
    assert first[12] == pytest.approx(0.5)  # half way from step 4 to step 20
    assert first[8] == pytest.approx(0.5 + 0.5 * 2**-0.5)  # a quarter of the way
    assert 0 < first[19] < 0.02
    assert second == pytest.approx([10 * rate for rate in first])


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    first = [rate for rate, _ in rates(10, warmup=0.0)]
    assert first[0] == 1.0
    assert first[5] == pytest.approx(0.5)
    assert first == sorted(first, reverse=True)


def test_after_the_last_step_the_rate_is_zero_and_stays_there() -> None:
    first = [rate for rate, _ in rates(10, warmup=0.1, steps=13)]
    assert first[10:] == pytest.approx([0.0] * 3)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.9])
def test_a_single_step_trains(warmup: float) -> None:
    ((first, _),) = rates(1, warmup)
    assert first == 1.0
