"""Which of several processes this one is, and a name for the run on which all of them agree.

Known from the environment before torch is imported, and so before Hydra makes folders.
"""

import os
import uuid
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from simclr.errors import SimclrError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

SHELLS = ("bash", "interactive")  # what SLURM calls an interactive job
NUMBERS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_PORT", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SIMCLR_GPU"),
)


def rank() -> int:
    """This process among all of the run, as torchrun, Lightning's own launcher or SLURM say."""
    return _first_of("RANK", "LOCAL_RANK", "SLURM_PROCID")


def local_rank() -> int:
    """This process among those of the run on this machine."""
    return _first_of("LOCAL_RANK", "SLURM_LOCALID")


def is_first() -> bool:
    """Whether this process is the one that writes files and talks."""
    return rank() == 0


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def by_srun() -> bool:
    """Whether this process is one of several that SLURM's srun started.

    What is started in the shell of a job, or in its script, is not, though it sees the job's
    variables.
    """
    step = "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in SHELLS
    return step and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def in_slurm_shell() -> bool:
    """Whether this process runs in a SLURM job, but was started as it would be elsewhere."""
    return "SLURM_NTASKS" in os.environ and not (by_srun() or by_torchrun())


def check_environment() -> None:
    """Refuse variables that ought to hold a number and do not.

    Raises:
        SimclrError: naming each of them.
    """
    wrong = [
        f"{name}={os.environ[name]}: must be a whole number, or not in the environment at all "
        f"(unset {name})"
        for name in NUMBERS
        if name in os.environ and not os.environ[name].isdecimal()
    ]
    if wrong:
        raise SimclrError("\n".join(wrong))


def world_size(devices: int | str, nodes: int = 1) -> int:
    """How many processes share a batch, as far as that is known before torch is imported.

    Args:
        devices: of each node: a number, indices as in "0,1", or "auto" and "-1", which count as
            one.
        nodes: how many.
    """
    if by_torchrun():
        return int(os.environ["WORLD_SIZE"])
    text = str(devices)
    if "," in text:
        return nodes * len([index for index in text.split(",") if index])
    return nodes * (int(text) if text.isdecimal() else 1)


def run_name() -> str:
    """A name that no other run has, and all processes of this run: when it began, and an id."""
    name = f"{datetime.now():%Y-%m-%d/%H-%M-%S}-{uuid.uuid4().hex[:6]}"
    if by_torchrun():
        if is_first():
            store().set("run_name", name)
        return store().get("run_name").decode()
    if by_srun():
        ids = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
        return "-".join(["slurm", *(os.environ[key] for key in ids if key in os.environ)])
    return name


def all_failed(job: str, seconds: float = 60) -> bool:
    """Whether, after a failure here, all processes started by torchrun fail in the same job.

    They may then go on together to the next; otherwise some of them wait for this one for ever.
    """
    from torch.distributed import DistStoreError

    if store().add(f"failed/{job}", 1) == int(os.environ["WORLD_SIZE"]):
        store().set(f"all_failed/{job}", "")
    try:
        store().wait([f"all_failed/{job}"], timedelta(seconds=seconds))
    except DistStoreError:
        return False
    return True


@cache
def store() -> "Store":
    """The keys and values that all processes started by torchrun share, without a process group."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    found, _, _ = next(rendezvous("env://"))
    return PrefixStore("simclr", found)


def _first_of(*names: str) -> int:
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
