"""Runs as Slurm jobs: requests, checks before the first submission, and signals.

Snakemake's executor plugin submits and monitors the jobs.
"""
