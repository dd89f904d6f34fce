"""Which code, which machine: the facts that make a run's numbers traceable."""

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
# What a run's result depends on, beside its settings.
TRAINING_FOLDERS = ("layers", "models", "data", "training")


@cache
def training_code_digest() -> str:
    """16 hex digits of the code that trains. Comments, docstrings and layout do not change it."""
    return code_digest(PACKAGE, TRAINING_FOLDERS)


@cache
def analysis_code_digest() -> str:
    """16 hex digits of the code that draws tables and figures."""
    return code_digest(PACKAGE, ("analysis",))


def code_digest(package: Path, folders: tuple[str, ...]) -> str:
    """Digest of the Python files under `folders`: their paths and their syntax trees."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((package / folder).rglob("[!.]*.py")):  # editors' locks begin with a dot
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            digest.update(f"{path.relative_to(package).as_posix()}\n{canonical(tree)}\n".encode())
    return digest.hexdigest()[:16]


def canonical(node: Any) -> str:
    """Write a syntax tree, without docstrings, as text that Python 3.11 to 3.13 agree on.

    Empty fields are skipped, as later versions add some (3.12 `type_params`, for one), and empty
    texts in f-strings, which 3.12 adds to format specifications.
    """
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, ast.JoinedStr):
            fields["values"] = [v for v in node.values if getattr(v, "value", None) != ""]
        parts = [f"{k}={canonical(v)}" for k, v in fields.items() if v is not None and v != []]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(canonical(entry) for entry in node if not _is_docstring(entry))}]"
    return ascii(node)  # repr prints other characters as each Python's Unicode tables have it


def _is_docstring(node: Any) -> bool:
    value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def git_state() -> dict[str, str | bool | None]:
    """Commit of the repository and whether files differ from it; None outside of a repository.

    results/ does not count: a study that writes its tables does not change the code.
    """
    commit = _git("rev-parse", "--verify", "HEAD")
    changes = commit and _git("status", "--porcelain", "--", ":/", ":(top,exclude)results")
    dirty = None if changes is None else changes != ""
    return {"git_commit": commit, "git_dirty": dirty}


def _git(*arguments: str) -> str | None:
    # Many runs start at once: none of them may take the index lock.
    command = ["git", "--no-optional-locks", *arguments]
    options = dict(cwd=PACKAGE, stderr=subprocess.DEVNULL, text=True, timeout=30)
    try:
        return subprocess.check_output(command, **options).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def environment(device_type: str) -> dict[str, str | int | None]:
    """Versions and hardware of this process.

    Args:
        device_type: "cpu" or "cuda", where the run computes.
    """
    from importlib.metadata import version

    import torch

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # its version, unlike the metadata's, tells +cpu from +cu
        "torchvision": version("torchvision"),
        "timm": version("timm"),
        "numpy": version("numpy"),
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name() if device_type == "cuda" else cpu_name(),
        "cpu": cpu_name(),
        # of torch's kernels, by which processors of one name may differ
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "hostname": socket.gethostname(),
        "num_threads": torch.get_num_threads(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


@cache
def packages() -> list[str]:
    """Every installed package as name==version, in the order of names."""
    from importlib.metadata import distributions

    found = {d.metadata["Name"]: d.version for d in distributions()}
    return sorted((f"{name}=={version}" for name, version in found.items()), key=str.lower)


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as the system names it, with the numbers that tell apart those of one name."""
    try:
        first = cpuinfo.read_text().partition("\n\n")[0]
    except OSError:  # not Linux
        first = ""
    facts = dict(re.findall(r"(.+?)\s*: (.+)", first))
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{facts['model name']} ({', '.join(numbers)})" if numbers else facts["model name"]
