"""``pyrt system restart-unit``."""

from __future__ import annotations

import contextlib
import os
import sys

from pyrt import files
from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Exists, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine

NAME = "pyrt-restart.service"

UNIT = """\
# Written by `pyrt system restart-unit`.
[Unit]
Description=Start the containers of pyrt that are to be started again after a reboot

[Service]
Type=oneshot
RemainAfterExit=true
Delegate=true
TimeoutStopSec=10
ExecStart={command} start --all --filter should-start-on-boot=true

[Install]
WantedBy=default.target
"""


class SystemRestartUnit(Verb):
    """Print the systemd user unit that starts containers after a reboot

    Those with --restart always, and those with unless-stopped that nobody has stopped.
    """

    install: Annotated[bool, Option("--install", help="Write it for this user, and enable it")] = (
        False
    )

    def __call__(self, engine: Engine) -> int:
        """Print it, or hand it to systemd."""
        text = UNIT.format(command=command())
        if not self.install:
            output.line(text.rstrip("\n"))
            return 0
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        if not os.path.exists(f"{runtime}/systemd/private"):
            hint = "print the unit, and have whatever starts sessions here run its ExecStart"
            raise Unsupported("--install", "", "no systemd runs for this user", hint=hint)
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        directory = f"{home}/systemd/user"
        # What `systemctl --user enable` would do.
        wanted = f"{directory}/default.target.wants"
        files.ensure_directory(wanted)
        files.write_whole(f"{directory}/{NAME}", text.encode(), mode=0o644)
        with contextlib.suppress(Exists):
            files.claim_name(f"{wanted}/{NAME}", f"../{NAME}")
        output.line(f"{directory}/{NAME}")
        if not os.path.exists(f"/var/lib/systemd/linger/{os.environ.get('USER', '')}"):
            output.warn("it starts when you log in; `loginctl enable-linger` has it start at boot")
        return 0


def command() -> str:
    """This pyrt, by a path that systemd finds."""
    found = os.path.join(os.path.dirname(sys.executable), "pyrt")
    return found if os.path.exists(found) else f"{sys.executable} -m pyrt"
