"""Figures of a study: registry.py lists them, draw.py draws them, style.py says how they look."""
