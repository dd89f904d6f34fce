"""Figures: catalogue.py lists and draws them, style.py sets their look."""
