"""What a process is given by its caller: variables from flags, files and the environment; a
directory.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec, from_os_error
from pyrt.spec.environment import merge_env, parse_env, parse_env_file
from pyrt.spec.names import parse_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_environment(
    env: list[str], env_files: list[str], environ: Mapping[str, str]
) -> list[str]:
    """``--env-file`` and then ``-e``, later ones winning. Raises InvalidSpec, NotFound with the
    file.
    """
    parts = [parse_env_file(read_env_file(path), path, environ) for path in env_files]
    parts += [parse_env(text, environ) for text in env]
    return merge_env(*parts)


def read_env_file(path: str, flag: str = "--env-file") -> bytes:
    """The bytes of an env file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise from_os_error(error, flag, path) from None


def parse_labels(texts: list[str], label_files: list[str]) -> dict[str, str]:
    """``--label-file``, whose lines are ``KEY[=VALUE]``, and then ``--label``. Raises InvalidSpec,
    NotFound with the file.
    """
    lines: list[str] = []
    for path in label_files:
        data = read_env_file(path, "--label-file")
        try:
            found = (line.strip() for line in data.decode().splitlines())
        except UnicodeDecodeError:
            raise InvalidSpec("--label-file", path, "is not UTF-8") from None
        lines += [line for line in found if line and line[0] != "#"]
    pairs = [parse_label(line, "--label-file") for line in lines]
    return dict(pairs + [parse_label(text) for text in texts])


def parse_workdir(text: str) -> str:
    """``--workdir``, an absolute path in the container; "" for the image's."""
    if text and (not text.startswith("/") or "\0" in text):
        raise InvalidSpec("--workdir", text, "the working directory must be an absolute path")
    return text
