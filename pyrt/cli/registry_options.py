"""The options of verbs that speak to registries, and what they mean together."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.images.access import Access


class RegistryOptions(Verb):
    """How registries are reached."""

    authfile: Annotated[
        str, Option("--authfile", metavar="PATH", help="Credentials, instead of auth.json")
    ] = ""
    cert_dir: Annotated[
        str, Option("--cert-dir", metavar="DIR", help="Authorities (*.crt), and *.cert with *.key")
    ] = ""
    creds: Annotated[
        str, Option("--creds", metavar="USER[:PASSWORD]", help="Who we are to the registry")
    ] = ""
    retry: Annotated[int, Option("--retry", help="Further attempts where one may help")] = 3
    retry_delay: Annotated[
        str, Option("--retry-delay", help="Before the first of them, such as 500ms or 2s")
    ] = ""
    tls_verify: Annotated[
        bool | None,
        Option("--tls-verify", help="TLS with a trusted certificate; as registries.conf says"),
    ] = None

    def access(self) -> Access:
        """What the options say. Raises PyrtError naming the one that is wrong."""
        from pyrt.engine.clock import SECOND, parse_duration
        from pyrt.errors import InvalidSpec
        from pyrt.images.access import Access

        if self.retry < 0:
            raise InvalidSpec("--retry", str(self.retry), "less than 0")
        creds = self.creds
        if creds and ":" not in creds:
            from pyrt.cli.prompt import ask_secret

            creds = f"{creds}:{ask_secret('Password: ')}"
        pause_s = parse_duration(self.retry_delay) / SECOND if self.retry_delay else 0.5
        return Access(self.authfile, creds, self.cert_dir, self.tls_verify, self.retry, pause_s)
