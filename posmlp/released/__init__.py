"""The authors' checkpoints: read, checked, converted to our networks and evaluated.

Released code: github.com/Zhicaiwww/PosMLP at 654f020. tests/released compares what it computed, the
golden cases, with ours.
"""
