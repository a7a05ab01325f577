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
    fill_standard_descriptors()
    code = cli.main(sys.argv[1:])
    # Not sys.exit: tearing the interpreter down costs more than many a verb, and nothing is left to
    # do.
    os._exit(code)


def fill_standard_descriptors() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed.

    Else the next file that is opened would get that number, and a container's output with it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
