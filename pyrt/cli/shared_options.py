"""The options of what a container has by itself, and the containers of a pod together."""

from __future__ import annotations

from pyrt.cli.network_options import NetworkOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option


class SharedOptions(NetworkOptions):
    """Names and resolver, kernel parameters, shared memory; and labels from a file."""

    add_host: Annotated[
        list[str],
        Option("--add-host", help="NAME[;NAME]:ADDRESS in /etc/hosts, or NAME:host-gateway"),
    ] = []
    dns: Annotated[
        list[str], Option("--dns", help="Address of a resolver; none for the image's own file")
    ] = []
    dns_option: Annotated[
        list[str], Option("--dns-option", "--dns-opt", help="Option in /etc/resolv.conf")
    ] = []
    dns_search: Annotated[
        list[str], Option("--dns-search", help="Domain that is searched; . for none")
    ] = []
    label_file: Annotated[
        list[str], Option("--label-file", metavar="PATH", help="Read labels from a file")
    ] = []
    no_hosts: Annotated[
        bool, Option("--no-hosts", help="Leave the image's /etc/hosts as it is")
    ] = False
    shm_size: Annotated[
        str, Option("--shm-size", help="Most that /dev/shm holds, 0 for no limit [default: 64m]")
    ] = ""
    sysctl: Annotated[
        list[str], Option("--sysctl", help="NAME=VALUE of a namespace's kernel parameter")
    ] = []
