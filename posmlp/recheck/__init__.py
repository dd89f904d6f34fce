"""Committed results, made again: files from the tables of runs, and a sample of runs by training.

`python -m posmlp check-results` is the command (check.py). derive.py makes what comes from runs.csv
and curves.csv, retrain.py trains a sample, networks.py draws what its networks have learned;
files.py and numbers.py compare with what is committed, by the rules in docs/statistics.md.
"""
