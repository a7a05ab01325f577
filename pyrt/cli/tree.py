"""The command tree for Typer: help, errors, and the truth from which the table of hot verbs is
generated.

Imported only off the hot path. It evaluates the annotations of a verb's class, where the rest of
the program sees strings, and teaches Typer's parser the two things in which podman's grammar
(pflag's) is richer: ``--flag=false`` and ``-e=A=B``.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click.exceptions import BadParameter, NoSuchOption, UsageError
from typer._click.parser import _OptionParser
from typer.core import TyperCommand, TyperGroup

from pyrt.cli.parser import BOOLEANS
from pyrt.cli.verb import Verb
from pyrt.cli.verbs import ALIASES, GROUPS, UNINTERSPERSED, VALUE_OPTIONAL, VERBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter
    from typer._click.parser import _ParsingState

NAMES = {"Annotated": Annotated, "Option": typer.Option, "Argument": typer.Argument}
"""What an option's annotation may name besides builtins."""


class PodmanParser(_OptionParser):
    """Click's parser with pflag's values for flags and shorthands."""

    def parse_args(self, args: list[str]) -> tuple[dict[str, Any], list[str], list[Any]]:
        """As Click's; its errors know where they happened, so that the right help is named."""
        try:
            return super().parse_args(args)
        except UsageError as error:
            error.ctx = error.ctx or self.ctx
            raise

    def _match_long_opt(self, opt: str, explicit_value: str | None, state: _ParsingState) -> None:
        if opt in VALUE_OPTIONAL and explicit_value is None:
            explicit_value = "-"
        option = self._long_opt.get(opt)
        if option is None or option.takes_value or explicit_value is None:
            super()._match_long_opt(opt, explicit_value, state)
        else:
            self.set_flag(opt, explicit_value, state)

    def _match_short_opt(self, arg: str, state: _ParsingState) -> None:
        for at, letter in enumerate(arg[1:], 1):
            option = self._short_opt.get("-" + letter)
            if option is None:
                message = f"unknown shorthand flag: '{letter}' in {arg}"
                raise NoSuchOption(f"-{letter}", message=message)
            tail = arg[at + 1 :]
            explicit = len(tail) > 1 and tail[0] == "="
            if option.takes_value:
                if tail:
                    state.rargs.insert(0, tail[1:] if explicit else tail)
                option.process(self._get_value_from_state(f"-{letter}", option, state), state)
                return
            if explicit:
                self.set_flag(f"-{letter}", tail[1:], state)
                return
            option.process(None, state)

    def set_flag(self, name: str, text: str, state: _ParsingState) -> None:
        """``--flag=true``, ``--flag=0``: whatever strconv.ParseBool takes."""
        option = self._long_opt.get(name) or self._short_opt[name]
        if text not in BOOLEANS:
            message = f'invalid argument "{text}" for "{name}" flag: not a boolean'
            raise BadParameter(message)
        state.opts[str(option.dest)] = BOOLEANS[text]
        state.order.append(option.obj)


class PodmanCommand(TyperCommand):
    """A verb as Typer runs it; its options are listed by name."""

    def make_parser(self, ctx: Context) -> _OptionParser:
        """As Click's, made of `PodmanParser`."""
        parser = PodmanParser(ctx)
        for parameter in self.get_params(ctx):
            parameter.add_to_parser(parser, ctx)
        return parser

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """As podman writes it: ``[options] IMAGE [COMMAND [ARG...]]``."""
        arguments = [p.metavar or p.name for p in self.params if p.param_type_name == "argument"]
        return ["[options]", *map(str, arguments)]

    def get_params(self, ctx: Context) -> list[Any]:
        """Arguments in their order, options by long name."""
        parameters = super().get_params(ctx)
        return sorted(parameters, key=lambda p: (p.param_type_name != "argument", sort_name(p)))


def sort_name(parameter: Any) -> str:
    """An option's long name; arguments keep the order in which they were declared."""
    return "" if parameter.param_type_name == "argument" else max(parameter.opts, key=len)


class LazyGroup(TyperGroup):
    """The root, or a group below it: knows its verbs' names and one line of help for each, and
    imports the one that is asked for.
    """

    verbs: dict[str, str]
    """Name to key of `VERBS`, or of `GROUPS`."""

    aliases: dict[str, str]

    def list_commands(self, ctx: Context) -> list[str]:
        """All verbs."""
        return sorted(self.verbs)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The verb or group, or the one an alias stands for."""
        key = self.verbs.get(self.aliases.get(cmd_name, cmd_name))
        if key is None:
            return None
        return build_group(key) if key in GROUPS else build_command(key)

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """As Click's, without its guesses about misspelt verbs."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise UnknownVerb(ctx.command_path, args[0])
        return args[0], command, args[1:]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The list of verbs, from the tables: none is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_of(key)) for name, key in sorted(self.verbs.items())])

    def make_parser(self, ctx: Context) -> _OptionParser:
        """As Click's, made of `PodmanParser`."""
        parser = PodmanParser(ctx)
        for parameter in self.get_params(ctx):
            parameter.add_to_parser(parser, ctx)
        return parser


def help_of(key: str) -> str:
    """One line about a verb or group."""
    return GROUPS[key][0] if key in GROUPS else VERBS[key][2]


class UnknownVerb(Exception):
    """No such verb; the arguments are the command above it and what was typed."""


class MissingVerb(Exception):
    """A group and no verb; the argument is the command so far."""


def load(name: str) -> type[Verb]:
    """The class of a verb."""
    module, class_name, _ = VERBS[name]
    verb: type[Verb] = getattr(importlib.import_module(module), class_name)
    return verb


def parameters_of(verb: type[Verb]) -> list[inspect.Parameter]:
    """The options and arguments of a verb's class and its bases, bases first, annotations
    evaluated.
    """
    found: dict[str, inspect.Parameter] = {}
    for owner in reversed(verb.__mro__):
        scope = {**vars(importlib.import_module(owner.__module__)), **NAMES}
        for name, annotation in owner.__dict__.get("__annotations__", {}).items():
            found[name] = inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=eval(annotation, scope),
                default=owner.__dict__.get(name, inspect.Parameter.empty),
            )
    return list(found.values())


def build_command(name: str) -> PodmanCommand:
    """The Typer command of one verb; invoked, it returns the verb, parsed."""
    verb = load(name)
    parameters = parameters_of(verb)

    def parsed(**values: object) -> Verb:
        return verb(values)

    parsed.__doc__ = verb.__doc__
    parsed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    parsed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(
        name.rpartition(" ")[2],
        cls=PodmanCommand,
        context_settings={
            "allow_interspersed_args": name not in UNINTERSPERSED,
            "help_option_names": help_names(parameters),
            "max_content_width": 100,
        },
    )(parsed)
    command = typer.main.get_command(app)
    assert isinstance(command, PodmanCommand)
    return command


def help_names(parameters: list[inspect.Parameter]) -> list[str]:
    """``--help``, and ``-h`` where the verb has no other use for it (in run and create it is the
    host name).
    """
    for parameter in parameters:
        for option in getattr(parameter.annotation, "__metadata__", ()):
            if "-h" in (option.default, *(option.param_decls or ())):
                return ["--help"]
    return ["-h", "--help"]


def build_group(name: str) -> LazyGroup:
    """A group below the root; invoked without a verb, it says so."""

    def missing(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            raise MissingVerb(ctx.command_path)

    help_text, verbs = GROUPS[name]
    missing.__doc__ = help_text
    return build_lazy(missing, name, verbs, {})


def build_tree(root: Callable[..., None]) -> LazyGroup:
    """The whole tree below ``root``, whose parameters are the global options."""
    verbs = {name: name for name in (*VERBS, *GROUPS) if " " not in name}
    return build_lazy(root, "pyrt", verbs, ALIASES)


def build_lazy(
    callback: Callable[..., None], name: str, verbs: dict[str, str], aliases: dict[str, str]
) -> LazyGroup:
    """The group of these verbs."""
    app = typer.Typer(
        cls=LazyGroup,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(callback)
    group = typer.main.get_group(app)
    assert isinstance(group, LazyGroup)
    group.name, group.verbs, group.aliases = name, verbs, aliases
    return group
