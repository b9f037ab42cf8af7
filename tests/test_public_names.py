"""The names of the package that people import."""

import subprocess
import sys

import pytest
import torch

import simclr
from simclr.inference import predict
from simclr.losses.nt_xent import nt_xent


@pytest.mark.parametrize("name", [name for name in simclr.__all__ if name != "__version__"])
def test_every_public_name_can_be_imported(name: str) -> None:
    assert callable(getattr(simclr, name))


def test_predict_stays_the_function_where_the_command_is_imported() -> None:
    import simclr.predict

    assert simclr.predict is predict


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(simclr, "nothing")  # noqa: B009


def test_the_loss_is_the_one_of_its_module() -> None:
    z0, z1 = torch.randn(2, 8, 4)
    assert torch.equal(simclr.nt_xent(z0, z1), nt_xent(z0, z1))


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, simclr; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
