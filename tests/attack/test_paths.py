"""Symlinks, swapped directories and descriptors: paths of the image that lead to the host."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Attack

DESCRIPTORS = range(3, 14)
UP = "/../../../../../../../.."

RENAME_EXCHANGE = 2
AT_FDCWD = -100

RACES = 60


def without(spec: dict[str, Any], *places: str) -> dict[str, Any]:
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] not in places]
    return spec


@pytest.mark.parametrize("target", ["/tmp", "canary", "../canary", "loop"])
@pytest.mark.parametrize("place", ["proc", "sys"])
def test_symlinks_at_proc_and_sys(lone: Attack, place: str, target: str) -> None:
    """CVE-2019-19921, CVE-2023-27561: what we trust must be what is mounted."""
    (lone.rootfs / place).rmdir()
    names = {"canary": str(lone.canary), "loop": place}
    (lone.rootfs / place).symlink_to(names.get(target, target))
    spec = lone.spec("true")
    spec["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
    lone.refused(spec, f"mount /{place}")


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("verb", ["run", "create"])
def test_symlinks_at_dev(attack: Attack, verb: str, mounted: bool, absolute: bool) -> None:
    """CVE-2026-41579, CVE-2026-47766: nodes and links are made inside, or not at all."""
    (attack.rootfs / "dev").rmdir()
    (attack.rootfs / "dev").symlink_to(attack.canary if absolute else "../canary")
    spec = attack.spec("true")
    if not mounted:
        without(spec, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    result = attack.run(spec, verb=verb)
    assert result.code in (0, 1)
    if verb == "create" and result.code == 0:
        attack.oci("start", "attack")


@pytest.mark.parametrize("name", ["null", "console", "ptmx", "tty", "fd"])
@pytest.mark.parametrize("terminal", [True, False])
def test_symlinks_in_dev(attack: Attack, name: str, terminal: bool) -> None:
    """CVE-2025-31133, CVE-2025-52565, CVE-2026-88264: the image's own /dev is used."""
    from sockets import Receiver

    (attack.rootfs / "dev" / name).symlink_to(f"../../canary/{name}")
    (attack.rootfs / "dev" / "pts").mkdir()
    spec = without(attack.spec("true"), "/dev", "/dev/shm", "/dev/mqueue")
    spec["process"]["terminal"] = terminal
    with Receiver(attack.oci.place / "console") as console:
        options = ["--console-socket", str(console.path)] if terminal else []
        result = attack.run(spec, *options, verb="create")
        if terminal and result.code == 0:
            os.close(console.receive())
    assert result.code == 0 or "symlink" in result.err, result
    if name in ("null", "tty") or (name == "console" and terminal):
        assert result.code == 1


def test_a_null_that_leads_elsewhere_masks_nothing_else(attack: Attack) -> None:
    """CVE-2025-31133: /dev is shared with somebody who put a symlink there."""
    shared = attack.oci.place / "shared"
    shared.mkdir()
    (shared / "null").symlink_to("/proc/sys/kernel/core_pattern")
    spec = without(attack.spec("cat", "/proc/kcore"), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    spec["mounts"].append(
        {"destination": "/dev", "type": "bind", "source": str(shared), "options": ["rbind"]}
    )
    result = attack.run(spec)
    assert result.out == "", result


@pytest.mark.parametrize(
    "entry",
    [
        {"destination": "/proc", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/proc", "type": "bind", "source": "/tmp", "options": ["rbind"]},
        {"destination": "/proc", "type": "bind", "source": "/proc/self", "options": ["bind"]},
        {"destination": "/proc/self/attr", "type": "bind", "source": "/tmp", "options": ["bind"]},
        {"destination": "/proc/sys/net", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/link/attr", "type": "bind", "source": "/tmp", "options": ["bind"]},
        {"destination": "/link/../sys/kernel", "type": "tmpfs", "source": "tmpfs"},
    ],
)
def test_false_proc(lone: Attack, entry: dict[str, Any]) -> None:
    """CVE-2019-16884, CVE-2025-52881: labels and parameters go to the kernel or nowhere."""
    (lone.rootfs / "link").symlink_to("/proc/self")
    spec = lone.spec("true")
    if entry["destination"] == "/proc":
        without(spec, "/proc")
    spec["mounts"].append(entry)
    spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    if entry["destination"].startswith("/link/.."):
        # A word and not a step: /sys/kernel it is, in our own sysfs.
        assert lone.run(spec).code == 0
        return
    lone.refused(spec, "mounts /")


def test_working_directories_through_descriptors(attack: Attack) -> None:
    """CVE-2024-21626: no directory of the host is within reach, at run or at exec."""
    for number in DESCRIPTORS:
        for suffix in ("", UP):
            spec = attack.spec("ls", "-a", ".")
            spec["process"]["cwd"] = f"/proc/self/fd/{number}{suffix}"
            result = attack.run(spec)
            assert result.code != 0, result
            assert "canary" not in result.out
    attack.start()
    for number in DESCRIPTORS:
        result = attack.exec("ls", "-a", ".", cwd=f"/proc/self/fd/{number}{UP}{attack.oci.place}")
        assert result.code != 0, result
        assert "canary" not in result.out


def test_programs_through_descriptors(attack: Attack) -> None:
    """The same for what is executed: a static program of the host by way of a descriptor."""
    attack.start()
    for number in DESCRIPTORS:
        path = f"/proc/self/fd/{number}{UP}{attack.oci.runtime}"
        assert "pyrt-runtime version" not in attack.exec(path, "--version").out
        assert "pyrt-runtime version" not in attack.run(attack.spec(path, "--version")).out


def test_only_stdio_is_open(attack: Attack) -> None:
    attack.start()
    assert attack.exec("ls", "/proc/1/fd").out.split() == ["0", "1", "2"]
    # Its own, and the directory that it lists.
    assert attack.exec("ls", "/proc/self/fd").out.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("program", ["/bin/self", "/bin/script", "/proc/self/exe"])
def test_our_executable_is_out_of_reach(attack: Attack, program: str) -> None:
    """CVE-2019-5736: as program, symlink or interpreter, of run and of exec."""
    (attack.rootfs / "bin/self").symlink_to("/proc/self/exe")
    script = attack.rootfs / "bin/script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    runtime = attack.oci.runtime
    before = (runtime.stat().st_mode, hashlib.sha256(runtime.read_bytes()).digest())
    vandal = "for exe in /proc/[0-9]*/exe; do chmod 0777 $exe; : > $exe; done 2> /dev/null; true"
    attack.run(attack.spec(program, "--version"))
    attack.run(attack.spec("sh", "-c", vandal))
    attack.start()
    attack.exec(program, "--version")
    attack.exec("sh", "-c", vandal)
    assert (runtime.stat().st_mode, hashlib.sha256(runtime.read_bytes()).digest()) == before


def test_the_root_may_be_a_symlink_but_is_resolved_once(attack: Attack) -> None:
    """CVE-2025-54867."""
    link = attack.oci.place / "link"
    link.symlink_to(attack.rootfs)
    spec = attack.spec("sh", "-c", "ls /")
    spec["root"]["path"] = str(link)
    assert "bin" in attack.run(spec).out


def test_a_read_only_root_stays_read_only(attack: Attack) -> None:
    """CVE-2026-115521: an image with a /proc of its own, and none mounted."""
    (attack.rootfs / "proc/self").mkdir(parents=True)
    (attack.rootfs / "proc/self/fd").symlink_to(attack.canary)
    spec = without(attack.spec("sh", "-c", "echo x > /x"), "/proc")
    spec["root"]["readonly"] = True
    spec["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
    result = attack.run(spec)
    assert result.code == 1, result
    assert "Read-only file system" in result.err


def test_read_only_volumes_all_the_way_down(attack: Attack) -> None:
    """What is mounted below a volume that is bound `rro`, and below one that is bound `ro`."""
    if attack.oci.mode != "nested":
        pytest.skip("needs a mount that this user made")
    volume = attack.oci.place / "volume"
    (volume / "below").mkdir(parents=True)
    mount = [*attack.oci.prefix, "mount", "-t", "tmpfs", "x", str(volume / "below")]
    subprocess.run(mount, check=True)
    for option, expected in (("rro", "no\n"), ("ro", "yes\n")):
        spec = attack.spec("sh", "-c", "echo x 2> /dev/null > /mnt/below/x && echo yes || echo no")
        spec["mounts"].append(
            {"destination": "/mnt", "source": str(volume), "options": ["rbind", option]}
        )
        assert attack.run(spec).out == expected


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Two names that change places all the time, as a second container would make them."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(path) for path in (one, other)]
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("victim", ["mount", "directory", "file", "masked", "readonly", "device"])
def test_swapped_paths(lone: Attack, victim: str) -> None:
    """CVE-2021-30465, CVE-2024-45310, CVE-2025-31133, GHSA-3q8j-pf29-vwv8: a directory is a
    symlink to the host's every other moment, and the host's is never touched.
    """
    shared = lone.rootfs / "shared"
    real, link = shared / "real", shared / "link"
    (real / "inner").mkdir(parents=True)
    (real / "secret").write_text("inside")
    link.symlink_to(f"../../../../../../..{lone.canary}")
    spec = lone.spec(
        "sh", "-c", "cat /shared/real/secret /shared/link/secret; cat /proc/self/mountinfo"
    )
    destination = {
        "mount": "/shared/real/inner",
        "directory": "/shared/real/new/deep",
        "file": "/shared/real/file",
    }.get(victim)
    if destination:
        source = "/bin/busybox" if victim == "file" else "/usr"
        spec["mounts"].append(
            {"destination": destination, "source": source, "options": ["bind", "ro"]}
        )
    elif victim == "device":
        node = {"type": "c", "path": "/shared/real/node", "major": 1, "minor": 3}
        spec["linux"]["devices"] = [node]
    else:
        spec["linux"][f"{victim}Paths"] = ["/shared/real/secret", "/shared/real/inner"]
    with swapping(real, link):
        for _ in range(RACES):
            result = lone.run(spec)
            assert result.code in (0, 1), result
            assert "of the host" not in result.out, result
            # The fourth field is what is mounted; the fifth, where, may well be called canary.
            lines = [line.split() for line in result.out.splitlines() if " - " in line]
            assert not [line for line in lines if "canary" in line[3]], result
            assert lone.look() == lone.before[0]


def test_state_directories_of_others(lone: Attack) -> None:
    """The state of a container is ours, or there is no container."""
    lone.oci.root = lone.oci.place / "state"
    lone.oci.root.mkdir(mode=0o700)
    bundle = lone.oci.bundle("true")
    for number, plant in enumerate(("symlink", "file", "directory")):
        place = lone.oci.root / f"c{number}"
        if plant == "symlink":
            place.symlink_to(lone.canary)
        elif plant == "file":
            place.write_text("")
        else:
            place.mkdir()
        command = ["--root", str(lone.oci.root), "create", "--bundle", str(bundle), place.name]
        result = lone.oci(*command)
        assert result.code == 1, result
    shutil.rmtree(lone.oci.root)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/x", ".x", "x\ny", "x y", "\u00e9", "a" * 2000, "%s", "a:b"],
)
def test_names_that_are_paths(lone: Attack, name: str) -> None:
    bundle = lone.oci.bundle("true")
    result = lone.oci("create", "--bundle", str(bundle), "--", name)
    assert result.code == 1, result
    for verb in ("state", "kill", "delete", "start"):
        assert lone.oci(verb, "--", name).code == 1


@pytest.mark.parametrize("path", ["..", "../x", "/a/../../x", "a\nb", "a\0b"])
def test_cgroup_paths_that_lead_out(lone: Attack, path: str) -> None:
    spec = lone.spec("true")
    spec["linux"]["cgroupsPath"] = path
    lone.refused(spec, "cgroup")


def test_namespace_files_that_are_none(lone: Attack) -> None:
    plain = lone.oci.place / "plain"
    plain.write_text("")
    kinds = ["network", "ipc", "uts", "pid", "cgroup", "user", "mount"]
    for kind, path in itertools.product(kinds, [plain, "/proc/self/ns/time", "/dev/null", "x"]):
        spec = lone.spec("true")
        namespaces = spec["linux"]["namespaces"]
        rest = [namespace for namespace in namespaces if namespace["type"] != kind]
        spec["linux"]["namespaces"] = [*rest, {"type": kind, "path": str(path)}]
        if kind == "user":
            del spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]
        lone.refused(spec, f"linux.namespaces {kind}")
