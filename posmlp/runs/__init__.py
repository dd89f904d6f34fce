"""A run and its folder: who holds it, its checkpoints, its files, and how it is interrupted.

Nothing here changes a number that a training computes (that is posmlp/training), so a change here
retrains nothing.
"""
