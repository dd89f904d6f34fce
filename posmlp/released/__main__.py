"""`python -m posmlp.released verify|evaluate|export`: the released code's files and ours."""

import argparse
import sys
from pathlib import Path

from posmlp.released.golden import verify


def verify_cases(arguments: argparse.Namespace) -> int:
    """Compare golden cases."""
    return 0 if verify(arguments.files, arguments.tolerance) else 1


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the accuracy of a checkpoint."""
    import torch

    from posmlp.released.evaluate import evaluate_checkpoint

    cuda = torch.cuda.is_available() if arguments.device == "auto" else arguments.device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; leave --device out")
    device = torch.device("cuda" if cuda else "cpu")
    print(evaluate_checkpoint(arguments.file, arguments.data, arguments.weights, device))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a run's weights in the released layout."""
    from posmlp.released.checkpoint import STATES, export_run

    content = export_run(arguments.run, arguments.out)
    sets = " and ".join(f"{key} ({kind})" for kind, key in STATES.items() if key in content)
    print(f"{arguments.out}: {sets}, epoch {content['epoch']}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m posmlp.released", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("verify", help="compare golden cases of the released code")
    command.set_defaults(function=verify_cases)
    command.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    command.add_argument("--tolerance", type=float, default=1e-9, help="largest difference allowed")
    command = commands.add_parser("evaluate", help="test a released checkpoint on ImageNet")
    command.set_defaults(function=evaluate)
    command.add_argument("file", type=Path, metavar="FILE.pth")
    command.add_argument("data", type=Path, metavar="DATA", help="folder with val/<class>/")
    command.add_argument(
        "--weights", choices=("ema", "raw"), help="default: ema where the file has it"
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command = commands.add_parser("export", help="write a run's weights in the released layout")
    command.set_defaults(function=export)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument("out", type=Path, metavar="OUT.pth")
    arguments = parser.parse_args()
    try:
        return arguments.function(arguments)
    except ValueError as error:  # all errors that a user can mend
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
