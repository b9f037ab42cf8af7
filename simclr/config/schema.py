"""The typed configuration: type, default, meaning and bounds of every key, side by side."""

from dataclasses import dataclass, field

from simclr.config.augment import AugmentConfig
from simclr.config.keys import key, keys_of

LARGEST_SEED = 2**31 - 1  # two are added, and NumPy takes 32 bits
DEFAULT_METHODS = ["linear_eval", "finetune", "supervised", "random_encoder"]

MAX_PIXELS = 178_956_970  # where Pillow takes a file for an attack


@dataclass
class LabelsConfig:
    """Which labelled images a classifier is trained on."""

    per_class: int | None = key(
        10, "labelled images of each class; null: all that there are", at_least=1
    )
    budget: int | None = key(
        None, "benchmark, choose_labels: labelled images in all, of any classes", at_least=1
    )
    choice: str = key(
        "random",
        "benchmark: which labels.budget images; typical: those that task=choose_labels finds",
        choices=("random", "typical"),
    )
    draws: int = key(5, "label draws that a benchmark repeats", at_least=1, shapes_model=False)
    seed: int = key(0, "the first label draw", at_least=0, at_most=LARGEST_SEED)


@dataclass
class DataConfig:
    """Where images come from and how they are batched."""

    name: str = key("mnist", "the data source")
    root: str = key("data", "folder of the data set, or where it is downloaded to")
    labels: str | None = key(
        None, "CSV of labels: file,class for data=folder, else index,class; all are used"
    )
    batch_size: int = key(128, "images per batch over all devices", at_least=2)
    val_images: int | None = key(
        None,
        "training images kept for validation; null: a twelfth, at most 5000",
        at_least=0,
    )
    split_seed: int = key(0, "which images are kept", at_least=0, at_most=LARGEST_SEED)
    train_images: int | None = key(
        None, "use only so many training images, those for validation included", at_least=1
    )
    test_images: int | None = key(None, "use only so many test images", at_least=1)
    image_size: int = key(28, "folder, synthetic: height and width of images", at_least=8)
    channels: int = key(1, "folder: 1 for grey, 3 for colour", choices=(1, 3))
    max_pixels: int = key(
        MAX_PIXELS, "folder: pixels of an image file; larger ones are not decoded", at_least=1
    )
    stream: str = key(
        "auto",
        "folder: whether unlabelled images are decoded anew in every epoch",
        choices=("auto", "always", "never"),
    )


@dataclass
class EncoderConfig:
    """The network whose output is the representation."""

    name: str = key("cnn", "the architecture")
    model: str | None = key(None, "timm: name of the model there")
    channels: list[int] = key([16, 32, 64, 128], "cnn, resnet: width of each stage", at_least=1)
    convs_per_stage: int = key(1, "cnn: convolutions of each stage", at_least=1)
    pretrained: bool = key(False, "timm: begin with the weights published for the model")
    checkpoint: str | None = key(
        None, "timm: safetensors file with those weights; null: timm's cache, or a download"
    )
    weights: str | None = key(None, "an encoder.safetensors to start from")


@dataclass
class HeadConfig:
    """The projection head between representation and loss; discarded after pretraining."""

    hidden: list[int] = key([], "widths of hidden layers; none: a linear head", at_least=1)
    dim: int = key(128, "width of the projections", at_least=1)


@dataclass
class LossConfig:
    """The contrastive loss."""

    name: str = key("nt_xent", "the loss")
    temperature: float = key(0.5, "temperature of the contrastive loss", at_least=0.01)
    block_rows: int | None = key(
        None, "rows of the similarity matrix held at once; null: by size", at_least=1
    )


@dataclass
class ClusteringConfig:
    """The second stage of pretraining: both views of an image belong to the same cluster."""

    max_epochs: int | None = key(
        None,
        "length of the second stage; 0: none; null: it takes clustering.steps",
        at_least=0,
    )
    steps: int = key(400, "least number of steps, in whole epochs; 0: none", at_least=0)
    batch_size: int = key(256, "images per batch; clusters need larger ones", at_least=2)
    lr: float = key(2e-3, "peak learning rate", at_least=0)
    heads: list[int] = key([30, 30, 30, 30], "number of clusters of each head", at_least=2)
    weight: float = key(2.0, "weight of the clusters' loss; NT-Xent has 1", at_least=0)
    augment_strength: float = key(
        0.5, "strength of the views, as a share of those of the first stage", at_least=0, at_most=1
    )


@dataclass
class StudentConfig:
    """The third stage of pretraining: a larger encoder learns the clusters of the second stage."""

    max_epochs: int = key(0, "length of the third stage; 0: none", at_least=0)
    batch_size: int = key(256, "images per batch", at_least=2)
    lr: float = key(4e-3, "peak learning rate", at_least=0)
    channels: list[int] = key(
        [32, 64, 128, 256], "cnn, resnet: width of each stage of the larger encoder", at_least=1
    )
    convs_per_stage: int = key(2, "cnn: its convolutions of each stage", at_least=1)


@dataclass
class OptimizerConfig:
    """How gradients become updates: linear warm-up, then cosine to zero, per step."""

    name: str = key("adamw", "the algorithm")
    lr: float = key(4e-3, "peak learning rate", at_least=0)
    lr_scaling: str = key(
        "none",
        "how the learning rate of pretraining grows with the batch, from 256 on",
        choices=("none", "linear", "sqrt"),
    )
    weight_decay: float = key(1e-4, "weight decay, not of biases and norms", at_least=0)
    momentum: float = key(0.9, "sgd, lars: momentum", at_least=0, below=1)
    warmup: float = key(0.1, "share of all steps with linear warm-up", at_least=0, below=1)


@dataclass
class ProbeConfig:
    """The linear classifier on frozen features."""

    l2: float = key(3e-3, "L2 penalty for up to 100 labels; n labels: 100 / n of it", at_least=0)
    every_steps: int = key(100, "steps between two probes in pretraining; 0: none", at_least=0)
    images: int = key(400, "validation images of a probe in pretraining", at_least=1)


@dataclass
class FineTuneConfig:
    """Training of all weights on labelled images: finetune, and supervised from scratch."""

    max_epochs: int = key(40, "epochs", at_least=1)
    batch_size: int = key(100, "labelled images per batch", at_least=2)
    lr: float = key(1e-4, "peak learning rate of the linear layer", at_least=0)
    encoder_lr: float = key(1e-4, "peak learning rate of the encoder", at_least=0)
    label_smoothing: float = key(0.1, "share of the target for all classes", at_least=0, below=1)
    augment_strength: float = key(
        0.5, "strength of the views, as a share of those of pretraining", at_least=0, at_most=1
    )


@dataclass
class SelfTrainConfig:
    """Training of all weights on unlabelled images, with the labelled ones beside them."""

    max_epochs: int = key(4, "epochs", at_least=1)
    batch_size: int = key(512, "unlabelled images; each step sees all labelled ones", at_least=2)
    lr: float = key(2e-3, "peak learning rate", at_least=0)
    label_weight: float = key(
        0.3, "weight of the labels' loss; the agreement of two views has 1", at_least=0
    )
    augment_strength: float = key(
        0.5, "strength of the views, as a share of those of pretraining", at_least=0, at_most=1
    )


@dataclass
class LabelSpreadConfig:
    """Label propagation over a graph of all unlabelled features, then a linear classifier."""

    neighbours: int = key(10, "nearest neighbours of each image in the graph", at_least=1)
    alpha: float = key(
        0.99, "share of its labels that an image takes from its neighbours", at_least=0, below=1
    )
    l2: float = key(1e-5, "strength of the L2 penalty of the classifier of all images", at_least=0)


@dataclass
class TrainerConfig:
    """Devices, precision and length of training."""

    max_epochs: int | None = key(
        None,
        "length of training; null: trainer.steps for pretraining; 0: no pretraining",
        at_least=0,
    )
    steps: int = key(
        1_700, "pretraining: least number of steps, in whole epochs, of any data set", at_least=1
    )
    accelerator: str = key("auto", "kind of device", choices=("auto", "cpu", "gpu"))
    devices: int | str = key("auto", "number of devices, or their indices as in '0,1'")
    num_nodes: int = key(1, "number of machines", at_least=1)
    strategy: str = key("auto", "how devices share a batch", choices=("auto", "ddp"))
    precision: str = key(
        "auto",
        "auto: bf16-mixed where the processor computes in it, else 32-true",
        choices=("auto", "32-true", "bf16-mixed", "16-mixed"),
    )
    threads: int | None = key(
        None,
        "processor threads; null: OMP_NUM_THREADS, or as many as processors are idle at the start",
        at_least=1,
        at_most=1_024,
        shapes_model=False,  # apart from rounding
    )
    sync_batchnorm: bool = key(True, "one batch norm over the processes that share a batch")
    log_every_n_steps: int = key(
        10, "steps between two logged losses", at_least=1, shapes_model=False
    )
    checkpoint_seconds: float = key(
        30.0, "seconds between two checkpoints", at_least=0, shapes_model=False
    )


@dataclass
class Config:
    """The whole configuration of one run."""

    task: str = key("benchmark", "what to do", shapes_model=False)
    seed: int = key(0, "of weights, order of images and views", at_least=0, at_most=LARGEST_SEED)
    pretrain_seeds: list[int] | None = key(
        None,
        "benchmark: pretrain once per seed, as in [0,1,2]",
        at_least=0,
        at_most=LARGEST_SEED,
        shapes_model=False,
    )
    methods: list[str] = key(
        DEFAULT_METHODS, "benchmark: the methods to compare", shapes_model=False
    )
    output_dir: str = key("outputs", "where results go (a fresh folder)", shapes_model=False)
    checkpoint: str | None = key(
        None,
        "auto: go on with the run in output_dir; or a file to go on from",
        shapes_model=False,
    )
    export: str | None = key(
        None,
        "onnx: write the classifier as ONNX, too",
        choices=(None, "onnx"),
        shapes_model=False,
    )
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: str = key(
        "tensorboard",
        "where curves go",
        choices=("tensorboard", "csv", "none"),
        shapes_model=False,
    )
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    supervised: FineTuneConfig = field(
        default_factory=lambda: FineTuneConfig(
            max_epochs=300, lr=1e-2, encoder_lr=1e-2, augment_strength=1.0
        )
    )
    label_spread: LabelSpreadConfig = field(default_factory=LabelSpreadConfig)
    self_train: SelfTrainConfig = field(default_factory=SelfTrainConfig)


# Keys that a trained model does not depend on.
BOOKKEEPING = {name for name, _, about in keys_of(Config()) if not about["shapes_model"]}
SEEDS = {"seed", "labels.seed", "data.split_seed"}  # tables of many runs average over them


def register() -> None:
    """Make the schema known to Hydra; conf/config.yaml merges into it, so every key is checked."""
    from hydra.core.config_store import ConfigStore  # here, so that inference needs no Hydra

    ConfigStore.instance().store(name="schema", node=Config)
