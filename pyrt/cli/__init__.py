"""The command line: pick the verb, import only it, parse, do it, and render an error once.

Hot verbs are parsed from the generated table and never see Typer; everything else, and everything
unusual, goes to Typer through `typed`.
"""

from __future__ import annotations

from pyrt.cli.parser import Punt, parse
from pyrt.cli.table import TABLE
from pyrt.errors import Denied, InvalidSpec, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.cli.parser import VerbTable
    from pyrt.cli.verb import Verb
    from pyrt.engine.api import Engine

ROOT_OPTIONS = {"--root": "root", "--runroot": "runroot", "--cgroup-manager": "cgroup_manager"}
INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Run the command line ``argv`` (without the program's name); the exit code."""
    from pyrt.cli import output

    try:
        return dispatch(argv)
    except PyrtError as error:
        output.report(error)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone away; there is nobody to tell.
        return 1
    except UnicodeEncodeError as error:
        # config.json is UTF-8 (RFC 8259); what is not could only be stored as something else.
        output.report(InvalidSpec("argument", repr(error.object), "is not UTF-8"))
        return 125
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        from pyrt.errors import from_os_error

        output.report(from_os_error(error, "system call"))
        return 125


def dispatch(argv: list[str]) -> int:
    """Parse ``argv`` by the table, or let Typer do it, and call the verb."""
    try:
        roots, at = parse_roots(argv)
        name = argv[at] if at < len(argv) else ""
        if name == "--version" and len(argv) == 1:
            return print_version()
        text = TABLE.get(name)
        if text is None:
            at += 1
            text = TABLE.get(" ".join((name, *argv[at : at + 1])))
        if text is None:
            raise Punt
        from pyrt import native

        table: VerbTable = native.loads(text.encode())
        values = parse(table, argv[at + 1 :])
    except Punt:
        from pyrt.cli import typed

        return typed.run(argv, call)
    module = __import__(table["module"], fromlist=[table["name"]])
    return call(getattr(module, table["name"])(values), roots)


def parse_roots(argv: list[str]) -> tuple[dict[str, str], int]:
    """The values of the options before the verb, and where it stands. Raises Punt."""
    roots: dict[str, str] = {}
    at = 0
    while at < len(argv) and argv[at].startswith(tuple(ROOT_OPTIONS)):
        name, equals, value = argv[at].partition("=")
        at += 1
        if not equals:
            if at == len(argv):
                raise Punt
            value = argv[at]
            at += 1
        if name not in ROOT_OPTIONS:
            raise Punt
        roots[ROOT_OPTIONS[name]] = value
    return roots, at


def call(verb: Verb, roots: dict[str, str]) -> int:
    """Do what a parsed verb says, on the store below these roots."""
    from pyrt.engine.api import Engine

    engine = Engine(roots.get("root"), roots.get("runroot"), roots.get("cgroup_manager", ""))
    try:
        return verb(engine)
    except Denied as error:
        error.hint = error.hint or hint_at_roots(engine, error.subject)
        raise


def hint_at_roots(engine: Engine, path: str) -> str:
    """What to do about a path that is closed to us, if it is one of pyrt's own or on
    the way there.
    """
    if not path.startswith("/"):
        return ""
    for root, option in ((engine.layout.data, "--root"), (engine.layout.run, "--runroot")):
        if f"{path}/".startswith(f"{root}/") or f"{root}/".startswith(f"{path}/"):
            return f"make {path} writable, or give {option} DIR"
    return ""


def print_version() -> int:
    """``pyrt --version``."""
    from pyrt import __version__
    from pyrt.cli import output

    output.line(f"pyrt version {__version__}")
    return 0
