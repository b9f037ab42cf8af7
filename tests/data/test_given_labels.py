from pathlib import Path

import pytest

from simclr.data.given_labels import read_labels
from simclr.errors import SimclrError


def place(told: str) -> int:
    if told not in ("0", "1", "2"):
        raise ValueError(f"{told}: no such image")
    return int(told)


def read(folder: Path, content: str | bytes) -> dict[int, str]:
    path = folder / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path, "index", place)


def test_classes_have_names_in_any_script_and_may_hold_commas(tmp_path: Path) -> None:
    content = '\ufeffindex,class\r\n0,猫\r\n1,"cat, black"\r\n\r\n0,猫\r\n2,cafe\u0301\r\n'
    assert read(tmp_path, content) == {0: "猫", 1: "cat, black", 2: "caf\u00e9"}


def test_columns_may_have_any_order_and_others_beside_them(tmp_path: Path) -> None:
    assert read(tmp_path, "class,note,index\ncat,x,1\n") == {1: "cat"}


def test_every_problem_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SimclrError) as told:
        read(tmp_path, "index,class\n0,cat\n7,cat\n1,\n0,dog\n2\n")
    message = str(told.value)
    for part in (
        *("line 3: 7: no such image", "line 4: no class for 1"),
        *("line 5: 0 is 'dog' here and 'cat' in line 2", "line 6: no class for 2"),
    ):
        assert part in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "line 1 must name the columns index,class; it says nothing"),
        ("index;class\n0;cat\n", "line 1 must name the columns index,class; it says index;class"),
        ("index,class\n", "no labels in this file"),
        (b"index,class\n0,cat\n1,caf\xe9\n", "line 3: this is no UTF-8"),
        ('index,class\n0,"cat\n', "line 2: unexpected end of data"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, content: str | bytes, part: str) -> None:
    with pytest.raises(SimclrError) as told:
        read(tmp_path, content)
    assert part in str(told.value)
