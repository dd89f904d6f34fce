"""What all tests share."""

import os

# The suite runs a process per core; more threads than cores make small tensors ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
