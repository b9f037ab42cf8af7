"""The tasks: each a short function from parts to what it found out."""
