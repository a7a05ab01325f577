"""`pyrt image bootstrap`: a base image of a distribution's own packages, where no registry is in
reach.

mmdebstrap installs them in a user namespace of its own, and what it writes is imported.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from pyrt import native
from pyrt.errors import InvalidSpec, KernelError, NotFound, from_os_error
from pyrt.images import blobs, sweep
from pyrt.images.archive import add_image
from pyrt.images.changes import apply_change
from pyrt.images.reference import canonical

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout

PROGRAM = "mmdebstrap"
DISTRIBUTIONS = ("debian", "ubuntu")
"""Those whose suites mmdebstrap knows, and where they are to be had."""

WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
CONFIG: dict[str, Any] = {
    "Cmd": ["/bin/bash"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}


def bootstrap(
    layout: Layout,
    text: str,
    name: str = "",
    *,
    mirrors: list[str] | None = None,
    variant: str = "minbase",
    include: list[str] | None = None,
    changes: list[str] | None = None,
    quiet: bool = False,
) -> Image:
    """Install `text`, `DISTRIBUTION:SUITE`, as an image called `name`, or as `text` says.

    `mirrors` are URLs or sources.list(5) lines, where packages come from; [] for the
    distribution's own. `variant` is mmdebstrap's, `include` more packages, `changes` Containerfile
    instructions. What mmdebstrap says goes to stderr. Raises NotFound where it is not installed,
    KernelError if it fails; nothing is left then. (mmdebstrap(1).)
    """
    suite = parse_suite(text, bool(mirrors))
    full_name = canonical(name or text)
    config = {key: list(value) for key, value in CONFIG.items()}
    for change in changes or []:
        apply_change(config, change)
    argv = [PROGRAM, "--format=tar", f"--variant={variant}"]
    argv += ["--quiet"] if quiet else []
    argv += [f"--include={package}" for package in include or []]
    argv += ["--", suite, "-", *(mirrors or [])]
    history = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "created_by": f"pyrt image bootstrap {text}",
    }
    blobs.prepare(layout)
    sweep.sweep_temporaries(layout)
    with blobs.Ingest(layout) as ingest:
        install(argv, text, ingest.fd)
        return add_image(layout, ingest, full_name, config, history)


def parse_suite(text: str, has_mirror: bool) -> str:
    """The suite in `DISTRIBUTION:SUITE`. Raises InvalidSpec."""
    distribution, colon, suite = text.partition(":")
    if not colon or not suite or not WORD.issuperset(suite) or suite[0] in ".-":
        hint = "name a suite too, such as debian:bookworm"
        raise InvalidSpec("bootstrap", text, "not DISTRIBUTION:SUITE", hint=hint)
    if distribution not in DISTRIBUTIONS and not has_mirror:
        reason = f"where the packages of {distribution} are is not known"
        raise InvalidSpec("bootstrap", text, reason, hint="say so with --mirror URL")
    return suite


def install(argv: list[str], subject: str, blob: int) -> None:
    """Run mmdebstrap and write what it writes, compressed, to the descriptor `blob`."""
    reader, writer = os.pipe()
    try:
        try:
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            pid = os.posix_spawnp(
                PROGRAM,
                argv,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, writer, 1)],
            )
            os.close(null)
        except FileNotFoundError:
            hint = f"run: sudo apt install {PROGRAM}"
            raise NotFound("bootstrap", PROGRAM, "is not installed", hint=hint) from None
        except OSError as error:
            raise from_os_error(error, "run", PROGRAM) from None
        finally:
            os.close(writer)
        try:
            native.compress_layer(reader, blob)
        except BaseException:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise
    finally:
        os.close(reader)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        reason = f"{PROGRAM} ended with exit code {code}; what it said is above"
        raise KernelError("bootstrap", subject, reason)
