"""Lightning callbacks: timing, probes, progress, checkpoints, signals."""
