"""Programs that keep passwords for us: docker-credential-NAME, which speak JSON on their pipes
(github.com/docker/docker-credential-helpers, README, Development).
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import orjson

from pyrt.errors import InvalidSpec, KernelError, NotFound, from_os_error

ABSENT = ("credentials not found", "no credentials server url", "no credentials username")
"""How helpers say that they have nothing for a server, in whatever else they say."""


def get(name: str, server: str) -> tuple[str, str] | None:
    """User name and secret that the helper `name` keeps for `server`, None if it has none."""
    code, output = run(name, "get", server.encode())
    text = output.decode("utf-8", "replace").strip()
    if code != 0:
        if any(words in text.lower() for words in ABSENT):
            return None
        raise KernelError("credential helper", name, text or f"exit code {code}")
    try:
        answer: Any = orjson.loads(output)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise InvalidSpec("credential helper", name, "its answer is not a JSON object")
    user, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(user, str) or not isinstance(secret, str):
        raise InvalidSpec("credential helper", name, "its answer has no Username and Secret")
    return user, secret


def store(name: str, server: str, user: str, secret: str) -> None:
    """Let the helper keep a secret."""
    document = {"ServerURL": server, "Username": user, "Secret": secret}
    require(name, "store", orjson.dumps(document))


def erase(name: str, server: str) -> None:
    """Let the helper forget the server."""
    require(name, "erase", server.encode())


def require(name: str, verb: str, data: bytes) -> None:
    """Run a verb that must succeed."""
    code, output = run(name, verb, data)
    if code != 0:
        text = output.decode("utf-8", "replace").strip()
        raise KernelError(f"credential helper {verb}", name, text or f"exit code {code}")


def run(name: str, verb: str, data: bytes) -> tuple[int, bytes]:
    """Run `docker-credential-NAME VERB` with `data` on its stdin: exit code and stdout. Its stderr
    is ours.
    """
    program = f"docker-credential-{name}"
    if not name or "/" in name:
        raise InvalidSpec("credential helper", name, "not the name of a program")
    stdin, feed = os.pipe()
    answer, stdout = os.pipe()
    try:
        try:
            pid = os.posix_spawnp(
                program,
                [program, verb],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)],
            )
        except FileNotFoundError:
            hint = f"install {program}, or remove it from credHelpers and credsStore"
            raise NotFound("credential helper", program, "not in PATH", hint=hint) from None
        except OSError as error:
            raise from_os_error(error, "run", program) from None
        finally:
            os.close(stdin)
            os.close(stdout)
        feed = hand_over(feed, data)
        text = b""
        while more := os.read(answer, 1 << 16):
            text += more
    finally:
        os.close(answer)
        if feed >= 0:
            os.close(feed)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), text


def hand_over(feed: int, data: bytes) -> int:
    """Write `data`, less than a pipe holds, and close: -1, which is no descriptor any more."""
    # Broken: it has read what it wanted, or nothing; its exit code tells.
    with contextlib.suppress(BrokenPipeError):
        os.write(feed, data)
    os.close(feed)
    return -1
