"""Positional encodings, token mixing and spatial gating units."""

from posmlp.layers.gating import GatingUnit
from posmlp.layers.mixing import GATES, SettingError, TokenMixing
from posmlp.layers.position import GQPE, LRPE, QPE

__all__ = ["GATES", "GQPE", "LRPE", "QPE", "GatingUnit", "SettingError", "TokenMixing"]
