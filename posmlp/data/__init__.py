"""Data sets: sources, readers and subsets. Nothing here imports torch."""
