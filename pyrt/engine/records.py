"""What is known of each container: read from its files, never remembered, so that it is true after
any kill -9.

    alive lock   exit.json   start.json    status
    held         –           –             what state.json says: created, running, restarting
    free         there       –             exited, with its code
    free         –           there         exited, 137, reason "monitor lost"
    free         –           –             created

Nothing here writes; `sweep` removes what the dead left behind.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.errors import Conflict, InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

LOST = {
    "exit_code": 137,
    "signal": 9,
    "reason": "monitor lost",
    "error": None,
    "started_at": "",
    "finished_at": "",
}
HEX = frozenset("0123456789abcdef")


class Record:
    """One container at one moment.

    `status` is created, running, restarting (between two lives) or exited. `document` is
    container.json, `exit` exit.json (for a container whose monitor was lost: what it would say),
    `restarts` how often it was started again.
    """

    __slots__ = (
        "_pid",
        "document",
        "exit",
        "id",
        "layout",
        "restarts",
        "started_at",
        "status",
        "told_pid",
    )

    def __init__(
        self,
        layout: Layout,
        id: str,
        document: dict[str, Any],
        status: str,
        *,
        pid: int = 0,
        started_at: str = "",
        exit: dict[str, Any] | None = None,
        restarts: int = 0,
    ) -> None:
        self.layout = layout
        self.id = id
        self.document = document
        self.status = status
        self.told_pid = pid
        self._pid: int | None = None if pid else 0
        self.started_at = started_at
        self.exit = exit
        self.restarts = restarts or int((exit or {}).get("restarts") or 0)

    @property
    def bundle(self) -> str:
        """The bundle directory."""
        return self.layout.container(self.id)

    @property
    def runtime(self) -> str:
        """The monitor's directory, there only while it lives."""
        return self.layout.runtime(self.id)

    @property
    def pid(self) -> int:
        """Init's pid here, 0 while it does not live or where it is not seen: the node does not see
        what runs outside of it.

        Found out when it is first asked for: what the monitor told is a number of its own pid
        namespace.
        """
        if self._pid is None:
            self._pid = native.init_pid(self.runtime, self.told_pid)
        return self._pid

    @property
    def is_unseen(self) -> bool:
        """Whether it runs where this process, in the node, does not see it."""
        return self.status == "running" and native.is_locked(f"{self.runtime}/alive") < 0

    def check_seen(self, what: str) -> None:
        """Raises Conflict where what is to be done needs its processes, and they are not seen."""
        if self.is_unseen:
            raise Conflict(
                what,
                self.name or self.id[:12],
                "runs outside of the node, which does not see its processes",
                hint="do it outside",
            )

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.document.get("name", ""))

    @property
    def is_live(self) -> bool:
        """Whether it runs, or will without anybody's doing."""
        return self.status in ("running", "restarting")

    @property
    def exit_code(self) -> int:
        """The code it ended with; 0 while it has not."""
        return int(self.exit["exit_code"]) if self.exit else 0

    @property
    def finished_at(self) -> str:
        """When it ended, RFC 3339; "" while it has not, or if nobody saw it."""
        return str(self.exit.get("finished_at") or "") if self.exit else ""

    @property
    def config(self) -> ContainerConfig:
        """What was asked for."""
        from pyrt.spec.config import ContainerConfig

        return ContainerConfig.from_dict(self.document)


def read_json(path: str) -> dict[str, Any] | None:
    """A JSON object that pyrt wrote; None if there is no such file.

    Raises InvalidSpec, naming the file, if something else is in it.
    """
    data = files.read(path)
    if data is None:
        return None
    try:
        found = native.loads(data)
    except InvalidSpec as error:
        raise InvalidSpec("read", path, error.reason) from None
    if not isinstance(found, dict):
        raise InvalidSpec("read", path, "not a JSON object")
    return found


def is_alive(layout: Layout, id: str) -> bool:
    """Whether the container's monitor lives: it holds the lock on `alive` for all its life."""
    return native.is_locked(f"{layout.runtime(id)}/alive") != 0


def read(layout: Layout, id: str) -> Record | None:
    """The container with this full ID; None if there is none, or only a half-made one."""
    bundle = layout.container(id)
    while True:
        document = read_json(f"{bundle}/container.json")
        if document is None:
            return None
        if not is_alive(layout, id):
            return read_dead(layout, id, document)
        state = read_json(f"{layout.runtime(id)}/state.json")
        if state is not None:
            return Record(
                layout,
                id,
                document,
                str(state["status"]),
                pid=int(state.get("pid") or 0),
                started_at=str(state.get("started_at") or ""),
                restarts=int(state.get("restarts") or 0),
                exit=read_json(f"{bundle}/exit.json") if state["status"] == "restarting" else None,
            )
        # Locked, and no state yet or no more: the monitor is just beginning or just ending.
        if is_alive(layout, id):
            return Record(layout, id, document, "created")


def images_of(record: Record) -> set[str]:
    """The IDs of the images that a container cannot be without."""
    volumes = record.document.get("volumes") or ()
    mounted = {str(volume["source"]) for volume in volumes if volume["type"] == "image"}
    return mounted | {str(record.document.get("image_id") or "")} - {""}


def read_dead(layout: Layout, id: str, document: dict[str, Any]) -> Record:
    """The lower three rows of the table."""
    bundle = layout.container(id)
    ended = read_json(f"{bundle}/exit.json")
    if ended is not None:
        started_at = str(ended.get("started_at") or "")
        return Record(layout, id, document, "exited", exit=ended, started_at=started_at)
    started = read_json(f"{bundle}/start.json")
    if started is not None:
        started_at = str(started.get("started_at") or "")
        return Record(
            layout, id, document, "exited", exit={**LOST, "id": id}, started_at=started_at
        )
    return Record(layout, id, document, "created")


def list_ids(layout: Layout) -> list[str]:
    """The IDs of all container directories, half-made ones among them."""
    try:
        return [name for name in os.listdir(layout.containers()) if is_id(name)]
    except FileNotFoundError:
        return []


def is_id(text: str) -> bool:
    """Whether `text` is a full container ID."""
    return len(text) == 64 and HEX.issuperset(text)


def by_age(records: list[Record]) -> list[Record]:
    """Oldest first."""
    return sorted(records, key=lambda record: (str(record.document.get("created", "")), record.id))


def find(layout: Layout, wanted: str) -> Record:
    """The container that a user means by a full ID, a name or a unique ID prefix, in this order.

    Raises NotFound, or Conflict if a prefix is not unique.
    """
    id = find_id(layout, wanted)
    record = read(layout, id) if id else None
    if record is None:
        raise NotFound(f'no container with name or ID "{wanted}" found', "", "no such container")
    return record


def find_id(layout: Layout, wanted: str) -> str:
    """The full ID for `find`, "" if there is none."""
    if is_id(wanted):
        return wanted
    if wanted and "/" not in wanted and wanted not in (".", ".."):
        id = files.claimed_by(layout.name(wanted))
        if is_id(id):
            return id
    if not wanted or not HEX.issuperset(wanted):
        return ""
    matches = [id for id in list_ids(layout) if id.startswith(wanted)]
    if len(matches) > 1:
        raise Conflict(
            "container", wanted, f"{len(matches)} IDs begin so", hint="give more of its ID"
        )
    return matches[0] if matches else ""
