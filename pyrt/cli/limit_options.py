"""The options by which `run`, `create` and `update` limit what a container may use."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option


class LimitOptions(Verb):
    """How much of the machine a container may use."""

    blkio_weight: Annotated[
        str, Option("--blkio-weight", help="Weight of block IO, 10 to 1000")
    ] = ""
    cgroup_conf: Annotated[
        list[str], Option("--cgroup-conf", metavar="FILE=VALUE", help="A cgroup file as it is")
    ] = []
    cpu_period: Annotated[str, Option("--cpu-period", help="Microseconds of a period")] = ""
    cpu_quota: Annotated[str, Option("--cpu-quota", help="Microseconds in each period")] = ""
    cpu_shares: Annotated[str, Option("--cpu-shares", help="Weight, 1024 is normal")] = ""
    cpus: Annotated[str, Option("--cpus", help="How many CPUs it may use, as 1.5")] = ""
    cpuset_cpus: Annotated[str, Option("--cpuset-cpus", help="CPUs it may use, as 0-3,7")] = ""
    cpuset_mems: Annotated[str, Option("--cpuset-mems", help="Memory nodes it may use")] = ""
    device_read_bps: Annotated[
        list[str], Option("--device-read-bps", metavar="DEVICE:RATE", help="Bytes per second")
    ] = []
    device_read_iops: Annotated[
        list[str], Option("--device-read-iops", metavar="DEVICE:RATE", help="Reads per second")
    ] = []
    device_write_bps: Annotated[
        list[str], Option("--device-write-bps", metavar="DEVICE:RATE", help="Bytes per second")
    ] = []
    device_write_iops: Annotated[
        list[str], Option("--device-write-iops", metavar="DEVICE:RATE", help="Writes per second")
    ] = []
    limits: Annotated[
        str, Option("--limits", help="Limits that cannot be: strict refuses, best and report go on")
    ] = "strict"
    memory: Annotated[str, Option("--memory", "-m", help="Memory limit, as 512m")] = ""
    memory_reservation: Annotated[
        str, Option("--memory-reservation", help="Memory that is kept from reclaim")
    ] = ""
    memory_swap: Annotated[
        str, Option("--memory-swap", help="Limit of memory and swap together, -1 for none")
    ] = ""
    pids_limit: Annotated[str, Option("--pids-limit", help="Most tasks, -1 for no limit")] = ""

    def tell_limits(self, resolved: list[dict[str, Any]]) -> None:
        """With `--limits=best` and `report`: what cannot be enforced, or the table of all."""
        if self.limits == "strict" or not resolved:
            return
        from pyrt.cli.output import complain, warn
        from pyrt.engine.limits import table

        if self.limits == "report":
            complain(table(resolved))
            return
        for entry in resolved:
            limit = f"{entry['flag']} {entry['requested']}"
            if entry["mechanism"] == "unavailable":
                warn(f"{limit} is not enforced: {entry['why']}", entry["fix"])
            elif entry["mechanism"] == "advisory":
                warn(f"{limit} is only a beginning: {entry['scope']}", "")
