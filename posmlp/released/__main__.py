"""`python -m posmlp.released verify|evaluate|export`: the released code's files and ours."""

import argparse
import sys
from pathlib import Path

from posmlp.released.golden import verify


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m posmlp.released", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("verify", help="compare golden cases of the released code")
    command.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    command.add_argument("--tolerance", type=float, default=1e-9, help="largest difference allowed")
    arguments = parser.parse_args()
    return 0 if verify(arguments.files, arguments.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
