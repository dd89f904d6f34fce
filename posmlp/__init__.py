"""PosMLP: every gating unit of the paper, trained, tracked and compared by one command."""

__version__ = "0.1.0"
