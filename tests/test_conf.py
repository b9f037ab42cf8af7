import importlib.util
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from command_line import TINY, configured
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from simclr.checks import check
from simclr.config.schema import Config, register
from simclr.errors import SimclrError
from simclr.run import run

CONF = Path(__file__).parent.parent / "conf"
GROUPS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name != "hydra"
}
CHOICES = [f"{group}={name}" for group, names in GROUPS.items() for name in names]
EXPERIMENTS = GROUPS["experiment"]

LACKING = (
    *("encoder.weights=null", "labels.budget=null: task=choose_labels needs"),
    *("trainer.accelerator=gpu", "optimizer.name=lars: needs"),
)

register()


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = OmegaConf.to_object(compose("config", ["output_dir=out", *overrides]))
    assert isinstance(made, Config)
    return made


def problems(config: Config) -> list[str]:
    try:
        check(config)
    except SimclrError as refusal:
        title, *lines = str(refusal).splitlines()
    else:
        return []
    assert title == f"The configuration has {len(lines)} problem{'s' * (len(lines) > 1)}:"
    return [line.strip() for line in lines]


def numbers(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key below `part` whose value may be one number, with its default."""
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from numbers(value, f"{prefix}{field.name}.")
        elif get_origin(field.type) is not list and {int, float} & {
            field.type,
            *get_args(field.type),
        }:
            yield prefix + field.name, value


# What is in conf/


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_into_the_schema_and_is_possible(choice: str) -> None:
    config = composed(choice)
    group, name = choice.split("=")
    if group in ("data", "optimizer", "loss"):
        assert getattr(config, group).name == name
    if group in ("task", "logger"):
        assert getattr(config, group) == name
    assert all(problem.startswith(LACKING) for problem in problems(config))


def test_the_groups_offer_what_is_promised() -> None:
    promised = {
        "task": {
            *("benchmark", "pretrain", "linear_eval", "finetune", "supervised"),
            *("label_spread", "self_train", "choose_labels"),
        },
        "data": {"mnist", "fashion_mnist", "kmnist", "idx", "folder", "synthetic"},
        "augment": {"digits", "crops", "affine", "none"},
        "encoder": {"cnn", "cnn_wide", "resnet", "resnet18"},
        "head": {"mlp"},
        "loss": {"nt_xent", "dcl"},
        "optimizer": {"adamw", "sgd", "lars"},
        "trainer": {"auto", "cpu", "gpu", "ddp", "ddp_cpu"},
        "logger": {"tensorboard", "csv", "none"},
        "experiment": {"quick", "seed_paper", "record", "photos"},
    }
    for group, names in promised.items():
        assert names <= set(GROUPS[group]), group


def test_seed_paper_has_the_settings_of_the_original_project() -> None:
    config = composed("experiment=seed_paper")
    assert config.augment == composed("augment=crops").augment
    assert config.loss.temperature == 0.07
    assert config.data.batch_size == 64
    assert config.trainer.max_epochs == 100


@pytest.mark.parametrize("task", ["finetune", "supervised", "self_train"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_leaves_a_classifier_its_own_schedule(experiment: str, task: str) -> None:
    config = composed(f"experiment={experiment}", f"task={task}")
    own = getattr(config, task)
    assert config.trainer.max_epochs == own.max_epochs
    assert config.data.batch_size == own.batch_size
    assert config.optimizer.lr == own.lr


# What runs


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_to_the_end(experiment: str, tmp_path: Path) -> None:
    few = ("labels.draws=1", "pretrain_seeds=null", f"output_dir={tmp_path}")
    run(composed(f"experiment={experiment}", *TINY, *few))
    assert (tmp_path / "results.json").exists()


def combinations() -> list[list[str]]:
    """Choices of all groups side by side, so often that each has been in one."""
    groups = {group: names for group, names in GROUPS.items() if group not in EXCLUDED}
    if not importlib.util.find_spec("timm"):
        groups["optimizer"] = [name for name in groups["optimizer"] if name != "lars"]
    count = max(map(len, groups.values()))
    columns = [
        [f"{group}={name}" for name in islice(cycle(names), count)]
        for group, names in groups.items()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


EXCLUDED = ("data", "task", "trainer", "experiment")  # each has tests of its own


@pytest.mark.parametrize("choices", combinations(), ids=" ".join)
def test_every_task_runs_with_every_choice(choices: list[str], tmp_path: Path) -> None:
    few = (
        *("data=synthetic", "data.train_images=60", "data.val_images=20", "data.test_images=20"),
        *("data.image_size=16", "data.batch_size=32", "labels.per_class=1", "trainer=cpu"),
        *("finetune.max_epochs=1", "supervised.max_epochs=1", "probe.every_steps=0"),
        *("self_train.max_epochs=1", "clustering.max_epochs=1"),
    )
    weights = f"encoder.weights={tmp_path}/pretrain/encoder.safetensors"
    for task, *more in (
        ("pretrain", "trainer.max_epochs=1"),
        ("linear_eval", weights),
        ("finetune", weights),
        ("supervised",),
        ("label_spread", weights),
        ("self_train", weights),
    ):
        folder = tmp_path / task
        folder.mkdir()
        run(composed(*choices, *few, f"task={task}", *more, f"output_dir={folder}"))
        assert (folder / "results.json").exists()


# What is refused


NUMBERS = dict(numbers(Config()))


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_may_be_just_anything(key: str) -> None:
    (problem,) = problems(configured(f"{key}=-1000000"))
    name, _, allowed = problem.partition(": must be ")
    assert name in (f"{key}=-1000000", f"{key}=-1000000.0", f"{key}=-1e+06")
    assert allowed


@pytest.mark.parametrize("key", [key for key, value in NUMBERS.items() if type(value) is float])
def test_no_number_may_be_nan_or_infinite(key: str) -> None:
    for value in ("nan", "inf"):
        (problem,) = problems(configured(f"{key}={value}"))
        assert problem.startswith(f"{key}={value}: must be ")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            ["task=train"],
            "task=train: must be one of benchmark, pretrain, choose_labels, linear_eval, ",
        ),
        (["data.name=emnist"], "data.name=emnist: must be one of mnist, fashion_mnist, kmnist, "),
        (["export=tflite"], "export=tflite: must be one of null, onnx"),
        (["loss.temperature=0"], "loss.temperature=0: must be at least 0.01"),
        (["optimizer.warmup=1"], "optimizer.warmup=1: must be at least 0 and below 1"),
        (["clustering.heads=[30,1]"], "clustering.heads=[30, 1]: each value must be at least 2"),
        (["clustering.heads=[]"], "clustering.heads=[]: needs at least one head"),
        (["student.channels=[8]"], "student.channels=[8]: needs at least two widths"),
        (
            ["student.max_epochs=2", "clustering.max_epochs=0"],
            "student.max_epochs=2: must be 0 without the second stage (clustering.max_epochs=0), "
            "whose clusters a student learns",
        ),
        (["clustering.weight=-1"], "clustering.weight=-1: must be at least 0"),
        (
            ["clustering.augment_strength=2"],
            "clustering.augment_strength=2: must be between 0 and 1",
        ),
        (["augment.flip=2"], "augment.flip=2: must be between 0 and 1"),
        (["augment.scale=[2,1]"], "augment.scale=[2.0, 1.0]: must be [min, max], 0 < min <= max"),
        (["data.channels=2"], "data.channels=2: must be one of 1, 3"),
        (["encoder.channels=[]"], "encoder.channels=[]: needs at least two widths"),
        (["head.hidden=[8,0]"], "head.hidden=[8, 0]: each value must be at least 1"),
        (
            ["pretrain_seeds=[1,1]"],
            "pretrain_seeds=[1, 1]: must be null or different seeds",
        ),
        (
            ["pretrain_seeds=[]"],
            "pretrain_seeds=[]: must be null or different seeds",
        ),
        (["methods=[]"], "methods=[]: must be linear_eval, then different ones of finetune, "),
        (
            ["methods=[linear_eval,self_train,self_train]"],
            "methods=['linear_eval', 'self_train', 'self_train']: must be linear_eval, then diff",
        ),
        (["methods=[linear_eval,knn]"], "methods=['linear_eval', 'knn']: must be linear_eval, "),
        (["methods=[label_spread]"], "methods=['label_spread']: must be linear_eval, then "),
        (["label_spread.alpha=1"], "label_spread.alpha=1: must be at least 0 and below 1"),
        (["label_spread.neighbours=0"], "label_spread.neighbours=0: must be at least 1"),
        (["task=label_spread"], "encoder.weights=null: task=label_spread needs the encoder.safe"),
        (["trainer.devices=two"], "trainer.devices=two: must be auto, a number of devices, or "),
        (["encoder.weights=none.pt"], "encoder.weights=none.pt: no such file"),
        (["task=finetune"], "encoder.weights=null: task=finetune needs the encoder.safetensors "),
        (["task=pretrain", "checkpoint=x"], "checkpoint=x: no such file"),
        (["task=pretrain", "export=onnx"], "export=onnx: must be null for task=pretrain: "),
        (
            ["trainer.precision=16-mixed", "trainer.accelerator=cpu"],
            "trainer.precision=16-mixed: needs a GPU; on a CPU choose 32-true or bf16-mixed",
        ),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_refusal_names_key_value_and_what_is_allowed(settings: list[str], problem: str) -> None:
    (found,) = problems(configured(*settings))
    assert found.startswith(problem)


def test_weights_from_elsewhere_are_not_from_scratch(pretrained: Path) -> None:
    weights = pretrained / "encoder.safetensors"
    (problem,) = problems(configured("task=supervised", f"encoder.weights={weights}"))
    assert problem == (
        f"encoder.weights={weights}: must be null for task=supervised, which draws its own"
    )


def test_all_that_is_wrong_is_said_at_once() -> None:
    config = configured(
        "task=linear_eval",
        "loss.temperature=-1",
        "data.batch_size=0",
        "optimizer.name=adam",
        "augment.rotation=400",
        "checkpoint=x",
    )
    found = problems(config)
    keys = ("loss.temperature=", "data.batch_size=", "optimizer.name=", "augment.rotation=")
    for key in (*keys, "encoder.weights=", "checkpoint="):
        assert [line for line in found if line.startswith(key)], key


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("labels.per_clas", "labels.{per_class}"),
        ("sead", "{seed}"),
        (
            "finetune.zzz",
            "finetune.{max_epochs, batch_size, lr, encoder_lr, label_smoothing, augment_strength}",
        ),
    ],
)
def test_a_key_that_nothing_reads_is_refused(key: str, hint: str) -> None:
    (problem,) = problems(composed(f"+{key}=3"))
    assert problem == f"{key}=3: no such key; there is {hint}"
