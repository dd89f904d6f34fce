"""Runs as Slurm jobs: what a site requests, what is checked before the first submission, signals.

Snakemake's executor plugin submits and watches the jobs.
"""
