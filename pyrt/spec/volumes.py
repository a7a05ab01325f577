"""`-v`, `--mount` and `--tmpfs`: text to the mounts that were asked for.

-v /src:/app:ro        bind         (a source that starts with / or .)
-v data:/app           named volume
-v /app                anonymous volume
--mount type=bind,src=/src,dst=/app,ro
--tmpfs /app:size=64m,mode=1777
"""

from __future__ import annotations

from pyrt import system as os
from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec.limits import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Volume

PROPAGATION = (
    "shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable",
)  # fmt: skip

# Groups of options of which one at most may be given.
EXCLUSIVE = (
    ("ro", "rw"),
    ("z", "Z"),
    ("copy", "nocopy"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("bind", "rbind"),
    PROPAGATION,
    ("U",),
    ("nocreate",),
    ("O",),
)
KNOWN = frozenset(option for group in EXCLUSIVE for option in group)
BIND_KEYS = frozenset((
    "bind-propagation", "bind-nonrecursive", "relabel", "subpath", "volume-opt", "no-dereference",
    "consistency", "idmap", "upperdir", "workdir",
))  # fmt: skip
"""Keys of `--mount` beside these, some of them refused."""
REFUSED = ("idmap", "upperdir", "workdir")

ENGINE_OPTIONS = ("z", "Z", "U", "copy", "nocopy", "nocreate")
"""Options that the mount itself does not have."""

OVERLAYS = "overlays"
"""Directory in the bundle: what is written over volumes with `O`, by their place among them."""

IMAGE_VOLUME = {"": "anonymous", "anonymous": "anonymous", "bind": "anonymous", "tmpfs": "tmpfs",
                "ignore": "ignore"}  # fmt: skip

# `--mount` keys that mean the same.
ALIASES = {
    "source": "src",
    "destination": "dst",
    "dest": "dst",
    "target": "dst",
    "readonly": "ro",
    "chown": "U",
    "propagation": "bind-propagation",
}
TMPFS_OPTIONS = (
    "rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "size", "mode", "uid", "gid",
    "nr_inodes", "nr_blocks", "noatime", "relatime", "strictatime", "tmpcopyup", "notmpcopyup",
    "noswap", "huge",
)  # fmt: skip


def parse_volume(text: str, cwd: str) -> Volume:
    """One `-v`: `[SOURCE:]DESTINATION[:OPTIONS]`; a relative source is below `cwd`.

    Gives type `bind` with an absolute source, or type `volume` with a name, "" for an anonymous
    one. `U` stays among the options for the engine, which gives the source to the container's
    user. Raises InvalidSpec or Unsupported naming `--volume`. (podman-run(1), --volume.)
    """
    flag = "--volume"
    parts = text.split(":")
    if "\0" in text or len(parts) > 3 or not all(parts[:2]):
        raise InvalidSpec(flag, text, "not [SOURCE:]DESTINATION[:OPTIONS]")
    options = check_options(flag, text, parts[2].split(",")) if len(parts) == 3 else []
    destination = parse_destination(flag, parts[-1] if len(parts) == 1 else parts[1])
    source = parts[0] if len(parts) > 1 else ""
    if source[:1] in ("/", "."):
        source = os.path.normpath(os.path.join(cwd, source))
        return {"type": "bind", "source": source, "destination": destination, "options": options}
    if source and not is_volume_name(source):
        hint = f"write ./{source} for a directory" if "/" in source else ""
        raise InvalidSpec(flag, text, "a volume's name is [a-zA-Z0-9][a-zA-Z0-9_.-]*", hint=hint)
    return {"type": "volume", "source": source, "destination": destination, "options": options}


def parse_mount(text: str, cwd: str) -> Volume:
    """One `--mount`: comma-separated `key[=value]`; type `bind`, `tmpfs`, `image` or `volume` (the
    default).

    Raises InvalidSpec or Unsupported naming `--mount`. (podman-run(1), --mount.)
    """
    flag = "--mount"
    pairs = parse_pairs(flag, text)
    kind = pairs.pop("type", "volume")
    check_keys(flag, text, kind, pairs)
    destination = parse_destination(flag, pairs.pop("dst", ""))
    source = pairs.pop("src", "")
    if kind in ("tmpfs", "ramfs", "devpts"):
        if source:
            raise InvalidSpec(flag, text, f"a {kind} has no source")
        parsers = {"tmpfs": tmpfs_mount_options, "ramfs": ramfs_mount_options,
                   "devpts": devpts_mount_options}  # fmt: skip
        options = parsers[kind](flag, text, pairs)
    elif kind in ("bind", "volume"):
        options = bind_mount_options(flag, text, pairs)
        if kind == "bind":
            if not source:
                raise InvalidSpec(flag, text, "a bind mount needs src=")
            source = os.path.normpath(os.path.join(cwd, source))
        elif source and not is_volume_name(source):
            raise InvalidSpec(
                flag, text, "no name of a volume", hint="give type=bind for a directory"
            )
    elif kind == "image":
        if not source:
            raise InvalidSpec(flag, text, "an image mount needs src=")
        from pyrt.spec.image_volumes import image_mount_options

        options = image_mount_options(flag, text, pairs)
    elif kind in ("glob", "artifact"):
        raise Unsupported(flag, text, f"type={kind} is not supported")
    else:
        raise InvalidSpec(flag, text, f"no mount type {kind}")
    return {"type": kind, "source": source, "destination": destination, "options": options}


def check_keys(flag: str, text: str, kind: str, pairs: dict[str, str]) -> None:
    """Refuse a key that no mount of this type has, with the one that was meant."""
    if kind in ("bind", "volume"):
        own = KNOWN | BIND_KEYS
    elif kind == "tmpfs":
        own = frozenset(TMPFS_OPTIONS) | {f"tmpfs-{option}" for option in TMPFS_OPTIONS}
    elif kind == "image":
        own = frozenset(("subpath", "ro", "rw"))
    else:
        return  # each of the others has a few, and says so
    words = [*own, *ALIASES, "src", "dst", "type"]
    for key in pairs:
        if key not in words:
            from pyrt.spec.names import nearest

            near = nearest(key, sorted(words))
            hint = f"did you mean {near}?" if near else ""
            raise InvalidSpec(flag, text, f"unknown option {key}", hint=hint)


def overlay_mount(volume: Volume, source: str, scratch: str) -> dict[str, Any]:
    """`-v …:O`: an overlay over `source`, what is written going to the directory `scratch`.

    Raises InvalidSpec for paths that overlayfs cannot be told in one mount option (fsconfig(2)
    takes 255 bytes, and colons and backslashes mean something).
    """
    paths = {"lowerdir": source, "upperdir": f"{scratch}/upper", "workdir": f"{scratch}/work"}
    for path in paths.values():
        if any(char in path for char in ":\\,") or len(os.fsencode(path)) > 255:
            reason = "O needs paths of at most 255 bytes without colon, comma and backslash"
            raise InvalidSpec("--volume", path, reason)
    return {
        "destination": volume["destination"],
        "type": "overlay",
        "source": "overlay",
        "options": [*(f"{name}={path}" for name, path in paths.items()), "userxattr"],
    }


def parse_image_volume(text: str) -> str:
    """`--image-volume`: `anonymous`, which podman also calls `bind`, `tmpfs` or `ignore`."""
    if text not in IMAGE_VOLUME:
        raise InvalidSpec(
            "--image-volume", text, "unknown", hint="choose anonymous, tmpfs or ignore"
        )
    return IMAGE_VOLUME[text]


def parse_volumes_from(text: str) -> list[str]:
    """One `--volumes-from`: `CONTAINER[:ro|rw|z]` to `[container, option]`, "" for as there."""
    container, _, option = text.partition(":")
    if not container or option not in ("", "ro", "rw", "z"):
        raise InvalidSpec("--volumes-from", text, "not CONTAINER[:ro|rw|z]")
    return [container, option]


def borrowed(config: ContainerConfig, theirs: list[Volume], option: str) -> list[Volume]:
    """Another container's volumes and binds, but for places that are taken."""
    taken = {volume["destination"] for volume in config.volumes}
    taken.update(place for place, _ in config.tmpfs)
    dropped = {"ro": ("ro", "rw"), "rw": ("ro", "rw")}.get(option, ()) + ENGINE_OPTIONS
    result: list[Volume] = []
    for volume in theirs:
        if volume["destination"] in taken or volume["type"] not in ("bind", "volume"):
            continue
        options = [word for word in volume["options"] if word not in dropped]
        options += [option] if option in ("ro", "rw") else []
        if volume["type"] == "volume":
            options.append("nocreate")
        result.append({**volume, "options": options})
    return result


def image_volumes(config: ContainerConfig, volumes: list[str]) -> list[Volume]:
    """What the image's VOLUMEs become, but for places that the user has mounted something at."""
    if config.image_volume == "ignore":
        return []
    taken = {volume["destination"] for volume in config.volumes}
    taken.update(place for place, _ in config.tmpfs)
    kind = "volume" if config.image_volume == "anonymous" else "tmpfs"
    options = [] if kind == "volume" else ["exec", "suid", "dev"]
    places = sorted({parse_destination("VOLUME", path) for path in volumes} - taken)
    return [
        {"type": kind, "source": "", "destination": place, "options": list(options)}
        for place in places
    ]


def parse_tmpfs(text: str) -> list[str]:
    """One `--tmpfs`: `DESTINATION[:OPTIONS]` to `[destination, options]`; defaults come later.

    Raises InvalidSpec naming `--tmpfs`.
    """
    destination, _, options = text.partition(":")
    destination = parse_destination("--tmpfs", destination)
    given = [option for option in options.split(",") if option]
    return [destination, ",".join(check_tmpfs_options("--tmpfs", text, given))]


def parse_destination(flag: str, path: str) -> str:
    """A place in the container: absolute, normalized, not the root itself."""
    if not path.startswith("/") or "\0" in path:
        raise InvalidSpec(flag, path, "the destination must be an absolute path in the container")
    path = os.path.normpath(path).replace("//", "/")
    if path == "/":
        raise InvalidSpec(flag, path, "the destination cannot be /")
    return path


def is_volume_name(name: str) -> bool:
    """Whether `name` may name a volume: [a-zA-Z0-9][a-zA-Z0-9_.-]*."""
    rest = name.replace("_", "").replace(".", "").replace("-", "")
    return name.isascii() and name[:1].isalnum() and rest.isalnum()


def check_options(flag: str, text: str, options: list[str]) -> list[str]:
    """The options of a bind or volume, each known and none contradicted."""
    given = [option for option in options if option]
    for option in given:
        if option.partition("=")[0] in REFUSED:
            raise Unsupported(flag, text, f"option {option} is not supported")
        if option not in KNOWN:
            raise InvalidSpec(flag, text, f"no option {option}")
    if "O" in given and len(given) > 1:
        raise InvalidSpec(flag, text, "O cannot be had with other options")
    for group in EXCLUSIVE:
        if sum(option in group for option in given) > 1:
            raise InvalidSpec(flag, text, f"only one of {', '.join(group)}")
    return given


def check_tmpfs_options(flag: str, text: str, options: list[str]) -> list[str]:
    """The options of a tmpfs, each known; sizes are checked."""
    for option in options:
        key, _, value = option.partition("=")
        if key not in TMPFS_OPTIONS:
            raise InvalidSpec(flag, text, f"no option {option}")
        if key == "size" and not value.endswith("%"):
            parse_size(flag, value)
        if key == "mode" and not is_octal(value):
            raise InvalidSpec(flag, text, "mode= is an octal number")
    return options


def is_octal(text: str) -> bool:
    """Whether `text` is a file mode: octal digits, at most 07777."""
    return 0 < len(text) <= 5 and all(digit in "01234567" for digit in text)


def parse_pairs(flag: str, text: str) -> dict[str, str]:
    """Comma-separated `key[=value]` by the key's short name; a value in double quotes may hold
    commas.
    """
    pairs: dict[str, str] = {}
    for field in split_commas(text):
        key, equals, value = field.partition("=")
        key = ALIASES.get(key, key)
        if not key or "\0" in value:
            raise InvalidSpec(flag, text, "not a comma-separated list of key=value")
        if key in pairs:
            raise InvalidSpec(flag, text, f"{key} is given twice")
        pairs[key] = value if equals else "true"
    return pairs


def split_commas(text: str) -> list[str]:
    """The fields of one line of CSV."""
    fields = [""]
    quoted = False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            fields.append("")
        else:
            fields[-1] += char
    return fields


def bind_mount_options(flag: str, text: str, pairs: dict[str, str]) -> list[str]:
    """`--mount` keys of a bind or volume as `-v` options."""
    options: list[str] = []
    for key, value in pairs.items():
        if key == "bind-propagation":
            if value not in PROPAGATION:
                raise InvalidSpec(flag, text, f"no propagation {value}")
            options.append(value)
        elif key == "bind-nonrecursive":
            options.append("bind" if parse_bool(flag, text, value) else "rbind")
        elif key == "relabel":
            options.append({"shared": "z", "private": "Z"}.get(value, value))
        elif key == "ro":
            options.append("ro" if parse_bool(flag, text, value) else "rw")
        elif key == "rw":
            options.append("rw" if parse_bool(flag, text, value) else "ro")
        elif key in ("subpath", "volume-opt", "no-dereference", "consistency"):
            raise Unsupported(flag, text, f"{key} is not supported")
        elif parse_bool(flag, text, value):
            options.append(key)
    return check_options(flag, text, options)


def tmpfs_mount_options(flag: str, text: str, pairs: dict[str, str]) -> list[str]:
    """`--mount` keys of a tmpfs as `--tmpfs` options."""
    options: list[str] = []
    for key, value in pairs.items():
        name = key.removeprefix("tmpfs-")
        if name in ("size", "mode"):
            options.append(f"{name}={value}")
        elif parse_bool(flag, text, value):
            options.append(name)
        elif name == "ro":
            options.append("rw")
    return check_tmpfs_options(flag, text, options)


def ramfs_mount_options(flag: str, text: str, pairs: dict[str, str]) -> list[str]:
    """`--mount` keys of a ramfs: a tmpfs that is never swapped, of any size."""
    options = ["nosuid", "nodev", "noexec"]
    for key, value in pairs.items():
        if key.removeprefix("tmpfs-") == "mode":
            if not is_octal(value):
                raise InvalidSpec(flag, text, "mode= is an octal number")
            options.append(f"mode={value}")
        elif key == "ro":
            options.append("ro" if parse_bool(flag, text, value) else "rw")
        else:
            raise InvalidSpec(flag, text, f"a ramfs has no {key}")
    return options


def devpts_mount_options(flag: str, text: str, pairs: dict[str, str]) -> list[str]:
    """`--mount` keys of one more directory of terminals."""
    options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]
    for key, value in pairs.items():
        good = is_octal(value) if key == "mode" else value.isascii() and value.isdigit()
        if key not in ("uid", "gid", "mode", "max"):
            raise InvalidSpec(flag, text, f"a devpts has no {key}")
        if not good:
            raise InvalidSpec(flag, text, f"{key}= is a number")
        options.append(f"{key}={value}")
    return options


def parse_bool(flag: str, text: str, value: str) -> bool:
    """`true`, `false` and the other spellings that Go's flag package takes."""
    if value in ("true", "1", "t", "T", "TRUE", "True"):
        return True
    if value in ("false", "0", "f", "F", "FALSE", "False"):
        return False
    raise InvalidSpec(flag, text, f"{value} is neither true nor false")
