"""pyrt: OCI containers for an unprivileged user. ``from pyrt import Engine`` is the Python API.

Importing the package imports nothing else: the command line pays for what a verb needs, and no
more.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.api import Container, Engine
    from pyrt.engine.stats import Stats
    from pyrt.errors import PyrtError

__all__ = ["Container", "Engine", "PyrtError", "Stats"]
__version__ = "0.1.0"

HOMES = {
    "Container": "pyrt.engine.api",
    "Engine": "pyrt.engine.api",
    "PyrtError": "pyrt.errors",
    "Stats": "pyrt.engine.stats",
}


def __getattr__(name: str) -> object:
    """The public names, from their modules when first asked for (PEP 562)."""
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pyrt' has no attribute {name!r}")
    return getattr(__import__(home, fromlist=[name]), name)
