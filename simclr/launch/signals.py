"""The signals that ask a run to stop."""

import signal

# SIGHUP: the terminal was closed. Windows does not have it, nor SIGUSR1.
STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
REQUEUE = getattr(signal, "SIGUSR1", None)  # what SLURM can be asked to send before time is up
