"""Positional encodings, token mixing and spatial gating units."""

from posmlp.layers.gating import GatingUnit
from posmlp.layers.mixing import TokenMixing
from posmlp.layers.position import GQPE, LRPE, QPE
from posmlp.layers.units import GATES, SettingError

__all__ = ["GATES", "GQPE", "LRPE", "QPE", "GatingUnit", "SettingError", "TokenMixing"]
