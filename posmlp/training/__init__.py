"""Training: batches, the loop, and the files of a run folder."""
