"""Figures of a study: catalogue.py lists and draws them, style.py says how they look."""
