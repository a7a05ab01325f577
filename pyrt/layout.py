"""Where pyrt keeps things: the one module that knows paths. It makes none of them.

data/                              $XDG_DATA_HOME/pyrt: durable
├── content/                       an OCI image layout: oci-layout, index.json, blobs/sha256/
├── layers/<chain ID>/             an unpacked layer, read-only, committed by rename
├── layers/<chain ID>.data/        hard links to its files, for those that share their data
├── layers/<chain ID>.meta.<map>/  an image's metadata with owners shifted, for keep-id and nomap
├── layers/<chain ID>.<map>/       the layer so copied, where the kernel cannot share data
├── containers/<id>/               a bundle: container.json config.json monitor.json log history …
├── networks/<name>.json           a bridge network
├── volumes/<name>/                volume.json _data/
├── secrets/<name>.json            a secret, for its owner's eyes only
├── names/<name>                   symlink to the id; symlink(2) keeps names unique
├── node/                         what the node writes over the machine's /etc, /run, /var
├── receipts receipts.1            what containers that ended have used, one a line
├── events events.1                what happened to containers and images, one a line
└── cache/                         what can be made again: compiled filters, probes
run/                               $XDG_RUNTIME_DIR/pyrt: gone at reboot, as processes are
├── holder                         locked by the holder of the user's namespace
├── cri.sock                       the Container Runtime Interface, where `pyrt cri serve` runs
├── cri.lock                       locked by it, wherever its socket is
├── node/                          alive state.json cri.log: the node, while there is one
├── node.lock                      locked by who makes the node, or takes away what it has left
├── network/                       control.sock of the bridge networks; leases/<network>/<address>
└── <id>/                          state.json control.sock alive, by the container's monitor
"""

from __future__ import annotations

from pyrt import system as os
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Layout:
    """Two roots, absolute, and the paths below them. Pure: no method touches the disk."""

    __slots__ = ("data", "run")

    def __init__(self, data: str, run: str) -> None:
        self.data = data
        self.run = run

    @staticmethod
    def default(root: str | None = None, runroot: str | None = None) -> Layout:
        """The roots this user and environment mean; `root` and `runroot` override one each.

        Raises NotFound, with a hint, if there is no home or no runtime directory to use.
        """
        environment = os.environ
        data = absolute("--root", root) if root is not None else data_root(environment)
        run = absolute("--runroot", runroot) if runroot is not None else run_root(environment)
        return Layout(data, run)

    # The image store.

    def content(self) -> str:
        """The OCI image layout."""
        return f"{self.data}/content"

    def layers(self) -> str:
        """The directory of unpacked layers."""
        return f"{self.data}/layers"

    def layer(self, chain_id: str, mapping: str = "") -> str:
        """The unpacked layer of `chain_id` (with or without `sha256:`), or its copy for the map
        digest `mapping`.
        """
        name = chain_id.removeprefix("sha256:")
        return f"{self.data}/layers/{name}.{mapping}" if mapping else f"{self.data}/layers/{name}"

    def layer_data(self, chain_id: str) -> str:
        """The folder of hard links to the files of the layer of `chain_id`."""
        return f"{self.layer(chain_id)}.data"

    def metadata(self, chain_id: str, mapping: str) -> str:
        """The metadata of the image whose top layer is `chain_id`, for the map digest `mapping`."""
        return f"{self.layer(chain_id)}.meta.{mapping}"

    # Containers.

    def containers(self) -> str:
        """The directory of all bundles."""
        return f"{self.data}/containers"

    def container(self, id: str) -> str:
        """The bundle of the container with this full ID."""
        return f"{self.data}/containers/{id}"

    def names(self) -> str:
        """The directory of claimed names."""
        return f"{self.data}/names"

    def name(self, name: str) -> str:
        """The symlink that claims `name`."""
        return f"{self.data}/names/{name}"

    # Pods.

    def pods(self) -> str:
        """The directory of all pods."""
        return f"{self.data}/pods"

    def pod(self, id: str) -> str:
        """The directory of the pod with this full ID."""
        return f"{self.data}/pods/{id}"

    # Networks.

    def networks(self) -> str:
        """The directory of bridge networks."""
        return f"{self.data}/networks"

    def network(self, name: str) -> str:
        """The file that defines the network of this name."""
        return f"{self.data}/networks/{name}.json"

    # Volumes and secrets.

    def volumes(self) -> str:
        """The directory of volumes."""
        return f"{self.data}/volumes"

    def volume(self, name: str) -> str:
        """The directory of the volume of this name."""
        return f"{self.data}/volumes/{name}"

    def volume_data(self, name: str) -> str:
        """What containers see of it."""
        return f"{self.data}/volumes/{name}/_data"

    def secrets(self) -> str:
        """The directory of secrets."""
        return f"{self.data}/secrets"

    def secret(self, name: str) -> str:
        """The file with the secret of this name."""
        return f"{self.data}/secrets/{name}.json"

    # What can be made again.

    def cache(self) -> str:
        """The directory of caches."""
        return f"{self.data}/cache"

    def seccomp_cache(self) -> str:
        """The directory of compiled seccomp filters."""
        return f"{self.data}/cache/seccomp"

    def sharing(self) -> str:
        """What was found out about sharing data between layers, and with which kernel."""
        return f"{self.data}/cache/sharing"

    # What outlives the containers.

    def receipts(self) -> str:
        """The file of receipts, one a line, the latest last; beside it the one before, `.1`."""
        return f"{self.data}/receipts"

    def events(self) -> str:
        """The file of events, the latest last; beside it the one before, `.1`."""
        return f"{self.data}/events"

    # Processes.

    def holder(self) -> str:
        """The file that the holder of the user's namespace locks."""
        return f"{self.run}/holder"

    def node(self) -> str:
        """The directory of the node."""
        return f"{self.run}/node"

    def node_files(self) -> str:
        """What the node writes over the machine's own files, as long as it lives."""
        return f"{self.data}/node"

    def node_lock(self) -> str:
        """The file that the node's first process locks."""
        return f"{self.run}/node/alive"

    def node_change(self) -> str:
        """The file that is locked by who makes the node, or takes away what it has left."""
        return f"{self.run}/node.lock"

    def kubelet(self) -> str:
        """The directory of the node's kubelet."""
        return f"{self.data}/kubelet"

    def cri_socket(self) -> str:
        """Where the Container Runtime Interface is served."""
        return f"{self.run}/cri.sock"

    def cri_lock(self) -> str:
        """The file that who serves the Container Runtime Interface locks, with its socket's path
        in it.
        """
        return f"{self.run}/cri.lock"

    def exec_marks(self) -> str:
        """The directory of marks of programs whose callers wait for them."""
        return f"{self.run}/execs"

    def network_socket(self) -> str:
        """Where the supervisor of bridge networks listens."""
        return f"{self.run}/network/control.sock"

    def network_leases(self, name: str) -> str:
        """The directory of a network's addresses, each a symlink to the container that has it."""
        return f"{self.run}/network/leases/{name}"

    def runtime(self, id: str) -> str:
        """The directory that a container's monitor makes: state.json, control.sock, alive."""
        return f"{self.run}/{id}"


def absolute(flag: str, path: str) -> str:
    """`path` made absolute against the working directory; InvalidSpec if empty or with a NUL."""
    if not path or "\0" in path:
        raise InvalidSpec("option", flag, "not a path")
    return os.path.abspath(path)


def data_root(environment: Mapping[str, str]) -> str:
    """$XDG_DATA_HOME/pyrt, or ~/.local/share/pyrt. A relative XDG_DATA_HOME is ignored, as its
    specification says.
    """
    data_home = environment.get("XDG_DATA_HOME", "")
    if data_home.startswith("/"):
        return os.path.join(data_home, "pyrt")
    home = environment.get("HOME", "") or passwd_home()
    if not home.startswith("/"):
        raise NotFound(
            "HOME", "", "not set, and this user has no home directory", hint="give --root DIR"
        )
    return os.path.join(home, ".local/share/pyrt")


def passwd_home() -> str:
    """This user's home directory according to the system, or ""."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def run_root(environment: Mapping[str, str]) -> str:
    """$XDG_RUNTIME_DIR/pyrt, or /run/user/UID/pyrt if that directory is ours (su and sudo leave
    the variable unset).
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return os.path.join(runtime, "pyrt")
    uid = os.getuid()
    runtime = f"/run/user/{uid}"
    try:
        owned = os.stat(runtime).st_uid == uid
    except OSError:
        owned = False
    if not owned:
        raise NotFound(
            "XDG_RUNTIME_DIR",
            "",
            f"not set, and {runtime} does not exist",
            hint="set XDG_RUNTIME_DIR to a directory of yours, mode 0700, or give --runroot DIR",
        )
    return os.path.join(runtime, "pyrt")
