"""``python -m pyrt`` and the ``pyrt`` command."""

from __future__ import annotations

import gc
import sys

from pyrt import system as os
from pyrt.compiled import CompiledFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    if not sys.flags.optimize:
        sys.meta_path.insert(0, CompiledFinder)
    # Most verbs end before there is garbage, and loading their modules looked for it three times.
    gc.set_threshold(50_000)
    from pyrt import cli

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
