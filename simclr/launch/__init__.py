"""How a run is started: command line, processes, sweeps and failures."""
