"""Another process in a running container."""

from __future__ import annotations

from pyrt import native
from pyrt.engine import accounts, events, records
from pyrt.errors import Conflict
from pyrt.spec.names import parse_detach_keys
from pyrt.spec.process import build_process_for_exec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record


def run(
    record: Record,
    args: list[str],
    *,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
    env: list[str] | None = None,
    workdir: str = "",
    user: str = "",
    terminal: bool = False,
    privileged: bool = False,
    detach: bool = False,
    detach_keys: str = "ctrl-p,ctrl-q",
    started: int | None = None,
) -> int:
    """Run `args` in the container, joined to these descriptors; its exit code, or its host pid when
    detached.
    To the descriptor `started` its host pid is written when it runs.

    Raises Conflict, in podman's words, if the container does not run; ExecFailed if the program
    cannot be run.
    """
    keys = parse_detach_keys(detach_keys)
    if record.status != "running":
        raise Conflict(
            "can only create exec sessions on running containers", "", "container state improper"
        )
    # Nobody can join a pid namespace that is not below his own.
    record.check_seen("exec")
    spec = records.read_json(f"{record.bundle}/config.json") or {}
    # Its root as it is now, volumes over /etc included: only a user by name needs it.
    roots = [f"/proc/{record.pid}/root"] if user and record.pid else []
    passwd, group = accounts.read_accounts(roots)
    process = build_process_for_exec(
        spec,
        args=args,
        env=env,
        workdir=workdir,
        user=user,
        terminal=terminal,
        privileged=privileged,
        passwd=passwd,
        group=group,
    )
    events.tell_of(record, "exec")
    code = native.exec_process(
        record.runtime,
        native.dumps(process),
        stdin,
        stdout,
        stderr,
        detach=detach,
        detach_keys=keys,
        started=started,
    )
    if not detach:
        events.tell_of(record, "exec_died", exit_code=code)
    return code
