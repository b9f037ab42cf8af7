"""A job of a sweep: its part of the machine, what it may not be, and the trace of its failure."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from distributed import run_ranks
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from simclr.checks import check
from simclr.config.schema import Config, TrainerConfig, register
from simclr.errors import SimclrError
from simclr.launch.failures import read_failure
from simclr.launch.ranks import all_failed
from simclr.launch.sweeps import record_failure, share_machine
from simclr.training.trainer import own_device

CONF = Path(__file__).parents[2] / "conf"
Job = Callable[..., Config]

register()


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """Call it with overrides to be in that job of a sweep; its number is 5."""
    before = HydraConfig.instance().cfg

    def start(*overrides: str) -> Config:
        more = ["hydra.mode=MULTIRUN", "hydra.job.num=5", "output_dir=out", *overrides]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("config", more, return_hydra_config=True)
        HydraConfig.instance().set_config(composed)
        with open_dict(composed):
            del composed["hydra"]
        config = OmegaConf.to_object(composed)
        assert isinstance(config, Config)
        return config

    with monkeypatch.context() as patched:
        patched.setattr(os, "environ", dict(os.environ))
        yield start
    HydraConfig.instance().cfg = before


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_gpus_are_given_in_turn(launcher: str, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert own_device(TrainerConfig(devices=1)) == [0]
    job(f"hydra/launcher={launcher}")
    share_machine()
    assert own_device(TrainerConfig(devices=1)) == [1]
    assert own_device(TrainerConfig(devices="2,3,0")) == [0]
    assert own_device(TrainerConfig(accelerator="cpu", devices=1)) == 1


@pytest.mark.parametrize(
    ("settings", "environment", "problem"),
    [
        (["trainer=ddp_cpu"], {}, "trainer.devices=2: in a sweep, Lightning would start the sweep"),
        (
            ["trainer=ddp_cpu", "hydra/launcher=joblib"],
            {},
            "--nproc-per-node 2 train.py -m KEY=VAL",
        ),
        (["trainer=ddp_cpu", "task=supervised"], {}, None),
        (["trainer=ddp_cpu"], {"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}, None),
        (["trainer=ddp_cpu"], {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, None),
        (
            ["hydra/launcher=joblib"],
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"},
            "hydra/launcher=joblib: must be basic under torchrun",
        ),
        (
            ["data.batch_size=256", "clustering.max_epochs=0"],
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "3"},
            "data.batch_size=256: must be a multiple of the 3 processes that share a batch",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    settings: list[str],
    environment: dict[str, str],
    problem: str | None,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = job(*settings)
    for name, value in environment.items():
        monkeypatch.setitem(os.environ, name, value)
    if problem is None:
        check(config)
    else:
        with pytest.raises(SimclrError) as refusal:
            check(config)
        _, line = str(refusal.value).splitlines()
        assert problem in line


def test_a_failure_is_written_down(job: Job, tmp_path: Path) -> None:
    job("seed=3", "augment.scale=[0.5,1]")
    record_failure(tmp_path, SimclrError("There are 2 problems:\n  one\n  two"))
    command = "train.py output_dir=out seed=3 'augment.scale=[0.5,1]'"
    assert read_failure(tmp_path) == (command, "There are 2 problems:\n  one\n  two")
    try:
        raise KeyError("x")
    except KeyError as error:
        record_failure(tmp_path, error)
    assert read_failure(tmp_path) == (command, "KeyError: 'x'")
    assert "test_sweeps.py" in (tmp_path / "error.txt").read_text()
    assert read_failure(tmp_path / "elsewhere") is None


def alone(rank: int, port: str) -> bool | None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    together = all_failed("first", seconds=60)
    return together and (None if rank else all_failed("second", seconds=0.1))


@pytest.mark.distributed
def test_processes_that_fail_together_go_on_together() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    assert run_ranks(alone, 2, port) == [False, None]
