"""Command lines, written as configs: what each of them means is in snapshots/."""

from __future__ import annotations

from typing import Any

from pyrt.oci.image import ImageConfig
from pyrt.spec.config import ContainerConfig, Host
from pyrt.spec.limits import parse_ulimit
from pyrt.spec.secrets import parse_secret
from pyrt.spec.userns import parse_userns
from pyrt.spec.volumes import parse_mount, parse_tmpfs, parse_volume

ID = "0123456789abcdef" * 4
BUNDLE = f"/data/containers/{ID}"

PASSWD = b"""\
root:x:0:0:root:/root:/bin/ash
www:x:33:33:www:/var/www:/sbin/nologin
app:x:1000:1001:app:/srv/app:/bin/sh
"""
GROUP = b"root:x:0:\ntty:x:5:app\nwww:x:33:app,root\nstaff:x:1001:\nhuge:x:70000:app\n"

HOST = Host(
    uid=1000,
    gid=1000,
    user="build",
    home="/home/build",
    hostname="machine",
    hosts="127.0.0.1\tlocalhost\n",
    resolv_conf="nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch example.org\n",
    max_nofile=524288,
    max_nproc=-1,
    init_path="/opt/pyrt/_bin/pyrt-runtime",
    machine="x86_64",
)
TWO_RANGES = Host(uid_count=131073, gid_count=131073, uid_extents=[1, 65536, 65536],
                  gid_extents=[1, 65536, 65536])  # fmt: skip
SINGLE = Host(uid_count=1, gid_count=1, max_nofile=1024, max_nproc=100)

IMAGE = ImageConfig(
    env=["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
    cmd=["/bin/sh"],
    working_dir="/app",
    stop_signal="SIGQUIT",
    architecture="amd64",
)
SERVER = ImageConfig(entrypoint=["/entry"], cmd=["serve"], user="app", working_dir="/srv")


class Case:
    """One line of the table: what was asked, of which image, on which machine."""

    def __init__(self, image: ImageConfig | None = IMAGE, host: Host = HOST, **config: Any) -> None:
        self.image = image
        self.host = host
        self.config = ContainerConfig(id=ID, name="web", image="demo", **config)


CASES = {
    # pyrt run demo
    "default": Case(),
    # pyrt run -it --hostname box -e A=1 -e PATH=/x -w /tmp -u www demo id
    "process": Case(terminal=True, interactive=True, hostname="box", env=["A=1", "PATH=/x"],
                    workdir="/tmp", user="www", command=["id"]),
    # pyrt run SERVER --debug : ENTRYPOINT, USER with groups
    "image-user": Case(image=SERVER, command=["--debug"]),
    # pyrt run --entrypoint /bin/x SERVER : CMD goes with the ENTRYPOINT
    "entrypoint": Case(image=SERVER, entrypoint=["/bin/x"], user="7:8"),
    # pyrt run --init demo sleep 1
    "init": Case(init=True, command=["sleep", "1"]),
    # pyrt run --read-only
    "read-only": Case(read_only=True),
    # pyrt run --read-only --read-only-tmpfs=false
    "read-only-all": Case(read_only=True, read_only_tmpfs=False),
    # pyrt run --tmpfs … -v … --mount …
    "volumes": Case(
        tmpfs=[parse_tmpfs("/scratch"), parse_tmpfs("/run/x:size=1m,exec,notmpcopyup")],
        volumes=[
            parse_volume("/src:/app/deep/er:ro", "/home/build"),
            parse_volume("./rel:/app", "/home/build"),
            parse_volume("/a:/b:ro,bind,rslave,nosuid,Z", "/"),
            parse_volume("/hosts:/etc/hosts", "/"),
            parse_volume("data:/var/data:ro,U", "/"),
            parse_volume("/src:/over:O", "/"),
            parse_mount("type=ramfs,dst=/ram,mode=0700", "/"),
            parse_mount("type=devpts,dst=/pts,gid=5", "/"),
            parse_mount("type=tmpfs,dst=/dev/shm,tmpfs-size=1g,tmpfs-mode=700", "/"),
            parse_mount("type=bind,source=x,target=/c,readonly,bind-propagation=rshared", "/y"),
        ],
    ),
    "network-none": Case(network="none"),
    "network-host": Case(network="host"),
    # pyrt run --cap-drop all --cap-add net_bind_service,chown
    "capabilities": Case(cap_drop=["all"], cap_add=["net_bind_service", "CAP_CHOWN"]),
    # pyrt run -u 1000 --cap-add net_raw
    "capabilities-user": Case(cap_add=["NET_RAW"], cap_drop=["CHOWN"], user="1000"),
    "privileged": Case(privileged=True),
    "security-opt": Case(security_opt=[
        "no-new-privileges=false", "seccomp=unconfined", "mask=/proc/self/maps:/secret",
        "unmask=/proc/a*:/sys/firmware", "label=disable", "apparmor=unconfined",
    ]),
    "unmask-all": Case(security_opt=["unmask=ALL"]),
    "ulimit": Case(ulimits=[parse_ulimit("nofile=100:200"), parse_ulimit("core=-1"),
                            parse_ulimit("nproc=-1")]),
    "ulimit-host": Case(ulimits=[parse_ulimit("host")]),
    "userns-host": Case(userns=parse_userns("host")),
    "userns-keep-id": Case(userns=parse_userns("keep-id")),
    "secrets": Case(
        secrets=[
            parse_secret("key,uid=33,mode=0400"),
            parse_secret("token,type=env,target=TOKEN"),
            parse_secret("source=cert,target=/etc/cert.pem"),
        ]
    ),
    "userns-keep-id-home": Case(userns="keep-id", volumes=[parse_volume("/home:/home", "/")],
                                host=Host(uid=1234, gid=33, user="ann", home="/home/ann")),
    "userns-keep-id-map": Case(userns=parse_userns("keep-id:uid=5,gid=7"), user="root"),
    "userns-nomap": Case(userns=parse_userns("nomap")),
    "userns-two-ranges": Case(host=TWO_RANGES),
    "userns-keep-id-two-ranges": Case(userns="keep-id", host=TWO_RANGES),
    "single": Case(host=SINGLE),
    "single-keep-id": Case(host=SINGLE, userns="keep-id"),
    # pyrt run --rootfs /srv/root true
    "rootfs": Case(image=None, rootfs="/srv/root", command=["true"]),
}  # fmt: skip
