"""What the environment says about the processes of a run, right or wrong."""

from pathlib import Path

import pytest
from command_line import train

from simclr.errors import SimclrError
from simclr.launch.arguments import written
from simclr.launch.ranks import NUMBERS, by_srun, check_environment, in_slurm_shell, run_name


@pytest.mark.parametrize("value", ["x", "", "1.5", "-1"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_variable_that_is_no_number_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SimclrError, match=rf"^{name}={value}: must be a whole number") as refusal:
        check_environment()
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "SLURM_NTASKS"])
def test_it_is_one_message_on_the_terminal(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    ended = train("output_dir=made", folder=tmp_path)
    assert ended.status == 1
    assert ended.err.startswith(f"{name}=x: must be a whole number")
    assert "Traceback" not in ended.err
    assert not list(tmp_path.iterdir())


JOB = {"SLURM_JOB_ID": "4242", "SLURM_NTASKS": "2"}


@pytest.mark.parametrize("variables", [JOB, JOB | {"SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "bash"}])
def test_runs_in_the_shell_of_a_job_have_names_of_their_own(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not by_srun()
    assert in_slurm_shell()
    assert run_name() != run_name()
    assert "4242" not in run_name()


def test_the_processes_of_srun_agree_on_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (JOB | {"SLURM_STEP_ID": "3", "SLURM_JOB_NAME": "train"}).items():
        monkeypatch.setenv(name, value)
    assert by_srun()
    assert not in_slurm_shell()
    assert run_name() == run_name() == "slurm-4242-3"


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("runs/a-1", "output_dir=runs/a-1"),
        ("My runs (2)", "'output_dir=\"My runs (2)\"'"),
        ("it's", "'output_dir=\"it'\"'\"'s\"'"),
        ("a,b=c", "'output_dir=\"a,b=c\"'"),
    ],
)
def test_hints_are_quoted_for_hydra_and_the_shell(path: str, typed: str) -> None:
    assert written("output_dir", Path(path)) == typed
