"""Data sets, splits and batches. The sources of `data.name` are listed here."""

SOURCES = ("mnist", "fashion_mnist", "kmnist", "idx", "folder", "synthetic")
