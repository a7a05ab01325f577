"""The native core: what Python may ask of it, and nothing that means policy.

Every call that waits releases the GIL; none changes process-wide state (no setns, chdir, umask or
signal dispositions), so a threaded program can use all of them. Failures raise `CoreError`.
"""

from collections.abc import Sequence
from typing import Any

RUNTIME_NAME: str
NETWORK_NAME: str
"""File name of the native binary, `pyrt-runtime`."""

class CoreError(Exception):
    """A failure as the core made it: `{code, step, subject, errno, message}` and a hint or ''."""

    code: str
    step: str
    subject: str
    errno: int | None
    message: str
    hint: str

def loads(data: bytes | str) -> Any:
    """Parse JSON into dicts, lists, str, int, float, bool, None. Raises CoreError invalid_spec."""

def dumps(value: object) -> bytes:
    """Serialize dicts (str keys), lists, tuples, str, int, float, bool, None as compact JSON."""

def digest_of(data: bytes) -> str:
    """`sha256:` and 64 digits (image-spec, descriptor.md#digests), without the import of hashlib."""

def validate(config: bytes) -> None:
    """Check a runtime-spec config.json as `create` would; raises invalid_spec or unsupported."""

def is_locked(path: str) -> int:
    """The pid that holds the POSIX record lock on `path`, 0 if nobody does or there is no file; -1 if
    who does is in a pid namespace that this process does not see: the machine's, seen from the node.
    """

def init_pid(runtime_dir: str, told: int) -> int:
    """The pid that init of the container whose monitor has the directory `runtime_dir` has in our pid namespace; 0 if
    that does not see it, or it does not run. `told` is what the monitor has written down: a number of its own.
    """

def wait_unlocked(path: str, timeout_s: float) -> bool:
    """Wait until nobody holds the record lock on `path`; False if `timeout_s` was too short."""

class Watch:
    """What changes in directories, without looking at them (inotify)."""

    def __init__(self) -> None:
        """Raises kernel where the user has as many as may be."""

    def add(self, path: str) -> int:
        """Watch the directory `path`: the number by which `read` tells of it. Raises not_found."""

    def read(self) -> list[tuple[int, str | None]] | None:
        """What has changed since the last call: the directory's number and the name in it that came, went, or was closed by
        a writer; None for a name: the directory is gone. None alone: some was lost. Never waits."""

def launch(
    binary: str,
    bundle: str,
    runtime_dir: str,
    cgroup_parent: str | None = None,
    start: str | None = None,
    systemd: str | None = None,
) -> Lead:
    """Start a monitor on `bundle` and wait until its container is created, or with `start` until it runs.

    `start`: "attached" (the lead relays its output) or "detached" saves the two hand-overs of `Lead.start`.

    `runtime_dir` is the container's own directory below the run root (the monitor makes it; its parent
    must exist). `cgroup_parent` is a writable cgroup v2 directory below which the container's cgroup is made; without
    one, the user's systemd may be asked for a place (`systemd` "may": else it has none; "must": else it is an error).
    Raises what `create` refused; nothing is left then.
    """

class Lead:
    """The connection to the monitor that `launch` started. Dropped before `start`: undone."""

    pid: int
    """Host pid of init, for display only."""

    def start(self, attach: bool = True) -> None:
        """Let init execute the program; with `attach`, `relay` will read its output. Raises exec if execve failed."""

    def relay(
        self,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        tty: bool = False,
        detach_keys: bytes = b"\x10\x11",
        sig_proxy: bool = True,
    ) -> dict[str, Any] | None:
        """Copy bytes between these descriptors and the container until it ends: its exit.json; None after detaching.

        With `tty` the terminal on `stdin` is put in raw mode, its size followed, and restored afterwards.
        With `sig_proxy` the signals that podman forwards reach init. Blocks; the calling thread's mask is restored.
        """

    def wait(self) -> dict[str, Any]:
        """Wait for the end without reading output; exit.json."""

    def close(self) -> None:
        """Let go of the monitor: it goes on alone (after `start`)."""

def connect(runtime_dir: str) -> Control:
    """Connect to a live container's monitor. Raises not_found if no monitor listens."""

class Control:
    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """One request, one reply: {"op":"state"}, {"op":"kill","signal":15}, {"op":"wait"} (replies at exit),
        {"op":"resize","rows":24,"columns":80}, {"op":"start"}. An {"error":…} reply raises CoreError."""

    def attach(
        self,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        tty: bool = False,
        detach_keys: bytes = b"\x10\x11",
        sig_proxy: bool = True,
    ) -> dict[str, Any] | None:
        """As `Lead.relay`, on a running container. If the monitor is lost: exit code 137, reason `monitor lost`."""

    def close(self) -> None: ...

def exec(
    binary: str,
    runtime_dir: str,
    process: bytes,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
    detach: bool = False,
    detach_keys: bytes = b"\x10\x11",
    started: int | None = None,
) -> int:
    """Run an OCI process object (JSON) in the container; its exit code, 128+signal, or its host pid when detached.

    `None` for a descriptor means /dev/null. With process.terminal a pty is made inside and relayed to these
    descriptors. To `started` the host pid is written, in decimal, when it runs. Raises conflict if the container is not running, exec (126/127) if the program cannot be run.
    """

def dial(binary: str, run_root: str, runtime_dir: str, port: int) -> int:
    """A socket connected to 127.0.0.1:`port`, or else to [::1], in the network of the pod whose infra container's monitor
    has the directory `runtime_dir`; the caller closes it.

    Raises conflict if the pod is not running, or in the kernel's words that nobody listens there.
    """

def read_in_root(root: str, path: str, limit_bytes: int = 1 << 20) -> bytes | None:
    """The file `path` below directory `root`, symlinks and `..` kept beneath it; None if absent or not a regular file.

    Raises invalid_spec if it is longer than `limit_bytes`.
    """

def unpack(
    binary: str, run_root: str, tar: int, destination: str, limits: list[tuple[str, int]] = []
) -> dict[str, Any]:
    """Unpack the layer tarball on descriptor `tar` (plain, gzip or zstd) into the new directory `destination`.

    Runs in the user's namespace. Returns {"diff_id": "sha256:…", "blob_digest": "sha256:…", "blob_size": int,
    "size": unpacked bytes, "entries": int}. `limits` are names and numbers
    of those that differ from the defaults (`pyrt.images.limits`). Nothing is left at `destination` on failure.
    """

def shift_tree(
    binary: str,
    run_root: str,
    source: str,
    destination: str,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> None:
    """Copy a layer with owners mapped (container ID, per-user ID, count), in the user's namespace."""

def share_layers(
    binary: str,
    run_root: str,
    layers: list[tuple[str, str]],
    destination: str,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> dict[str, int]:
    """Make the new directory `destination` the metadata of `layers`, the top one first, with owners mapped.

    Each layer comes with its folder of hard links, which is made or added to. Runs in the user's namespace. Returns
    {"shared": files whose data is the layer's, "copied": files that the container's root could not have read}.
    """

def sync(path: str) -> None:
    """Wait until the whole file system of directory `path` is written (syncfs(2))."""

def probe_sharing(binary: str, run_root: str, path: str) -> dict[str, bool]:
    """{"shares": whether overlayfs takes data from a data-only layer here}, tried in the new directory `path`, which
    is gone afterwards. Runs in the user's namespace."""

def chown_tree(binary: str, run_root: str, path: str, uid: int, gid: int) -> None:
    """Give a tree to per-user-namespace IDs `uid:gid`, in the user's namespace; symlinks themselves."""

def remove_tree(binary: str, run_root: str, path: str) -> None:
    """Remove a tree, entering the user's namespace only where our own rights do not suffice. Absent is no error."""

def measure_tree(binary: str, run_root: str, path: str) -> int:
    """Bytes of all files of a tree, one of several names counted once; in the user's namespace where it must be."""

def compare(binary: str, run_root: str, upper: str, lower: list[str]) -> list[tuple[str, bytes]]:
    """What an overlay's directory changes of the layers below it, top first: ("A"|"C"|"D", absolute path), in order."""

def find_path(
    binary: str, run_root: str, place: tuple[str, str, int], path: str
) -> dict[str, Any] | None:
    """What is at `path` of a container, links followed as it would: {"kind": "file"|"directory"|"other", "path": bytes as
    a list, without links}; None for nothing.

    `place` is ("running", runtime directory, -1), or ("stopped", bundle, lock) of one whose directory the caller has
    locked: its overlay is mounted for the time of the call, with what is bound into it, and the lock held as long;
    or ("volume", directory, -1), whose paths begin in that directory.
    """

def fill_volume(
    binary: str,
    run_root: str,
    place: tuple[str, str, int],
    path: str,
    volume: str,
    uid: int,
    gid: int,
) -> bool:
    """Copy what the container's root has at `path`, without what is mounted there, into the empty directory `volume`,
    which takes owner, mode and times of that directory. Where there is none `volume` is given to the per-user IDs
    `uid:gid`, and the answer is False. `place` as in `find_path`.
    """

def pack_path(
    binary: str,
    run_root: str,
    place: tuple[str, str, int],
    path: str,
    out: int,
    name: str,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
    bare: bool = False,
) -> dict[str, Any]:
    """Write the file or tree at `path` as a plain tar archive to the descriptor `out`: {"entries": int, "size": bytes}.

    Its members begin with `name`; with "" the content of a directory stands by itself. `place` as in `find_path`, or
    ("host", "", -1) for our own files. Owners are written as the maps' first column has them. `bare`: without what is mounted in it.
    """

def unpack_into(
    binary: str,
    run_root: str,
    place: tuple[str, str, int],
    path: str,
    tar: int,
    owner: tuple[int, int] | None,
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
    overwrite: bool,
) -> dict[str, Any]:
    """Unpack the archive on `tar` into the directory `path`, which stays what it is otherwise; as `unpack` answers.

    Files are given to the per-user IDs `owner`, or to the archive's, mapped; with place "host" to ourselves. Unless
    `overwrite`, a directory takes no other's place and the other way: raises exists.
    """

def pack_layer(
    binary: str,
    run_root: str,
    directory: str,
    blob: int,
    skip: list[str],
    uid_map: list[tuple[int, int, int]],
    gid_map: list[tuple[int, int, int]],
) -> dict[str, Any]:
    """Write an overlay's directory as a gzipped layer to the descriptor `blob`: {"diff_id", "blob_digest", "blob_size",
    "size", "entries"} as `unpack` has them. `skip`: relative paths left out where they are empty mount points."""

def compress_layer(tar: int, blob: int) -> tuple[str, int]:
    """Write what can be read from `tar` gzipped to the descriptor `blob`: its digest and length."""

def decompress(blob: int, out: int) -> tuple[str, int]:
    """Write the plain archive of a layer blob (plain, gzip or zstd) to the descriptor `out`: its diff ID and length."""

def append_lines(path: str, max_size_bytes: int, lines: bytes) -> None:
    """Append whole lines to a file of many writers, which becomes `<path>.1` rather than grow beyond `max_size_bytes`."""

def set_frozen(path: str, is_frozen: bool) -> None:
    """Stop all processes in the cgroup at `path`, or set them going; returns when all have."""

def update_limits(cgroup: str, resources: bytes) -> None:
    """Write new limits, `linux.resources` as JSON, to a container's cgroup; if one is refused the old ones are put back."""

def make_cgroup(parent: str, id: str, resources: bytes) -> str:
    """Make the cgroup `pyrt-<id>` below `parent` with these limits, `linux.resources` as JSON; its directory.

    Raises denied naming a controller that a limit needs; nothing is left then.
    """

def remove_cgroup(path: str) -> bool:
    """Remove a cgroup with all that is below it; False if a process has yet to die there."""

def manager_cgroup() -> str:
    """The directory of the own cgroup of the user's systemd. Raises denied if it does not listen."""

class Meter:
    """What many containers use, read again and again.

    The files of cgroups are kept open, three for each and eighteen after a full sample. A fifth of the process's limit of
    descriptors is left free; what does not fit is opened each time (raise RLIMIT_NOFILE to keep more).
    """

    def __init__(self, targets: Sequence[str | tuple[str | None, int, str]]) -> None:
        """Of cgroups' directories, and of containers: (its own cgroup's directory or None, the host pid of its init, the
        runtime directory of its monitor). What the cgroup of a container does not tell comes from its processes, and from
        what its monitor knows. Raises not_found."""

    @staticmethod
    def names(full: bool = False) -> tuple[str, ...]:
        """The names of a sample's numbers, each with its unit."""

    def sample(self, full: bool = False) -> list[tuple[int | None, ...]]:
        """One tuple for each target: numbers in the order of `names`, None for what is not to be had. The GIL is released."""

    def measure(self, full: bool = False) -> list[dict[str, tuple[int | None, str, str, str]]]:
        """The same by name, with what is known of each: (value, source, quality, reason)."""

def ensure_networks(binary: str, runtime: str, run_root: str, uplink: list[str]) -> None:
    """Make sure that the user's bridge networks are kept, by the network binary; `uplink` is pasta's command line, in which
    `{netns}` stands for the networks' namespace.
    """

def start_node(
    binary: str, runtime: str, run_root: str, services: bytes, scratch: str, kept: list[str]
) -> None:
    """Make the node's namespaces, with the networks' own among them, and start its services, a list in
    JSON of {"name", "argv", "env": ["NAME=VALUE", …], "log"}. What it writes over the machine's own files
    is below `scratch`; the directories `kept` stay the machine's. Raises conflict if there is a node.
    """

def reload_networks(run_root: str, bundle: str) -> None:
    """Have a running container's `network.json` read again, and its networks changed to it."""

def user_namespace(binary: str, run_root: str) -> dict[str, Any]:
    """Make sure the per-user namespace is held: {"holder": pid, "uid_map": [[0,1000,1],…], "gid_map": …, "single": bool}."""
