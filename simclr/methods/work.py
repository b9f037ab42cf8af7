"""How much work a job is: the views that training puts through the encoder."""

from simclr.config.schema import Config, SelfTrainConfig
from simclr.data.splits import Splits
from simclr.evaluation.calibration import trained_folds
from simclr.launch.ranks import world_size
from simclr.methods import METHODS
from simclr.methods.base import settings_of
from simclr.methods.finetune import FOLDS
from simclr.methods.stages import count_views


def views_of_job(config: Config, splits: Splits) -> int:
    """Views of the whole job, as the progress bar counts them."""
    unlabelled = len(splits.unlabelled)
    if config.task == "pretrain":
        return count_views(config, unlabelled)
    if config.task in METHODS:
        return views_of_method(config.task, config, splits)
    if config.task != "benchmark":
        return 0
    processes = world_size(config.trainer.devices, config.trainer.num_nodes)
    draws = -(-len(splits.draws(config.labels)) // processes)  # which the processes share
    trained = draws * sum(views_of_method(method, config, splits) for method in config.methods)
    return len(config.pretrain_seeds or [0]) * (count_views(config, unlabelled) + trained)


def views_of_method(method: str, config: Config, splits: Splits) -> int:
    """Those of a method on one label draw, its trainings for calibration included."""
    if not METHODS[method].trains:
        return 0
    settings = settings_of(config, method)
    labels = config.labels
    labelled = len(splits.draw(labels.per_class, labels.seed, labels.budget))
    unlabelled = len(splits.unlabelled)
    if isinstance(settings, SelfTrainConfig):
        batch = min(settings.batch_size, unlabelled)
        return settings.max_epochs * (unlabelled // batch) * (2 * batch + min(batch, labelled))
    folds = 0
    if config.task == method:
        folds = trained_folds(labelled, config.labels.per_class or labelled, FOLDS)
    sizes = [labelled, *[labelled - labelled // FOLDS] * folds]
    batches = [min(settings.batch_size, size) for size in sizes]
    return settings.max_epochs * sum(
        size - size % batch for size, batch in zip(sizes, batches, strict=True)
    )
