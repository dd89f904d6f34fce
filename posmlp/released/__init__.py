"""Parameters, checkpoints and golden cases of the authors' code.

Released code: github.com/Zhicaiwww/PosMLP at 654f020. `posmlp released verify` shows that it and
ours compute the same, `evaluate` tests a released checkpoint, `export` writes one of our networks.
"""

from posmlp.released.architecture import released_network
from posmlp.released.convert import ReleasedError, convert_network, convert_unit
from posmlp.released.export import export_network
from posmlp.released.golden import GoldenCase, verify

__all__ = [
    "GoldenCase",
    "ReleasedError",
    "convert_network",
    "convert_unit",
    "export_network",
    "released_network",
    "verify",
]
