"""The audit: every published number beside ours, with the reason where they differ."""

from posmlp.analysis.audit.compare import Cell, Line, Ours, audit
from posmlp.analysis.audit.write import summary, write_audit

__all__ = ["Cell", "Line", "Ours", "audit", "summary", "write_audit"]
