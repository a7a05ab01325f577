"""Who we are to a registry: containers' auth.json and Docker's config.json, read and written
(containers-auth.json(5)).
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pyrt import files
from pyrt.errors import InvalidSpec, NotFound
from pyrt.images import keychain

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCKER_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")
DOCKER_SERVER = "https://index.docker.io/v1/"
"""Under which Docker's own tools keep the credentials of docker.io."""

TOKEN_USER = "<token>"
"""The user name that stands for an identity token among helpers."""


class Credential(NamedTuple):
    """A user name and password, or alone an identity token (an OAuth 2 refresh token), or a
    registry's token that somebody has got already.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        """Without the secret: it could end in a traceback."""
        return f"<Credential of {self.username or TOKEN_USER}>"


def parse_creds(text: str) -> Credential:
    """`--creds USER[:PASSWORD]`."""
    username, _, password = text.partition(":")
    if not username:
        raise InvalidSpec("--creds", "", "has no user name", hint="write --creds USER:PASSWORD")
    return Credential(username, password)


def default_path(environment: Mapping[str, str]) -> str:
    """The file that login writes: $REGISTRY_AUTH_FILE, or auth.json in the runtime directory."""
    named = environment.get("REGISTRY_AUTH_FILE", "")
    if named:
        return named
    runtime = environment.get("XDG_RUNTIME_DIR", "") or f"/run/user/{os.getuid()}"
    return f"{runtime}/containers/auth.json"


def paths(environment: Mapping[str, str], authfile: str = "") -> list[str]:
    """The files that are searched, in order; one that the user names is the only one."""
    named = authfile or environment.get("REGISTRY_AUTH_FILE", "")
    if named:
        return [named]
    home = environment.get("HOME", "")
    configuration = environment.get("XDG_CONFIG_HOME", "") or f"{home}/.config"
    docker = environment.get("DOCKER_CONFIG", "") or f"{home}/.docker"
    return [
        default_path(environment),
        f"{configuration}/containers/auth.json",
        f"{docker}/config.json",
        f"{home}/.dockercfg",
    ]


def read_file(path: str) -> dict[str, Any]:
    """The document at `path`, {} if there is none. InvalidSpec names the property that is wrong."""
    data = files.read(path)
    if data is None or not data.strip():
        return {}
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidSpec("credentials", path, f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidSpec("credentials", path, "not a JSON object")
    if path.endswith("/.dockercfg"):
        document = {"auths": document}
    for key in ("auths", "credHelpers"):
        if not isinstance(document.get(key) or {}, dict):
            raise InvalidSpec("credentials", path, f"{key} is not an object")
    return document


def find(
    server: str, repository: str, environment: Mapping[str, str], authfile: str = ""
) -> Credential | None:
    """The credential for `repository` at the registry `server` (`HOST[:PORT]`), None for none.

    Within a file a helper for the server comes first, then the entry with the longest matching
    namespace, then the helper for everything.
    """
    if authfile and not os.path.exists(authfile):
        raise NotFound("--authfile", authfile, "No such file or directory")
    for path in paths(environment, authfile):
        document = read_file(path)
        found = find_in(document, server, repository, path)
        if found is not None:
            return found
    return None


def find_in(document: dict[str, Any], server: str, repository: str, path: str) -> Credential | None:
    """The credential that one file has."""
    helpers = document.get("credHelpers") or {}
    for key in helpers:
        if normalize(key) == normalize(server):
            return ask(str(helpers[key]), key)
    auths = document.get("auths") or {}
    known = {normalize(key): key for key in auths}
    wanted = f"{normalize(server)}/{repository}".rstrip("/")
    while wanted:
        if wanted in known:
            key = known[wanted]
            found = decode(auths[key], f"{path} auths.{key}")
            if found is not None:
                return found
        wanted = wanted.rpartition("/")[0]
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        return ask(store, DOCKER_SERVER if server in DOCKER_NAMES else server)
    return None


def normalize(key: str) -> str:
    """A key of `auths` as `HOST[:PORT][/NAMESPACE…]`: Docker's has a scheme and a version too."""
    text = key.partition("://")[2] or key
    host, slash, path = text.partition("/")
    if "://" in key or path.strip("/") in ("v1", "v2"):
        slash = path = ""  # an address of an API, not a namespace
    if host in DOCKER_NAMES:
        host = DOCKER_NAMES[0]
    return f"{host}{slash}{path}".rstrip("/")


def ask(helper: str, server: str) -> Credential | None:
    """What a helper has."""
    answer = keychain.get(helper, server)
    if answer is None:
        return None
    user, secret = answer
    if user == TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(user, secret)


def decode(entry: Any, subject: str) -> Credential | None:
    """One entry of `auths`, None if it is empty: then a helper has the secret."""
    if not isinstance(entry, dict):
        raise InvalidSpec("credentials", subject, "not an object")
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credential(identity_token=token)
    auth = entry.get("auth")
    if not auth:
        if entry.get("username") and isinstance(entry.get("password"), str):
            return Credential(str(entry["username"]), str(entry["password"]))
        return None
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise InvalidSpec("credentials", f"{subject}.auth", "not base64") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise InvalidSpec("credentials", f"{subject}.auth", "not USER:PASSWORD")
    return Credential(username, password.rstrip("\0"))


def store(key: str, credential: Credential, path: str) -> str:
    """Keep a credential under `key` in the file, or with the helper that the file names for it:
    where it is now.
    """
    with Changing(path) as document:
        helper = helper_of(document, key)
        if helper:
            keychain.store(helper, key, credential.username, credential.password)
            return f"credential helper {helper}"
        text = f"{credential.username}:{credential.password}".encode()
        entry = {"auth": base64.b64encode(text).decode()}
        document.setdefault("auths", {})[key] = entry
    return path


def remove(key: str, path: str) -> bool:
    """Forget what is kept under `key`; whether there was anything."""
    if files.read(path) is None:
        return False
    with Changing(path) as document:
        helper = helper_of(document, key)
        had = bool(helper) and keychain.get(helper, key) is not None
        if had:
            keychain.erase(helper, key)
        auths = document.get("auths") or {}
        for name in [name for name in auths if normalize(name) == normalize(key)]:
            del auths[name]
            had = True
    return had


def remove_all(path: str) -> None:
    """Forget everything in the file."""
    if files.read(path) is not None:
        with Changing(path) as document:
            for server, helper in (document.get("credHelpers") or {}).items():
                if keychain.get(str(helper), server) is not None:
                    keychain.erase(str(helper), server)
            document["auths"] = {}


def helper_of(document: dict[str, Any], key: str) -> str:
    """The helper that keeps what is under `key`, "" for the file itself."""
    for server, helper in (document.get("credHelpers") or {}).items():
        if normalize(server) == normalize(key):
            return str(helper)
    return str(document.get("credsStore") or "")


class Changing:
    """The document of a file, written back whole when the context ends well. Two logins at once
    both stay: one waits for the other.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def __enter__(self) -> dict[str, Any]:
        """The document."""
        directory = os.path.dirname(self.path)
        files.ensure_directory(directory)
        lock = files.lock(directory)
        assert lock is not None
        self.lock = lock
        try:
            self.document = read_file(self.path)
        except BaseException:
            files.unlock(lock)
            raise
        return self.document

    def __exit__(self, kind: object, *_: object) -> None:
        """Written, for nobody else to read."""
        try:
            if kind is None:
                data = orjson.dumps(self.document, option=orjson.OPT_INDENT_2)
                files.write_whole(os.path.realpath(self.path), data, mode=0o600)
        finally:
            files.unlock(self.lock)
