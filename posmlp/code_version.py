"""Provenance of a run: digests of the code, git state, hardware and package versions."""

import ast
import hashlib
import os
import platform
import re
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
# Code that the result of a run depends on.
TRAINING_FOLDERS = ("layers", "models", "data", "training")


@cache
def training_code_digest() -> str:
    """16 hex digits that identify the training code, ignoring comments, docstrings and layout."""
    return code_digest(PACKAGE, TRAINING_FOLDERS)


@cache
def analysis_code_digest() -> str:
    """16 hex digits that identify the code of tables and figures."""
    return code_digest(PACKAGE, ("analysis",))


def code_digest(package: Path, folders: tuple[str, ...]) -> str:
    """Digest of the Python files under `folders`: their paths and their syntax trees."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((package / folder).rglob("[!.]*.py")):  # skips lock files of editors
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            digest.update(f"{path.relative_to(package).as_posix()}\n{canonical(tree)}\n".encode())
    return digest.hexdigest()[:16]


def canonical(node: Any) -> str:
    """A syntax tree without docstrings, as text that is the same in Python 3.11 to 3.13.

    Later versions add empty fields (such as `type_params`, 3.12) and empty strings in the format
    specifications of f-strings (3.12), which are skipped.
    """
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, ast.JoinedStr):
            fields["values"] = [v for v in node.values if getattr(v, "value", None) != ""]
        parts = [f"{k}={canonical(v)}" for k, v in fields.items() if v is not None and v != []]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(canonical(entry) for entry in node if not _is_docstring(entry))}]"
    return ascii(node)  # unlike repr, independent of the Unicode version


def _is_docstring(node: Any) -> bool:
    value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def git_state() -> dict[str, str | bool | None]:
    """Commit of the repository and whether files outside results/ differ; None if unknown."""
    commit = _git("rev-parse", "--verify", "HEAD")
    changes = commit and _git("status", "--porcelain", "--", ":/", ":(top,exclude)results")
    dirty = None if changes is None else changes != ""
    return {"git_commit": commit, "git_dirty": dirty}


def _git(*arguments: str) -> str | None:
    # Runs that start at the same time must not compete for the index lock.
    command = ["git", "--no-optional-locks", *arguments]
    options = dict(cwd=PACKAGE, stderr=subprocess.DEVNULL, text=True, timeout=30)
    try:
        return subprocess.check_output(command, **options).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def environment(device_type: str) -> dict[str, str | int | None]:
    """Versions and hardware of a run on "cpu" or "cuda"."""
    from importlib.metadata import version

    import torch

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # includes +cpu or +cu, unlike the metadata
        "torchvision": version("torchvision"),
        "timm": version("timm"),
        "numpy": version("numpy"),
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name() if device_type == "cuda" else cpu_name(),
        "cpu": cpu_name(),
        # chosen by torch; may differ between processors of the same name
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "hostname": socket.gethostname(),
        "num_threads": torch.get_num_threads(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


@cache
def packages() -> list[str]:
    """Every installed package as name==version, sorted."""
    from importlib.metadata import distributions

    found = {d.metadata["Name"]: d.version for d in distributions()}
    return sorted((f"{name}=={version}" for name, version in found.items()), key=str.lower)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name of the processor, with the numbers that distinguish models of the same name."""
    try:
        first = cpuinfo.read_text().partition("\n\n")[0]
    except OSError:  # not Linux
        first = ""
    facts = dict(re.findall(r"(.+?)\s*: (.+)", first))
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{facts['model name']} ({', '.join(numbers)})" if numbers else facts["model name"]
