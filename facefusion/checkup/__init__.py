"""Whether everything works on this machine, and how fast: the doctor and the benchmark."""
