"""Networks and their files. The architectures of `encoder.name` are listed here.

Each is `module:function`, where the function is
`(config: EncoderConfig, in_channels: int) -> Encoder`; the module is imported when it is chosen.
"""

ENCODERS = {
    "cnn": "simclr.models.encoders:cnn",
    "resnet": "simclr.models.encoders:resnet",
    "resnet18": "simclr.models.encoders:resnet18",
    "timm": "simclr.models.encoders:timm_model",
}
