"""The long way: Typer parses, and says what is wrong in podman's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option
from typer._click.exceptions import (
    BadOptionUsage,
    BadParameter,
    ClickException,
    MissingParameter,
    NoSuchOption,
    UsageError,
)
from typer.exceptions import Exit

from pyrt.cli import output
from pyrt.cli.tree import MissingVerb, UnknownVerb, build_tree
from pyrt.cli.verb import Verb

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE_ERROR = 125


def run(argv: list[str], call: Callable[[Verb, dict[str, str]], int]) -> int:
    """Parse ``argv`` with Typer and call the verb; the exit code."""
    roots: dict[str, str] = {}

    def root(
        data_root: Annotated[
            str | None, Option("--root", metavar="DIR", help="Where images and containers are kept")
        ] = None,
        run_root: Annotated[
            str | None,
            Option("--runroot", metavar="DIR", help="Where running containers are known"),
        ] = None,
        cgroup_manager: Annotated[
            str | None,
            Option("--cgroup-manager", metavar="NAME", help="systemd, cgroupfs or disabled"),
        ] = None,
        version: Annotated[bool, Option("--version", "-v", help="Print the version")] = False,
    ) -> None:
        """Run OCI containers for an unprivileged user: no root, no daemon."""
        roots.update(
            {
                name: value
                for name, value in (
                    ("root", data_root),
                    ("runroot", run_root),
                    ("cgroup_manager", cgroup_manager),
                )
                if value is not None
            }
        )
        roots.update({"version": "1"} if version else {})

    group = build_tree(root)
    try:
        verb = group.main(argv or ["--help"], prog_name="pyrt", standalone_mode=False)
    except UnknownVerb as error:
        path, name = error.args
        output.complain(f"Error: unrecognized command `{path} {name}`")
        output.complain(f"Try '{path} --help' for more information")
        return USAGE_ERROR
    except MissingVerb as error:
        return explain_missing(str(error))
    except ClickException as error:
        explain(error)
        return USAGE_ERROR
    except Exit as error:
        return error.exit_code
    finally:
        output.flush()
    if roots.pop("version", None):
        from pyrt.cli import print_version

        return print_version()
    if isinstance(verb, Verb):
        return call(verb, roots)
    if verb is None:
        return explain_missing("pyrt")
    return int(verb)


def explain_missing(path: str) -> int:
    """A group, or global options, and no verb."""
    output.complain(f"Error: missing command '{path} COMMAND'")
    output.complain(f"Try '{path} --help' for more information")
    return USAGE_ERROR


def explain(error: ClickException) -> None:
    """Say what is wrong with a command line, and where its help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "pyrt"
    output.complain(f"Error: {describe(error, context)}")
    output.complain(f"See '{path} --help'")


def describe(error: ClickException, context: Any) -> str:
    """The error in podman's (pflag's and cobra's) words."""
    if isinstance(error, NoSuchOption):
        name = error.option_name
        return f"unknown flag: {name}" if name.startswith("--") else error.message
    if isinstance(error, BadOptionUsage):
        name = error.option_name
        if name.startswith("--"):
            return f"flag needs an argument: {name}"
        return f"flag needs an argument: '{name[1:]}' in {name}"
    if isinstance(error, MissingParameter):
        required = sum(parameter.required for parameter in context.command.params) if context else 1
        return f"requires at least {required} arg(s), only received {received(context)}"
    if isinstance(error, BadParameter):
        names = ", ".join(error.param.opts) if error.param is not None else ""
        reason = lower(error.message)
        return f'invalid argument for "{names}" flag: {reason}' if names else error.message
    if isinstance(error, UsageError):
        return lower(error.message)
    return error.format_message()


def received(context: Any) -> int:
    """How many positionals there were, of those that have a place."""
    if context is None:
        return 0
    return sum(
        context.params.get(parameter.name) not in (None, [])
        for parameter in context.command.params
        if parameter.param_type_name == "argument"
    )


def lower(message: str) -> str:
    """Click's sentence as a phrase: no capital, no period."""
    return message[:1].lower() + message[1:].rstrip(".")
