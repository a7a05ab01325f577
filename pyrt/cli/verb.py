"""What a verb is: a class whose annotated attributes are its options and whose call does the work.

    class Kill(Verb):
        '''Send a signal to running containers'''

        signal: Annotated[str, Option("--signal", "-s", help="Signal to send")] = "KILL"

        def __call__(self, engine: Engine) -> int: ...

The annotations are strings: only `tree` evaluates them, for Typer. A hot verb is parsed from the
table that `generate` made of that tree, so that nobody waits for Typer to learn what it said at
build time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.api import Engine


class Verb:
    """One command of the command line."""

    def __init__(self, values: dict[str, object]) -> None:
        """Take parsed ``values`` by attribute name; what is not among them keeps the class's
        default.
        """
        self.__dict__.update(values)

    def __call__(self, engine: Engine) -> int:
        """Do the work; the exit code."""
        raise NotImplementedError
