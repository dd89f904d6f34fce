"""Positional encodings, token mixing and spatial gating units."""

from posmlp.layers.gates import GATES, SettingError
from posmlp.layers.gating import GatingUnit
from posmlp.layers.mixing import TokenMixing
from posmlp.layers.position import GQPE, LRPE, QPE

__all__ = ["GATES", "GQPE", "LRPE", "QPE", "GatingUnit", "SettingError", "TokenMixing"]
