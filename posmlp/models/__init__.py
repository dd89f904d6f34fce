"""Backbones with any gating unit; importing this package registers them with timm."""

from posmlp.models.gmlp import PosGmlp
from posmlp.models.posmlp import PosMlp

__all__ = ["PosGmlp", "PosMlp"]
