"""The one door to native code: `pyrt._core` with its errors as pyrt's, and the binary's path.

Nothing else imports `pyrt._core` or starts the binary.
"""

from __future__ import annotations

from pyrt import _core, errors
from pyrt import system as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

    Place = tuple[str, str, int]
    """Whose paths are meant: see `_core.find_path`."""

CoreError = _core.CoreError


def runtime_path() -> str:
    """Absolute path of the native binary that came with this package."""
    return os.path.join(os.path.dirname(__file__), "_bin", _core.RUNTIME_NAME)


def network_path() -> str:
    """The second native binary, which keeps networks and does probes."""
    return os.path.join(os.path.dirname(__file__), "_bin", _core.NETWORK_NAME)


def ensure_networks(run_root: str, uplink: list[str]) -> None:
    """See `_core.ensure_networks`."""
    call(_core.ensure_networks, network_path(), runtime_path(), run_root, uplink)


def start_node(run_root: str, services: bytes, scratch: str, kept: list[str]) -> None:
    """See `_core.start_node`."""
    binaries = (network_path(), runtime_path())
    call(_core.start_node, *binaries, run_root, services, scratch, kept)


def reload_networks(run_root: str, bundle: str) -> None:
    """See `_core.reload_networks`."""
    call(_core.reload_networks, run_root, bundle)


def translate(error: _core.CoreError) -> errors.PyrtError:
    """The same failure as a `PyrtError` of the kind its code names."""
    kind = errors.KINDS.get(error.code, errors.KernelError)
    return kind(error.step, error.subject, error.message, hint=error.hint, errno=error.errno)


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a native function, raising `PyrtError` where it raises `CoreError`."""
    try:
        return function(*args, **kwargs)
    except _core.CoreError as error:
        raise translate(error) from None


def loads(data: bytes) -> Any:
    """JSON text to Python values; `InvalidSpec` if it is none."""
    return call(_core.loads, data)


def dumps(value: object) -> bytes:
    """Python values to compact JSON."""
    return call(_core.dumps, value)


def digest_of(data: bytes) -> str:
    """See `_core.digest_of`."""
    return call(_core.digest_of, data)


def validate(config: bytes) -> None:
    """Refuse a config.json that `create` would refuse."""
    call(_core.validate, config)


def is_locked(path: str) -> int:
    """The pid holding the record lock on ``path``, 0 for nobody, -1 for one out of sight."""
    return call(_core.is_locked, path)


def init_pid(runtime_dir: str, told: int) -> int:
    """See `_core.init_pid`."""
    return call(_core.init_pid, runtime_dir, told)


def wait_unlocked(path: str, timeout_s: float) -> bool:
    """See `_core.wait_unlocked`."""
    return call(_core.wait_unlocked, path, timeout_s)


def watch() -> _core.Watch:
    """See `_core.Watch`."""
    return call(_core.Watch)


def launch(
    bundle: str,
    runtime_dir: str,
    cgroup_parent: str | None = None,
    start: str | None = None,
    systemd: str | None = None,
) -> _core.Lead:
    """See `_core.launch`."""
    return call(_core.launch, runtime_path(), bundle, runtime_dir, cgroup_parent, start, systemd)


def connect(runtime_dir: str) -> _core.Control:
    """See `_core.connect`."""
    return call(_core.connect, runtime_dir)


def exec_process(
    runtime_dir: str,
    process: bytes,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
    *,
    detach: bool = False,
    detach_keys: bytes = b"\x10\x11",
    started: int | None = None,
) -> int:
    """See `_core.exec`."""
    stdio = (stdin, stdout, stderr)
    return call(
        _core.exec, runtime_path(), runtime_dir, process, *stdio, detach, detach_keys, started
    )


def dial(run_root: str, runtime_dir: str, port: int) -> int:
    """See `_core.dial`."""
    binary = os.path.join(os.path.dirname(__file__), "_bin", _core.NETWORK_NAME)
    return call(_core.dial, binary, run_root, runtime_dir, port)


def read_in_root(root: str, path: str, limit_bytes: int = 1 << 20) -> bytes | None:
    """See `_core.read_in_root`."""
    return call(_core.read_in_root, root, path, limit_bytes)


def unpack(
    run_root: str, tar: int, destination: str, limits: list[tuple[str, int]] | None = None
) -> dict[str, Any]:
    """See `_core.unpack`."""
    return call(_core.unpack, runtime_path(), run_root, tar, destination, limits or [])


def shift_tree(
    run_root: str,
    source: str,
    destination: str,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> None:
    """See `_core.shift_tree`."""
    call(_core.shift_tree, runtime_path(), run_root, source, destination, uid_map, gid_map)


def share_layers(
    run_root: str,
    layers: list[tuple[str, str]],
    destination: str,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> dict[str, int]:
    """See `_core.share_layers`."""
    return call(_core.share_layers, runtime_path(), run_root, layers, destination, uid_map, gid_map)


def sync(path: str) -> None:
    """See `_core.sync`."""
    call(_core.sync, path)


def probe_sharing(run_root: str, path: str) -> bool:
    """See `_core.probe_sharing`."""
    return call(_core.probe_sharing, runtime_path(), run_root, path)["shares"]


def chown_tree(run_root: str, path: str, uid: int, gid: int) -> None:
    """See `_core.chown_tree`."""
    call(_core.chown_tree, runtime_path(), run_root, path, uid, gid)


def remove_tree(run_root: str, path: str) -> None:
    """See `_core.remove_tree`."""
    call(_core.remove_tree, runtime_path(), run_root, path)


def measure_tree(run_root: str, path: str) -> int:
    """See `_core.measure_tree`."""
    return call(_core.measure_tree, runtime_path(), run_root, path)


def compare(run_root: str, upper: str, lower: list[str]) -> list[tuple[str, bytes]]:
    """See `_core.compare`."""
    return call(_core.compare, runtime_path(), run_root, upper, lower)


def find_path(run_root: str, place: Place, path: bytes) -> dict[str, Any] | None:
    """See `_core.find_path`; `path` in the answer is bytes."""
    found = call(_core.find_path, runtime_path(), run_root, place, os.fsdecode(path))
    return None if found is None else {**found, "path": bytes(found["path"])}


def fill_volume(
    run_root: str, place: Place, path: str, volume: str, owner: tuple[int, int]
) -> bool:
    """See `_core.fill_volume`."""
    return call(_core.fill_volume, runtime_path(), run_root, place, path, volume, *owner)


def pack_path(
    run_root: str,
    place: Place,
    path: bytes,
    out: int,
    name: bytes = b"",
    uid_map: list[tuple[int, int, int]] | None = None,
    gid_map: list[tuple[int, int, int]] | None = None,
    *,
    bare: bool = False,
) -> dict[str, Any]:
    """See `_core.pack_path`."""
    maps = (uid_map or [], gid_map or [])
    paths = (os.fsdecode(path), out, os.fsdecode(name))
    return call(_core.pack_path, runtime_path(), run_root, place, *paths, *maps, bare)


def unpack_into(
    run_root: str,
    place: Place,
    path: bytes,
    tar: int,
    owner: tuple[int, int] | None = None,
    uid_map: list[tuple[int, int, int]] | None = None,
    gid_map: list[tuple[int, int, int]] | None = None,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """See `_core.unpack_into`."""
    maps = (uid_map or [], gid_map or [])
    directory = os.fsdecode(path)
    return call(
        _core.unpack_into, runtime_path(), run_root, place, directory, tar, owner, *maps, overwrite
    )


def pack_layer(
    run_root: str,
    directory: str,
    blob: int,
    skip: list[str],
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> dict[str, Any]:
    """See `_core.pack_layer`."""
    return call(_core.pack_layer, runtime_path(), run_root, directory, blob, skip, uid_map, gid_map)


def compress_layer(tar: int, blob: int) -> tuple[str, int]:
    """See `_core.compress_layer`."""
    return call(_core.compress_layer, tar, blob)


def decompress(blob: int, out: int) -> tuple[str, int]:
    """See `_core.decompress`."""
    return call(_core.decompress, blob, out)


def append_lines(path: str, max_size_bytes: int, lines: bytes) -> None:
    """See `_core.append_lines`."""
    call(_core.append_lines, path, max_size_bytes, lines)


def set_frozen(path: str, is_frozen: bool) -> None:
    """See `_core.set_frozen`."""
    call(_core.set_frozen, path, is_frozen)


def update_limits(cgroup: str, resources: bytes) -> None:
    """See `_core.update_limits`."""
    call(_core.update_limits, cgroup, resources)


def make_cgroup(parent: str, id: str, resources: bytes) -> str:
    """See `_core.make_cgroup`."""
    return call(_core.make_cgroup, parent, id, resources)


def remove_cgroup(path: str) -> bool:
    """See `_core.remove_cgroup`."""
    return bool(call(_core.remove_cgroup, path))


def manager_cgroup() -> str:
    """See `_core.manager_cgroup`."""
    return call(_core.manager_cgroup)


def meter(targets: list[str | tuple[str | None, int, str]]) -> _core.Meter:
    """See `_core.Meter`."""
    return call(_core.Meter, targets)


def user_namespace(run_root: str) -> dict[str, Any]:
    """See `_core.user_namespace`."""
    return call(_core.user_namespace, runtime_path(), run_root)
