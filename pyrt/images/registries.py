"""registries.conf: where images of a name really come from, and what short names mean
(containers-registries.conf(5), version 2).
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt import files
from pyrt.errors import Conflict, Denied, InvalidSpec, NotFound, from_os_error
from pyrt.images.reference import DOCKER, Reference, parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM = "/etc/containers/registries.conf"
MODES = ("enforcing", "permissive", "disabled")
PULL_KINDS = ("all", "digest-only", "tag-only")


class Place(NamedTuple):
    """Where an image can be had: the registry's `HOST[:PORT]`, what it is called there, and
    whether TLS with a certificate that we trust is dispensable.
    """

    host: str
    where: Reference
    insecure: bool
    is_mirror: bool


class Mirror(NamedTuple):
    """A `[[registry.mirror]]`; `pulls` is `all`, `digest-only` or `tag-only`."""

    location: str
    insecure: bool
    pulls: str


class Table(NamedTuple):
    """A `[[registry]]`."""

    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: list[Mirror]


class Registries:
    """What the files say together. `aliases` maps short names to full ones, `search` are the
    registries for those that have no alias, `mode` says what to do if there are several.
    """

    def __init__(self) -> None:
        self.search: list[str] = []
        self.mode = "permissive"
        self.tables: dict[str, Table] = {}
        self.aliases: dict[str, str] = {}
        self.sources: list[str] = []
        """The files that were read."""

    def table_for(self, name: str) -> Table | None:
        """The table with the longest prefix of `name` (`HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`)."""
        matching = [
            table for table in self.tables.values() if prefix_length(table.prefix, name) >= 0
        ]
        return max(matching, key=lambda table: prefix_length(table.prefix, name), default=None)

    def places(self, reference: Reference, *, pulling: bool = True) -> list[Place]:
        """Where to look for the image, in order: the mirrors, then the registry itself. Mirrors and
        other locations are for pulling alone. Denied if it is blocked.
        """
        name = f"{reference.registry}/{reference.repository}"
        table = self.table_for(full_name(reference))
        if table is None:
            return [Place(reference.registry, reference, False, False)]
        if table.blocked:
            reason = f"registry {table.prefix} is blocked in {' '.join(self.sources)}"
            raise Denied("image", full_name(reference), reason)
        if not pulling:
            return [Place(reference.registry, reference, table.insecure, False)]
        kinds = ("all", "digest-only" if reference.digest else "tag-only")
        places = [
            relocate(reference, name, table.prefix, mirror.location, mirror.insecure, True)
            for mirror in table.mirrors
            if mirror.pulls in kinds
        ]
        own = relocate(reference, name, table.prefix, table.location, table.insecure, False)
        return [*places, own]

    def candidates(self, text: str) -> tuple[list[Reference], bool]:
        """What the name `text` can mean when it is pulled, and whether somebody must choose.

        Raises NotFound if it is short and there is neither an alias nor a registry to search.
        """
        reference = normalize(parse_reference(text))
        if reference.registry:
            return [reference], False
        alias = self.aliases.get(reference.repository, "")
        if alias:
            target = normalize(parse_reference(alias))
            reference = Reference(
                target.registry, target.repository, reference.tag, reference.digest
            )
            return [reference], False
        if not self.search:
            raise NotFound(
                "image",
                text,
                "not known, no alias either, and no registry is configured to be searched for it",
                hint="give the registry too: docker.io/library/NAME, or set "
                "unqualified-search-registries in registries.conf",
            )
        found = [
            normalize(Reference(host, reference.repository, reference.tag, reference.digest))
            for host in self.search
        ]
        return found, len(found) > 1 and self.mode != "disabled"


def full_name(reference: Reference) -> str:
    """The reference in full."""
    tag = f":{reference.tag}" if reference.tag else ""
    digest = f"@{reference.digest}" if reference.digest else ""
    return f"{reference.registry}/{reference.repository}{tag}{digest}"


def normalize(reference: Reference) -> Reference:
    """docker.io's one-word repositories are in `library/`."""
    registry, repository = reference.registry, reference.repository
    if registry in (DOCKER, f"index.{DOCKER}"):
        registry = DOCKER
        repository = repository if "/" in repository else f"library/{repository}"
    return Reference(registry, repository, reference.tag, reference.digest)


def prefix_length(prefix: str, name: str) -> int:
    """How much of `name` the prefix covers, -1 if it is none. `*.HOST` stands for subdomains."""
    if prefix.startswith("*."):
        host = name.partition("/")[0].partition(":")[0]
        return len(host) if host.endswith(prefix[1:]) else -1
    if not name.startswith(prefix):
        return -1
    rest = name[len(prefix) :]
    # A port is not a tag: registry.example is not a prefix of registry.example:5000/x.
    ends = ("", "/") if "/" not in prefix else ("", "/", ":", "@")
    return len(prefix) if rest[:1] in ends else -1


def relocate(
    reference: Reference, name: str, prefix: str, location: str, insecure: bool, is_mirror: bool
) -> Place:
    """The place that `location` in place of `prefix` gives."""
    if location:
        covered = prefix_length(prefix, full_name(reference))
        if not prefix.startswith("*."):
            name = location + name[covered:]
        else:
            name = location + name[len(name.partition("/")[0]) :]
    host, _, repository = name.partition("/")
    where = Reference(host, repository, reference.tag, reference.digest)
    return Place(host, where, insecure, is_mirror)


def read(environment: Mapping[str, str]) -> Registries:
    """The configuration of this user: $CONTAINERS_REGISTRIES_CONF, or the user's own file, or the
    system's; then the drop-ins in order of their names. InvalidSpec names the file and the key.
    """
    found = Registries()
    for path in list_files(environment):
        apply(found, path, read_toml(path))
    noted = noted_aliases(environment)
    if os.path.exists(noted):
        apply(found, noted, read_toml(noted))
    return found


def list_files(environment: Mapping[str, str]) -> list[str]:
    """The files to read, later ones overriding earlier ones."""
    home = environment.get("XDG_CONFIG_HOME", "") or f"{environment.get('HOME', '')}/.config"
    own = f"{home}/containers/registries.conf"
    named = environment.get("CONTAINERS_REGISTRIES_CONF", "")
    if named and not os.path.exists(named):
        raise NotFound("CONTAINERS_REGISTRIES_CONF", named, "No such file or directory")
    main = named or (own if os.path.exists(own) else SYSTEM)
    directories = [f"{own}.d"] if main == own else [f"{SYSTEM}.d", f"{own}.d"]
    drop_ins = [
        f"{directory}/{name}"
        for directory in directories
        for name in list_names(directory)
        if name.endswith(".conf")
    ]
    return [*([main] if os.path.exists(main) else []), *drop_ins]


def list_names(directory: str) -> list[str]:
    """The names in a directory, sorted; [] if there is none."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os_error(error, "read directory", directory) from None


def read_toml(path: str) -> dict[str, Any]:
    """The document in a file."""
    data = files.read(path)
    try:
        return tomllib.loads((data or b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec("registries.conf", path, f"not TOML: {error}") from None


def apply(found: Registries, path: str, document: dict[str, Any]) -> None:
    """Lay one file's settings over those before. Keys that are not known are left alone."""
    found.sources.append(path)
    if isinstance(document.get("registries"), dict):
        apply_version_1(found, path, document["registries"])
    if "unqualified-search-registries" in document:
        found.search = strings(document, "unqualified-search-registries", path)
    mode = value(document, "short-name-mode", str, path)
    if mode:
        if mode not in MODES:
            reason = f"{mode!r} is none of {' '.join(MODES)}"
            raise InvalidSpec("registries.conf", f"{path} short-name-mode", reason)
        found.mode = mode
    for entry in tables(document, "registry", path):
        table = make_table(entry, path)
        found.tables[table.prefix] = table
    for name, target in (value(document, "aliases", dict, path) or {}).items():
        if not isinstance(target, str):
            raise InvalidSpec("registries.conf", f"{path} aliases.{name}", "not a string")
        found.aliases[name] = target


def apply_version_1(found: Registries, path: str, document: dict[str, Any]) -> None:
    """The older form, which Debian 10 and RHEL 7 had: three lists."""
    for key in ("search", "insecure", "block"):
        section = value(document, key, dict, path) or {}
        hosts = strings(section, "registries", path)
        if key == "search":
            found.search = hosts or found.search
            continue
        for host in hosts:
            known = found.tables.get(host) or Table(host, host, False, False, [])
            if key == "insecure":
                found.tables[host] = known._replace(insecure=True)
            else:
                found.tables[host] = known._replace(blocked=True)


def make_table(entry: dict[str, Any], path: str) -> Table:
    """One `[[registry]]`."""
    location = clean(value(entry, "location", str, path) or "")
    prefix = clean(value(entry, "prefix", str, path) or "") or location
    if not prefix:
        raise InvalidSpec("registries.conf", f"{path} registry", "has neither prefix nor location")
    if not location and not prefix.startswith("*."):
        location = prefix
    by_digest = bool(value(entry, "mirror-by-digest-only", bool, path))
    mirrors = []
    for mirror in tables(entry, "mirror", path):
        where = clean(value(mirror, "location", str, path) or "")
        pulls = value(mirror, "pull-from-mirror", str, path) or (
            "digest-only" if by_digest else "all"
        )
        if not where:
            raise InvalidSpec("registries.conf", f"{path} registry.mirror", "has no location")
        if pulls not in PULL_KINDS:
            reason = f"{pulls!r} is none of {' '.join(PULL_KINDS)}"
            raise InvalidSpec("registries.conf", f"{path} pull-from-mirror", reason)
        mirrors.append(Mirror(where, bool(value(mirror, "insecure", bool, path)), pulls))
    return Table(
        prefix,
        location,
        bool(value(entry, "insecure", bool, path)),
        bool(value(entry, "blocked", bool, path)),
        mirrors,
    )


def clean(location: str) -> str:
    """A location without the slash at its end."""
    return location.rstrip("/")


def value(table: dict[str, Any], key: str, kind: type, path: str) -> Any:
    """The value of `key`, None if absent. InvalidSpec if it is of another type."""
    found = table.get(key)
    if found is not None and type(found) is not kind:
        names = {str: "a string", bool: "true or false", dict: "a table"}
        raise InvalidSpec("registries.conf", f"{path} {key}", f"not {names[kind]}")
    return found


def strings(table: dict[str, Any], key: str, path: str) -> list[str]:
    """A list of strings, [] if absent."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InvalidSpec("registries.conf", f"{path} {key}", "not an array of strings")
    return [clean(item) for item in found]


def tables(table: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """An array of tables, [] if absent."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidSpec("registries.conf", f"{path} {key}", "not an array of tables")
    return found


def ambiguous(text: str, references: list[Reference]) -> Conflict:
    """What `enforcing` says where nobody can be asked."""
    names = " ".join(full_name(reference) for reference in references)
    reason = "a short name that several registries may have, and short-name-mode is enforcing"
    return Conflict("image", text, reason, hint=f"give one of these: {names}")


def noted_aliases(environment: Mapping[str, str]) -> str:
    """The file with the choices that were made at a prompt."""
    return f"{environment.get('HOME', '')}/.cache/containers/short-name-aliases.conf"


def record_alias(environment: Mapping[str, str], text: str, chosen: Reference) -> None:
    """Note that the short name `text` means `chosen` from now on."""
    path = noted_aliases(environment)
    known = read_toml(path).get("aliases") or {} if os.path.exists(path) else {}
    known[parse_reference(text).repository] = f"{chosen.registry}/{chosen.repository}"
    lines = [f'  "{name}" = "{target}"' for name, target in known.items()]
    files.ensure_directory(os.path.dirname(path))
    files.write_whole(path, "\n".join(["[aliases]", *lines, ""]).encode())
