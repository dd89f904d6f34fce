"""Training: batches, seeds, the training loop and evaluation."""
