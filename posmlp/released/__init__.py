"""Parameters, checkpoints and golden cases of the authors' code.

Released code: github.com/Zhicaiwww/PosMLP at 654f020. `posmlp released verify` shows that it and
ours compute the same, `evaluate` tests a released checkpoint, `export` writes one of our networks.
"""
