"""The stages of a pretraining: their lengths, batches, learning rates and views."""

from dataclasses import dataclass, replace

from simclr.config.augment import AugmentConfig, milder
from simclr.config.schema import ClusteringConfig, Config, EncoderConfig, StudentConfig
from simclr.launch.ranks import world_size
from simclr.training.optim import scaled_lr

STAGES = ("pretraining", "clustering", "student")


@dataclass(frozen=True)
class Stage:
    """One training of the encoder, with its own optimiser and schedule.

    `name` is one of `STAGES`. `clustering` is None in the first, which is plain SimCLR. In the
    last, a new encoder learns the clusters of the one before.
    """

    name: str
    max_epochs: int
    batch_size: int
    lr: float
    augment: AugmentConfig
    clustering: ClusteringConfig | None = None

    @property
    def views_per_step(self) -> int:
        """Two views of each image pass the encoder, in the last stage one."""
        return self.batch_size * (1 if self.name == "student" else 2)

    def steps(self, images: int) -> int:
        """Steps on so many images."""
        return self.max_epochs * (images // self.batch_size)


def stages(config: Config, images: int) -> list[Stage]:
    """The stages of a pretraining on so many images, in order; none if the first has no epochs."""
    batch = config.data.batch_size
    lr = scaled_lr(config.optimizer, batch)
    epochs = _epochs(config.trainer.max_epochs, config.trainer.steps, images, batch)
    if not epochs:
        return []
    first = Stage("pretraining", epochs, batch, lr, config.augment)
    second = config.clustering
    processes = world_size(config.trainer.devices, config.trainer.num_nodes)
    batch = min(second.batch_size, images // processes * processes)
    epochs = _epochs(second.max_epochs, second.steps, images, batch)
    if not epochs:
        return [first]
    mild = milder(config.augment, second.augment_strength)
    both = [first, Stage("clustering", epochs, batch, second.lr, mild, second)]
    third = config.student
    if not third.max_epochs:
        return both
    batch = min(third.batch_size, images // processes * processes)
    last = Stage("student", third.max_epochs, batch, third.lr, config.augment, second)
    return [*both, last]


def student_encoder(teacher: EncoderConfig, student: StudentConfig) -> EncoderConfig:
    """The larger encoder of the third stage: the teacher's architecture, with random weights."""
    return replace(
        teacher,
        channels=student.channels,
        convs_per_stage=student.convs_per_stage,
        weights=None,
        pretrained=False,
        checkpoint=None,
    )


def _epochs(chosen: int | None, steps: int, images: int, batch: int) -> int:
    """The chosen number of epochs, or else the least number that makes `steps` steps."""
    return -(-steps // max(1, images // batch)) if chosen is None else chosen


def count_views(config: Config, images: int) -> int:
    """Views that pass the encoder in a pretraining on `images` images."""
    return sum(stage.views_per_step * stage.steps(images) for stage in stages(config, images))
