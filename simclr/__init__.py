"""Self-supervised pretraining on digits, then classification with 100 labels."""

__version__ = "0.1.0"
