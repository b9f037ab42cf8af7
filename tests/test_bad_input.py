"""What a tired person types, and what a disk does to files: one message, and nothing left behind.

Every case goes through train.py as a person would call it.
"""

import gzip
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from command_line import TINY, Ended, train
from PIL import Image

from simclr.data.idx import write_idx

HINT = "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."
IDX = ("data.name=idx", "data.train_images=null", "data.test_images=null", "data.val_images=0")
FOLDER = ("data.name=folder", *IDX[1:], "data.image_size=8")

CONFIGURATION = {
    # keys
    "learning_rate=1": ["Could not override 'learning_rate'", "not in 'Config'"],
    "data.foo=1": ["Could not override 'data.foo'", "not in 'DataConfig'"],
    "+labels.per_clas=1": ["labels.per_clas=1: no such key; there is labels.{per_class}"],
    "+sead=1": ["sead=1: no such key; there is {seed}"],
    "=3": ["=3: must be KEY=VALUE"],
    "seed": ["Error parsing override 'seed'", "missing EQUAL"],
    "loss.temperature=[": ["no viable alternative at input '['"],
    "output_dir=???": ["Missing mandatory value: output_dir"],
    "seed=${oc.env:NOT_THERE}": ["Environment variable 'NOT_THERE' not found"],
    "methods.pixels=1": ["A list is set as a whole, as in 'methods=[", "'pixels'"],
    # types
    "seed=one": ["seed=one", "Value 'one' of type 'str' could not be converted to Integer"],
    "seed=0.5": ["seed=0.5", "could not be converted to Integer"],
    "seed=null": ["seed=null", "field 'seed' is not Optional"],
    "seed=0,1": ["seed=0,1", "--multirun"],
    "trainer.max_epochs=[1]": ["trainer.max_epochs"],
    "encoder.channels=8": ["encoder.channels"],
    "trainer.sync_batchnorm=maybe": ["'maybe'", "valid bool"],
    "loss={temperature:warm}": ["'warm'", "could not be converted to Float"],
    # choices
    "optimizer=adam": ["'optimizer/adam'", "adamw", "lars", "sgd"],
    "task=train": ["'task/train'", "benchmark", "pretrain", "linear_eval", "supervised"],
    "data=null": ["data=null: must be the name of a file in conf/data/"],
    "encoder=18": ["encoder=18: must be the name of a file in conf/encoder/"],
    "optimizer.name=adam": ["optimizer.name=adam: must be one of adamw, muon, sgd, lars"],
    "encoder.name=vit": ["encoder.name=vit: must be one of cnn, resnet, resnet18"],
    "loss.name=triplet": ["loss.name=triplet: must be one of nt_xent, dcl"],
    "trainer.precision=fp8": ["trainer.precision=fp8: must be one of auto, 32-true, bf16-mixed"],
    "trainer.accelerator=npu": ["trainer.accelerator=npu: must be one of auto, cpu, gpu"],
    "trainer.strategy=fsdp": ["trainer.strategy=fsdp: must be one of auto, ddp"],
    "trainer.devices=two": ["trainer.devices=two: must be auto, a number of devices, or the "],
    # ranges
    "loss.temperature=-0.5": ["loss.temperature=-0.5: must be at least 0.01"],
    "optimizer.lr=nan": ["optimizer.lr=nan: must be at least 0"],
    "optimizer.warmup=1.5": ["optimizer.warmup=1.5: must be at least 0 and below 1"],
    "trainer.max_epochs=-1": ["trainer.max_epochs=-1: must be at least 0"],
    "task=supervised trainer.max_epochs=0": ["trainer.max_epochs=0: must be at least 1 for task="],
    "seed=99999999999": ["seed=99999999999: must be between 0 and 2147483647"],
    "pretrain_seeds=[0,0]": ["pretrain_seeds=[0, 0]: must be null or different seeds"],
    "data.batch_size=1": ["data.batch_size=1: must be at least 2"],
    "clustering.batch_size=1": ["clustering.batch_size=1: must be at least 2"],
    "supervised.batch_size=1": ["supervised.batch_size=1: must be at least 2"],
    "augment.rotation=400": ["augment.rotation=400: must be between 0 and 180"],
    "augment.scale=[2,1]": ["augment.scale=[2.0, 1.0]: must be [min, max]"],
    "head.hidden=[-1]": ["head.hidden=[-1]: each value must be at least 1"],
    "labels.per_class=0 data.batch_size=0 probe.l2=-1": [
        *("3 problems", "labels.per_class=0: ", "data.batch_size=0: ", "probe.l2=-1: ")
    ],
    # combinations
    "task=linear_eval": ["encoder.weights=null: task=linear_eval needs the encoder.safetensors"],
    "task=pretrain export=onnx": ["export=onnx: must be null for task=pretrain"],
    "trainer.precision=16-mixed": ["trainer.precision=16-mixed: needs a GPU; on a CPU choose"],
    "trainer.devices=3": ["data.batch_size=32: must be a multiple of the 3 processes"],
    "trainer.devices='0,1'": ["trainer.devices=0,1: must be a number of processes on a CPU"],
    "trainer.num_nodes=2": ["trainer.num_nodes=2: needs torchrun or SLURM"],
    "task=finetune encoder.weights=no/w": ["encoder.weights=no/w: no such file"],
    "task=pretrain checkpoint=no/c": ["checkpoint=no/c: no such file"],
    "task=linear_eval checkpoint=text encoder.weights=text": ["checkpoint=text: must be null or"],
    "encoder.pretrained=true": ["encoder.pretrained=true: needs encoder=timm"],
    "encoder.checkpoint=text": [
        *("encoder.checkpoint=text: needs encoder.pretrained=true", "must be a .safetensors file")
    ],
    # where code could come from
    "--config-dir=.": ["--config-dir=.: configuration comes from conf/ and KEY=VALUE alone"],
    "--experimental-re=x": ["--experimental-re=x: configuration comes from conf/"],
    "-cp /tmp": ["-cp: configuration comes from conf/ and KEY=VALUE alone"],
    "+hydra.callbacks.x._target_=os.getcwd": ["_target_ names code, which comes from conf/"],
    "hydra.searchpath=[.]": ["hydra.searchpath=[.]: of Hydra's own keys only hydra.run., "],
    "experiment=../../x": ["experiment=../../x: must be the name of a file in conf/experiment/"],
    "--nonsense": ["unrecognized arguments: --nonsense"],
    # known when data are there
    "data.val_images=300": ["data.val_images=300: there are only 300 training images"],
    "labels.per_class=90": ["labels.per_class=90: class ", "choose at most that many"],
    "data.batch_size=251": ["data.batch_size=251: there are only 250 images to pretrain"],
    "encoder.channels=[2,2,2,2,2,2,2]": ["encoder.channels=[2, ", "28x28 pixels"],
    "task=pretrain optimizer.lr=1e9": [
        *("training diverged: loss=", " at step ", ", lr=", "; loss.temperature=0.5; choose a "),
        "There is no checkpoint yet.",
    ],
    # files that are something else
    "task=pretrain checkpoint=empty": ["\ncheckpoint=empty: damaged, or not a checkpoint"],
    "task=pretrain checkpoint=text": ["\ncheckpoint=text: damaged, or not a checkpoint"],
    "task=linear_eval encoder.weights=empty": ["\nencoder.weights=empty: "],
    "task=linear_eval encoder.weights=text": ["\nencoder.weights=text: "],
    # output folders
    "output_dir=text/below": ["output_dir: cannot be created or written: ", "text/below"],
    "output_dir=finished": ["output_dir=finished: holds a finished run (results.json); choose"],
    "output_dir=stopped": ["output_dir=stopped: holds a run that was stopped (checkpoints); cho"],
    "checkpoint=auto": ["checkpoint=auto: needs output_dir=FOLDER, the run to go on with"],
}

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
IDX_FILES = {  # which file, its content (hexadecimal: header and data), and what is said
    "no such folder": (None, "", "data.root=idx: no train-images-idx3-ubyte"),
    "missing": (LABELS, None, "no train-labels-idx1-ubyte"),
    "empty": (IMAGES, "", "truncated: 0 bytes, too few"),
    "text": (LABELS, b"0,1,2".hex(), "not an IDX file of uint8: starts with 30 2c 31 2c"),
    "floats": (IMAGES, "00000d03 00000001 00000001 00000001 00000000", "not an IDX file of uint8"),
    "cut": (
        IMAGES,
        "00000803 00000009 00000002 00000001 ff",
        "says 9x2x1 bytes, but only 1",
    ),
    "too long": (LABELS, "00000801 00000001 0000", "too long: its header says 1 bytes"),
    "2^31 images": (IMAGES, "00000803 80000000 0000001c 0000001c", "says 2147483648x28x28 bytes"),
    "cut gzip": (IMAGES, gzip.compress(b"\0\0\x08").hex()[:30], "cannot be read: Compressed file"),
    "few labels": (LABELS, "00000801 00000001 00", "1 labels, but 60 images in"),
    "other size": (
        IMAGES,
        "00000803 0000003c 00000001 00000001" + 60 * "00",
        "1x8x8, but those",
    ),
    "unknown label": (LABELS, "00000801 0000003c" + 60 * "01", "labels [0] are not among those in"),
    "no images": (IMAGES, "00000801 00000000", "expected images (N, H, W)"),
}

IMAGE_FOLDERS = {  # what is in the folder, and what is said
    "no train": ("test/a/1.png", "pictures: there is no folder train"),
    "nothing": ("train/", "pictures/train: no images"),
    "an empty class": ("train/a/1.png train/b/", "pictures/train/b: no images"),
    "no class": ("train/1.png", "pictures/train/1.png: not in a class folder"),
    "broken": ("train/a/broken.png", "pictures/train/a/broken.png: cannot be read: "),
    "a class of its own": ("train/a/1.png test/b/1.png", "pictures/test/b: no such class in train"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed: a folder with files that are something else."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "empty").touch()
    (folder / "text").write_text("no tensors in here")
    (folder / "stopped" / "checkpoints").mkdir(parents=True)
    (folder / "finished").mkdir()
    (folder / "finished" / "results.json").write_text("{}")
    return folder


def refusal(folder: Path, *arguments: str) -> Ended:
    """Of a run that must be refused with one message, and must leave nothing that looks done."""
    before = set(folder.rglob("*"))
    ended = train(*TINY, *arguments, folder=folder)
    assert ended.status == 1
    assert ended.err.count(HINT) <= 1
    assert "Traceback" not in ended.err + ended.out
    left = {path.name for path in set(folder.rglob("*")) - before if path.is_file()}
    assert left <= {"config.yaml", "hydra.yaml", "overrides.yaml", ".lock"}
    return ended


@pytest.mark.parametrize("typed", CONFIGURATION)
def test_what_was_typed(typed: str, desk: Path, tmp_path: Path) -> None:
    own = () if "output_dir" in typed or "auto" in typed else (f"output_dir={tmp_path}/made",)
    ended = refusal(desk, *own, *typed.split())
    for part in CONFIGURATION[typed]:
        assert part in ended.err


@pytest.mark.parametrize("case", IDX_FILES)
def test_idx_files(case: str, tmp_path: Path) -> None:
    name, content, said = IDX_FILES[case]
    if name is not None:
        (tmp_path / "idx").mkdir()
        for part, count in (("train", 60), ("t10k", 3)):
            images = torch.zeros(count, 8, 8, dtype=torch.uint8)
            write_idx(tmp_path / "idx" / f"{part}-images-idx3-ubyte", images)
            labels = (torch.arange(count) % 2).to(torch.uint8)
            write_idx(tmp_path / "idx" / f"{part}-labels-idx1-ubyte", labels)
        path = tmp_path / "idx" / name
        path.unlink() if content is None else path.write_bytes(bytes.fromhex(content))
    ended = refusal(tmp_path, *IDX, "data.root=idx", "output_dir=made")
    assert said in ended.err


@pytest.mark.parametrize("case", IMAGE_FOLDERS)
def test_image_folders(case: str, tmp_path: Path) -> None:
    names, said = IMAGE_FOLDERS[case]
    for name in names.split():
        path = tmp_path / "pictures" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if "broken" in name:
            path.write_bytes(b"\x89PNG and no more")
        elif not name.endswith("/"):
            Image.new("L", (8, 8)).save(path)
    ended = refusal(tmp_path, *FOLDER, "data.root=pictures", "output_dir=made")
    assert said in ended.err


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 KiB where it can be mounted, else one with files of 20 KiB at most."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    mounted = (
        bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True).returncode
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("task", ["pretrain", "supervised"])
def test_a_full_disk(task: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        ended = refusal(tmp_path, f"task={task}", "output_dir=disk/made", "encoder.channels=[8,64]")
    assert "\noutput_dir: cannot be created or written: [Errno " in ended.err
