"""Published weights of timm's models, from timm's cache, its hub or a local file."""

from typing import Any

from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.models.encoders import Encoder, timm_network


def load_pretrained(encoder: Encoder, config: EncoderConfig, in_channels: int) -> None:
    """Load the published weights of a timm model into its encoder (`encoder.pretrained=true`).

    A first layer for three channels is adapted to `in_channels` by timm.

    Args:
        encoder: from `build_encoder(config, in_channels)`.
        config: the name of the model, and perhaps a file with the weights (safetensors).
        in_channels: of the images.

    Raises:
        SimclrError: if the weights cannot be had, or do not fit the model.
    """
    source: dict[str, Any] = {"pretrained": True}
    if config.checkpoint is not None:
        source["pretrained_cfg_overlay"] = {"file": config.checkpoint}
    try:
        network = timm_network(config, in_channels, **source)
    except Exception as error:  # timm, its hub's client and the file's reader raise nearly anything
        where = f"encoder.checkpoint={config.checkpoint}" if config.checkpoint else "timm"
        raise SimclrError(
            f"encoder.pretrained=true: no weights for encoder.model={config.model} from {where} "
            f"({str(error).partition(chr(10))[0][:300]}); download the model's model.safetensors "
            "on a machine with a network, and name it: encoder.checkpoint=PATH"
        ) from error
    encoder.backbone[-1].load_state_dict(network.state_dict())  # type: ignore[index]
