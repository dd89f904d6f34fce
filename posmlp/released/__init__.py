"""Read and write what the authors' code does: parameters, checkpoints and golden cases.

Released code: github.com/Zhicaiwww/PosMLP at 654f020. `python -m posmlp.released verify` shows that
it and ours compute the same, `evaluate` tests a released checkpoint, `export` writes one of ours.
"""

from posmlp.released.convert import ReleasedError, convert_network, convert_unit
from posmlp.released.export import export_network
from posmlp.released.golden import GoldenCase, verify
from posmlp.released.network import architecture, released_network

__all__ = [
    "GoldenCase",
    "ReleasedError",
    "architecture",
    "convert_network",
    "convert_unit",
    "export_network",
    "released_network",
    "verify",
]
