"""The README's search with Optuna, as it stands there but for its size."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY
from hydra.core.hydra_config import HydraConfig

ROOT = Path(__file__).parent.parent


def test_optuna_drives_train_py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (search,) = [block for block in blocks if "optuna" in block]
    small = dict(setting.split("=") for setting in TINY)
    search = search.replace("settings = {", f"settings = {small} | {{").replace("=20", "=2")
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # no run of Hydra's own
    names: dict[str, Any] = {}
    exec(search, names)
    values = [trial.value for trial in names["study"].trials]
    assert len(values) == 2
    assert names["study"].best_value == max(values)
    results = sorted(path.parent.name for path in tmp_path.rglob("outputs/*/*/*/results.json"))
    assert results == ["0", "1"]
