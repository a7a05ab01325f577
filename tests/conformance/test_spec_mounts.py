"""`mounts`, from inside (runtime-spec 1.3)."""

from __future__ import annotations

import subprocess

import pytest
from inside import Inside
from rootless import Rootless

IDS = [{"containerID": 0, "hostID": 1, "size": 1}]

OPTIONS = {
    "async": "rw,relatime",
    "atime": "rw,relatime",
    "defaults": "rw,relatime",
    "dev": "rw,relatime",
    "diratime": "rw,relatime",
    "exec": "rw,relatime",
    "iversion": "rw,relatime",
    "loud": "rw,relatime",
    "noatime": "rw,noatime",
    "nodev": "rw,nodev,relatime",
    "nodiratime": "rw,nodiratime,relatime",
    "noexec": "rw,noexec,relatime",
    "noiversion": "rw,relatime",
    "nolazytime": "rw,relatime",
    "nomand": "rw,relatime",
    "norelatime": "rw,relatime",
    "nostrictatime": "rw,relatime",
    "nosuid": "rw,nosuid,relatime",
    "nosymfollow": "rw,relatime,nosymfollow",
    "relatime": "rw,relatime",
    "ro": "ro,relatime",
    "rw": "rw,relatime",
    "silent": "rw,relatime",
    "strictatime": "rw",
    "suid": "rw,relatime",
    "symfollow": "rw,relatime",
}
"""Option and what /proc/self/mountinfo then says of the mount (proc_pid_mountinfo(5))."""

NO_ATTRIBUTES = {
    *("async", "defaults", "iversion", "loud"),
    *("noiversion", "nolazytime", "nomand", "silent"),
}
"""Those that are not of the mount: there is no `r` before them."""


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option(single: Rootless, option: str) -> None:
    seen = Inside(single).mount("/mnt", "tmpfs", "tmpfs", option).options_of("/mnt")
    assert seen == OPTIONS[option]


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - NO_ATTRIBUTES))
def test_an_option_all_the_way_down(single: Rootless, option: str) -> None:
    """`r` before a word; `rro` is what read-only volumes are mounted with."""
    seen = Inside(single).mount("/mnt", "tmpfs", "tmpfs", f"r{option}").options_of("/mnt")
    assert seen == OPTIONS[option]


@pytest.mark.parametrize("option", ["dirsync", "lazytime", "mand", "sync"])
def test_an_option_of_the_file_system(single: Rootless, option: str) -> None:
    line = Inside(single).mount("/mnt", "tmpfs", "tmpfs", option).line_of("/mnt")
    assert option in line[-1].split(",")


def test_data(oci: Rootless) -> None:
    inside = Inside(oci).mount("/mnt", "tmpfs", "x", "size=1m,mode=711", "nr_inodes=10")
    assert {"size=1024k", "mode=711", "nr_inodes=10"} <= set(inside.line_of("/mnt")[-1].split(","))
    assert "invalid argument" in Inside(oci).mount("/mnt", "tmpfs", "x", "no-such").refusal()
    result = Inside(oci).mount("/mnt", "bind", "/tmp", "bind", "size=1m").run()
    assert result.code == 0, result
    assert "warning: mounts.options /mnt: size=1m is the file system's, which" in result.err


def test_a_tmpfs_has_the_mode_of_what_it_covers(oci: Rootless) -> None:
    (oci.rootfs / "covered").mkdir(mode=0o700)
    (oci.rootfs / "covered").chmod(0o1711)
    inside = Inside(oci).mount("/covered", "tmpfs", "x").mount("/new", "tmpfs", "x")
    assert inside.see("busybox stat -c %a /covered /new") == "1711\n1777"


def test_destinations(oci: Rootless) -> None:
    """Relative ones are from the root, and none leads out of it."""
    inside = Inside(oci).mount("a/b", "tmpfs", "x").mount("/c/../../d", "tmpfs", "x")
    assert inside.line_of("/a/b")
    assert inside.line_of("/d")
    assert "mounts.destination ..: is the root" in Inside(oci).mount("..", "tmpfs", "x").refusal()


def test_sources_are_relative_to_the_bundle(oci: Rootless) -> None:
    (oci.place / "bundle").mkdir()
    (oci.place / "bundle" / "shared").write_text("of the bundle")
    inside = Inside(oci).mount("/mnt/file", "none", "shared", "bind", "ro")
    assert inside.see("cat /mnt/file; echo x 2> /dev/null > /mnt/file || echo no") == (
        "of the bundleno"
    )


def test_symlinks_that_lead_nowhere(oci: Rootless) -> None:
    """As /etc/resolv.conf of many images: what they name is made beneath the root."""
    (oci.rootfs / "etc/file").symlink_to("../run/there/file")
    (oci.rootfs / "etc/chain").symlink_to("/etc/../etc/directory")
    (oci.rootfs / "etc/directory").symlink_to("/../../made/here")
    (oci.rootfs / "etc/loop").symlink_to("loop")
    inside = Inside(oci).mount("/etc/file", "bind", str(oci.rootfs / "bin/busybox"), "bind")
    inside.mount("/etc/chain/below", "tmpfs", "x")
    assert inside.line_of("/run/there/file")
    assert inside.line_of("/made/here/below")
    text = Inside(oci).mount("/etc/loop", "tmpfs", "x").refusal()
    assert "/etc/loop: too many levels of symbolic links" in text


def test_in_the_listed_order(oci: Rootless) -> None:
    inside = Inside(oci).mount("/mnt", "tmpfs", "x").mount("/mnt/below", "tmpfs", "y")
    inside.mount("/mnt", "tmpfs", "z", "ro")
    assert inside.see("ls /mnt") == ""


def test_remount(oci: Rootless) -> None:
    inside = Inside(oci).mount("/mnt", "tmpfs", "x", "size=1m")
    line = inside.mount("/mnt", "", "", "remount", "ro", "size=2m").line_of("/mnt")
    assert line[5] == "ro,relatime"
    assert "size=2048k" in line[-1]
    text = Inside(oci).mount("/bin", "", "", "remount", "ro").refusal()
    assert "nothing is mounted there" in text


def test_propagation(oci: Rootless) -> None:
    inside = Inside(oci).mount("/mnt", "tmpfs", "x", "slave", "shared")
    assert inside.line_of("/mnt")[6].startswith("shared:")
    assert Inside(oci).mount("/mnt", "tmpfs", "x", "unbindable").line_of("/mnt")[6] == "unbindable"
    assert Inside(oci).mount("/mnt", "tmpfs", "x").line_of("/mnt")[6] == "-"


@pytest.mark.parametrize("word", ["private", "slave", "shared", "unbindable", "rprivate", "rslave"])
def test_propagation_of_the_root(oci: Rootless, word: str) -> None:
    inside = Inside(oci)
    inside.spec["linux"]["rootfsPropagation"] = word
    seen = inside.line_of("/")[6]
    assert seen.split(":")[0] == {"shared": "shared", "unbindable": "unbindable"}.get(word, seen)
    assert not (word.endswith("private") and seen != "-")
    inside.spec["linux"]["rootfsPropagation"] = "public"
    assert "linux.rootfsPropagation public" in inside.refusal()


def test_locked_flags_are_kept(oci: Rootless) -> None:
    """A mount of a namespace above keeps its flags; who wants them cleared is told which."""
    if oci.mode != "nested":
        pytest.skip("needs a mount that this user made")
    place = oci.place / "locked"
    place.mkdir()
    flags = "ro,nosuid,nodev,noexec,noatime"
    subprocess.run([*oci.prefix, "mount", "-t", "tmpfs", "-o", flags, "x", str(place)], check=True)

    def nested(*options: str) -> Inside:
        inside = Inside(oci).mount("/mnt", "bind", str(place), *options)
        inside.spec["linux"]["namespaces"].append({"type": "user"})
        # Split where the map of the namespace above is.
        whole = [{"containerID": i, "hostID": i, "size": size} for i, size in ((0, 1), (1, 999))]
        inside.spec["linux"] |= {"uidMappings": whole, "gidMappings": whole}
        return inside

    for options in (["bind"], ["rbind", "rro"], ["bind", "ro", "nosuid"], ["bind", "noatime"]):
        assert nested(*options).options_of("/mnt") == flags
    for option, flag in {"rw": "ro", "suid": "nosuid", "rdev": "nodev", "exec": "noexec"}.items():
        text = nested("rbind", option).refusal()
        assert f"operation not permitted (the host's mount has {flag}, and a user name" in text
    assert "has an atime flag" in nested("bind", "relatime").refusal()


def test_id_mapped_mounts(oci: Rootless) -> None:
    """Of what the container mounts itself; EPERM for the host's file systems."""
    mapped = {"uidMappings": IDS, "gidMappings": IDS}
    text = Inside(oci).mount("/mnt", "bind", "/tmp", "bind", **mapped).refusal()
    assert "map IDs of /mnt: operation not permitted" in text or oci.mode == "single"
    assert (
        "map IDs of /mnt" in Inside(oci).mount("/mnt", "bind", "/tmp", "rbind", "ridmap").refusal()
    )
    half = Inside(oci).mount("/mnt", "bind", "/tmp", "bind", uidMappings=IDS)
    assert "mounts.uidMappings /mnt" in half.refusal()
    if oci.mode != "single":
        inside = Inside(oci).mount("/mnt", "tmpfs", "x", **mapped)
        assert inside.options_of("/mnt") == "rw,relatime,idmapped"


def test_sysfs_without_a_network_namespace(oci: Rootless) -> None:
    """CVE-2023-25809: the host's, and nothing of it can be written."""
    inside = Inside(oci).share("network").replace("/sys", "sysfs", "sysfs")
    inside.spec["linux"]["maskedPaths"] = []
    lines = [line.split() for line in inside.see("cat /proc/self/mountinfo").splitlines()]
    below = [line for line in lines if line[4] == "/sys" or line[4].startswith("/sys/")]
    assert below
    assert all(line[5].startswith("ro,nosuid,nodev,noexec") for line in below)


def test_a_read_only_bind_of_sys_is_read_only_all_the_way_down(oci: Rootless) -> None:
    """CVE-2023-25809: `runc spec --rootless` writes `rbind,ro`."""
    inside = Inside(oci).share("network")
    inside.replace("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    inside.spec["linux"]["maskedPaths"] = []
    lines = [line.split() for line in inside.see("cat /proc/self/mountinfo").splitlines()]
    below = [line for line in lines if line[4] == "/sys" or line[4].startswith("/sys/")]
    assert below
    assert all(line[5].split(",")[0] == "ro" for line in below)


def test_cgroups(oci: Rootless) -> None:
    inside = Inside(oci).mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid")
    line = inside.line_of("/sys/fs/cgroup")
    assert line[-3] == "cgroup2"
    assert line[3] == "/"
    shared = Inside(oci).share("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid")
    lines = [line.split() for line in shared.see("cat /proc/self/mountinfo").splitlines()]
    below = [line for line in lines if line[4].startswith("/sys/fs/cgroup")]
    assert below
    assert all(line[5].startswith("ro,nosuid,nodev,noexec") for line in below)


def test_what_belongs_to_a_shared_namespace(oci: Rootless) -> None:
    text = Inside(oci).share("pid").refusal()
    assert "mount /proc: operation not permitted (hint: bind /proc, or give" in text
    text = Inside(oci).share("ipc").refusal()
    assert "mount /dev/mqueue: operation not permitted (hint: bind /dev/mqueue" in text
    inside = Inside(oci).share("pid").replace("/proc", "none", "/proc", "rbind")
    inside.spec["linux"]["maskedPaths"] = []
    assert inside.see("ls /proc/self/exe") == "/proc/self/exe"


def test_unmapped_groups_of_terminals(oci: Rootless) -> None:
    options = ["newinstance", "ptmxmode=0666", "mode=0620"]
    inside = Inside(oci).replace("/dev/pts", "devpts", "devpts", *options, "gid=4000000000")
    assert inside.line_of("/dev/pts")[-1] == "rw,mode=620,ptmxmode=666"
