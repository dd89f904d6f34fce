"""Runs and their folders: training, locks, checkpoints, files and interruptions.

What a run computes is in posmlp/training; a change here retrains nothing.
"""
