"""PosMLP: train, track and compare every gating unit of the paper."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posmlp.analysis.results import load_results
    from posmlp.runs.trained_run import load_run

__all__ = ["load_results", "load_run"]
__version__ = "0.1.0"

_MODULES = {"load_results": "posmlp.analysis.results", "load_run": "posmlp.runs.trained_run"}
STUDY_EXTRA = "install it with pip install 'posmlp[study]' (import posmlp.models works without)"


def __getattr__(name: str) -> Any:
    """Import `load_results` and `load_run` on first use, because they need pandas and torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'posmlp' has no attribute {name!r}")
    try:
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"posmlp.{name} needs {error.name}; {STUDY_EXTRA}") from error
