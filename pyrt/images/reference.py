"""References to images: what a typed name can mean. Pure: the store is `names`'s business."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

LOCAL = "localhost"
DOCKER = "docker.io"
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
LABEL = WORD - frozenset("_.")
HEX = frozenset("0123456789abcdef")


class Reference:
    """A name as the distribution-spec has it. `registry` is "" for a short name, `tag` and
    `digest` may be "".
    """

    __slots__ = ("digest", "registry", "repository", "tag")

    def __init__(self, registry: str, repository: str, tag: str, digest: str) -> None:
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest


def parse_reference(text: str) -> Reference:
    """`[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`; without tag and digest the tag is `latest`.

    The first part is a registry if it has a dot or a port, or is `localhost`. InvalidSpec
    otherwise. (distribution-spec, Pulling manifests.)
    """
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidSpec("image name", text, "the digest is not sha256:<64 hexadecimal digits>")
    head, slash, tail = name.rpartition("/")
    last, colon, tag = tail.partition(":")
    path = f"{head}{slash}{last}"
    first, slash, rest = path.partition("/")
    is_registry = bool(slash) and (first == LOCAL or "." in first or ":" in first)
    registry, repository = (first, rest) if is_registry else ("", path)
    if colon and not is_tag(tag):
        raise InvalidSpec(
            "image name", text, "a tag is [a-zA-Z0-9_][a-zA-Z0-9_.-]*, up to 128 long"
        )
    if not repository or len(text) > 512 or not all(map(is_component, repository.split("/"))):
        hint = f"write {text.lower()}" if text != text.lower() else ""
        raise InvalidSpec(
            "image name", text, "a repository is [a-z0-9]+ joined by . _ - and /", hint=hint
        )
    if registry and not is_registry_host(registry):
        raise InvalidSpec("image name", text, "not a registry's host name")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def canonical(text: str) -> str:
    """The full name under which a new local image is kept: short names become
    `localhost/NAME:TAG`.
    """
    reference = parse_reference(text)
    if reference.digest:
        raise InvalidSpec("image name", text, "a digest cannot be chosen")
    return f"{reference.registry or LOCAL}/{reference.repository}:{reference.tag}"


def candidates(text: str) -> list[tuple[str, str]]:
    """What `text` can mean, best first, as (full name without tag or digest, tag or digest).

    A short name is looked for as one of ours, then as Docker's. [] if it is no reference at all,
    such as an upper-case ID.
    """
    try:
        reference = parse_reference(text)
    except InvalidSpec:
        return []
    version = reference.digest or reference.tag
    if reference.registry:
        return [(f"{reference.registry}/{reference.repository}", version)]
    library = "" if "/" in reference.repository else "library/"
    return [
        (f"{LOCAL}/{reference.repository}", version),
        (f"{DOCKER}/{library}{reference.repository}", version),
    ]


def is_registry_host(text: str) -> bool:
    """Whether `text` is `HOST[:PORT]`, the host a domain name or an IPv6 address in brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        is_host = ":" in host and (HEX | frozenset(":.")).issuperset(host.lower())
        port = rest[1:] if rest.startswith(":") else rest or "0"
        is_host = is_host and rest[:1] in ("", ":")
    else:
        host, colon, port = text.partition(":")
        is_host = all(
            part and part[0] != "-" and part[-1] != "-" and LABEL.issuperset(part)
            for part in host.split(".")
        )
        port = port if colon else "0"
    return is_host and port.isascii() and port.isdecimal()


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 digest."""
    return text.startswith("sha256:") and len(text) == 71 and HEX.issuperset(text[7:])


def is_tag(text: str) -> bool:
    """Whether `text` is a tag."""
    return 0 < len(text) <= 128 and WORD.issuperset(text) and text[0] not in ".-"


def is_component(text: str) -> bool:
    """Whether `text` is one part of a repository: [a-z0-9]+ joined by `.`, `_`, `__` or dashes."""
    if not text or text[0] not in LOWER or text[-1] not in LOWER:
        return False
    middle = text.replace("__", "_")
    previous = ""
    for char in middle:
        is_joint = char in "._-"
        if not is_joint and char not in LOWER:
            return False
        if is_joint and previous in "._-" and previous and not char == previous == "-":
            return False
        previous = char
    return True


def is_id_prefix(text: str) -> bool:
    """Whether `text` can begin an image ID, with or without `sha256:`."""
    digits = text.removeprefix("sha256:")
    return 0 < len(digits) <= 64 and HEX.issuperset(digits)
