"""``pyrt login``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Login(Verb):
    """Log in to a container registry

    The credentials are checked with the registry, then kept in auth.json, where podman, buildah and
    skopeo find them too.
    """

    registry: Annotated[
        str, Argument(metavar="[REGISTRY]", help="HOST[:PORT][/NAMESPACE]; the first searched one")
    ] = ""
    authfile: Annotated[
        str, Option("--authfile", metavar="PATH", help="Keep them here instead of in auth.json")
    ] = ""
    cert_dir: Annotated[
        str, Option("--cert-dir", metavar="DIR", help="Authorities (*.crt), and *.cert with *.key")
    ] = ""
    get_login: Annotated[bool, Option("--get-login", help="Print who is logged in")] = False
    password: Annotated[str, Option("--password", "-p", help="Password; others may see it")] = ""
    password_stdin: Annotated[
        bool, Option("--password-stdin", help="Read the password from stdin")
    ] = False
    tls_verify: Annotated[
        bool | None,
        Option("--tls-verify", help="TLS with a trusted certificate; as registries.conf says"),
    ] = None
    username: Annotated[str, Option("--username", "-u", help="User name")] = ""
    verbose: Annotated[bool, Option("--verbose", "-v", help="Say where they are kept")] = False

    def __call__(self, engine: Engine) -> int:
        """Log in."""
        from pyrt.images import sessions
        from pyrt.images.credentials import Credential

        server = self.registry or default_registry()
        if self.get_login:
            output.line(sessions.logged_in_as(server, authfile=self.authfile))
            return 0
        sessions.parse_server(server)
        username, password = self.read_credential(server)
        path = sessions.log_in(
            server,
            Credential(username, password),
            authfile=self.authfile,
            cert_dir=self.cert_dir,
            tls_verify=self.tls_verify,
        )
        if self.verbose:
            output.line(f"Used:  {path}")
        output.line("Login Succeeded!")
        return 0

    def read_credential(self, server: str) -> tuple[str, str]:
        """User name and password: as given, or asked for."""
        from pyrt.cli import prompt

        if self.password_stdin:
            if self.password:
                raise InvalidSpec("--password-stdin", "", "cannot be given with --password")
            if not self.username:
                raise InvalidSpec("--password-stdin", "", "must be given with --username")
            return self.username, prompt.read_line() or ""
        username = self.username or prompt.ask(f"Username for {server}: ")
        return username, self.password or prompt.ask_secret("Password: ")


def default_registry() -> str:
    """The first registry that short names are searched in."""
    import os

    from pyrt.images import registries

    search = registries.read(os.environ).search
    if not search:
        raise NotFound("registry", "", "none given, and none is searched for short names",
                       hint="name one: pyrt login HOST")  # fmt: skip
    return search[0]
