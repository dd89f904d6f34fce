"""The command `posmlp`, also as `python -m posmlp`."""

import sys

from posmlp import STUDY_EXTRA


def main() -> int:
    try:
        from posmlp.cli import main as command

        return command()
    except ModuleNotFoundError as error:
        sys.exit(f"error: the command posmlp needs {error.name}; {STUDY_EXTRA}")


if __name__ == "__main__":
    sys.exit(main())
