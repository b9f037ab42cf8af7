"""Losses. The variants of `loss.name` are listed here, with their options of `nt_xent`."""

LOSSES = {"nt_xent": {"decoupled": False}, "dcl": {"decoupled": True}}
