"""``python -m pyrt`` and the ``pyrt`` command."""

from __future__ import annotations

import os
import sys

from pyrt import cli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    code = cli.main(sys.argv[1:])
    # Not sys.exit: tearing the interpreter down costs more than many a verb, and nothing is left to
    # do.
    os._exit(code)


if __name__ == "__main__":
    main()
