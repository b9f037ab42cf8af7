"""The typed configuration: every key, its type and default, and the schema Hydra composes into."""

from dataclasses import dataclass, field

from simclr.config.augment import AugmentConfig

MAX_PIXELS = 178_956_970  # where Pillow takes a file for an attack


@dataclass
class LabelsConfig:
    """Which labelled images a classifier sees."""

    per_class: int = 10
    draws: int = 5  # how many draws the benchmark repeats, with seeds seed, seed + 1, ...
    seed: int = 0


@dataclass
class DataConfig:
    """Where images come from and how they are batched."""

    name: str = "mnist"
    root: str = "data"
    batch_size: int = 128  # over all devices
    val_images: int = 5_000  # split off the training images once, by split_seed
    split_seed: int = 0
    train_images: int | None = None  # use only so many, validation images included
    test_images: int | None = None
    image_size: int = 28  # folder and synthetic: images are brought to this size
    channels: int = 1  # folder: 1 grey, 3 colour
    max_pixels: int = MAX_PIXELS  # folder: of an image file; larger ones are not decoded
    stream: str = "auto"  # folder: decode unlabelled images anew in every epoch; always, never


@dataclass
class EncoderConfig:
    """The network whose output is the representation."""

    name: str = "cnn"
    model: str | None = None  # timm: its name there
    channels: list[int] = field(default_factory=lambda: [16, 32, 64, 128])  # cnn: one per stage
    convs_per_stage: int = 1  # cnn
    weights: str | None = None  # an encoder.safetensors to start from


@dataclass
class HeadConfig:
    """The projection head between representation and loss; discarded after pretraining."""

    hidden: list[int] = field(default_factory=list)  # widths; none: a linear map
    dim: int = 128


@dataclass
class LossConfig:
    """The contrastive loss."""

    name: str = "nt_xent"
    temperature: float = 0.5
    block_rows: int | None = None  # rows of the similarity matrix held at once; null: by size


@dataclass
class ClusteringConfig:
    """The second stage of pretraining: two views of an image should fall into one cluster, too."""

    max_epochs: int = 2  # 0: contrastive learning is all
    batch_size: int = 256  # over all devices; clusters need larger batches than contrasts do
    lr: float = 2e-3
    heads: list[int] = field(default_factory=lambda: [30, 30, 30, 30])  # clusters of each
    weight: float = 2.0  # of the clusters' loss, where the contrastive one has 1
    augment_strength: float = 0.5  # share of what `augment` does to the views of the first stage


@dataclass
class OptimizerConfig:
    """How gradients become updates: linear warm-up, then cosine to zero, per step."""

    name: str = "adamw"
    lr: float = 4e-3
    lr_scaling: str = "none"  # linear, sqrt: pretraining's lr grows so with the batch, from 256 on
    weight_decay: float = 1e-4  # not on biases and norms
    momentum: float = 0.9  # sgd and lars
    warmup: float = 0.1  # share of all steps


@dataclass
class ProbeConfig:
    """The linear classifier on frozen features."""

    l2: float = 3e-3
    every_steps: int = 100  # look at the encoder during pretraining; 0: never
    images: int = 400  # validation images looked at


@dataclass
class FineTuneConfig:
    """Training of all weights on labelled images: finetune, and supervised from scratch."""

    max_epochs: int = 40
    batch_size: int = 100
    lr: float = 1e-4
    encoder_lr: float = 1e-4
    label_smoothing: float = 0.1
    augment_strength: float = 0.5  # share of what `augment` does to the views of pretraining


@dataclass
class SelfTrainConfig:
    """Training of all weights on unlabelled images, with the few labelled ones beside them."""

    max_epochs: int = 4
    batch_size: int = 512  # unlabelled images; each step sees all labelled ones, too
    lr: float = 2e-3
    label_weight: float = 0.3  # of the labels' loss, where that of two views' classes has 1
    augment_strength: float = 0.5  # share of what `augment` does to the views of pretraining


@dataclass
class LabelSpreadConfig:
    """Labels spread over the graph of all unlabelled features, and a linear classifier of them."""

    neighbours: int = 10  # edges from each image
    alpha: float = 0.99  # share of its labels that an image takes from its neighbours
    l2: float = 1e-5  # less than the probe's: it is fitted to all images, not to a few


@dataclass
class TrainerConfig:
    """Devices, precision and length of training."""

    max_epochs: int = 4
    accelerator: str = "auto"
    devices: int | str = "auto"  # under torchrun: its number of processes, and of nodes
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"  # auto: bf16-mixed where the processor has it, else 32-true
    sync_batchnorm: bool = True  # over the processes that share a batch
    log_every_n_steps: int = 10
    checkpoint_seconds: float = 30.0  # between two checkpoints


@dataclass
class Config:
    """The whole configuration of one run."""

    task: str = "benchmark"
    seed: int = 0
    pretrain_seeds: list[int] | None = None  # benchmark: null means [seed]
    methods: list[str] = field(  # benchmark: what is compared; also label_spread and self_train
        default_factory=lambda: ["linear_eval", "finetune", "supervised", "random_encoder"]
    )
    output_dir: str = "outputs"
    checkpoint: str | None = None  # go on from this file; auto: with the run in output_dir
    export: str | None = None  # onnx
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: str = "tensorboard"
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    supervised: FineTuneConfig = field(
        default_factory=lambda: FineTuneConfig(
            max_epochs=300, lr=1e-2, encoder_lr=1e-2, augment_strength=1.0
        )
    )
    label_spread: LabelSpreadConfig = field(default_factory=LabelSpreadConfig)
    self_train: SelfTrainConfig = field(default_factory=SelfTrainConfig)


def register() -> None:
    """Make the schema known to Hydra; conf/config.yaml merges into it, so every key is checked."""
    from hydra.core.config_store import ConfigStore  # here, so that inference needs no Hydra

    ConfigStore.instance().store(name="schema", node=Config)
