"""Volumes: made, filled on first use, refused while they are used, gone with their containers."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

NONE = ("--network", "none")


def volumes(pyrt: Pyrt) -> list[str]:
    return pyrt.ok("volume", "ls", "-q").split()


def sh(pyrt: Pyrt, script: str, *options: str, image: str = "demo") -> str:
    return pyrt.ok("run", "--rm", *NONE, *options, image, "sh", "-c", script)


@pytest.fixture
def with_volume(pyrt: Pyrt) -> str:
    """An image with content at its VOLUME, which has another owner and mode."""
    script = (
        "mkdir /srv; echo old >/srv/file; ln -s file /srv/link; chown -R 7:8 /srv; chmod 750 /srv"
    )
    pyrt.ok("run", "--name", "maker", *NONE, "demo", "sh", "-c", script)
    pyrt.ok("commit", "-q", "--change", "VOLUME /srv", "maker", "with-volume")
    pyrt.ok("rm", "maker")
    return "with-volume"


def test_life(pyrt: Pyrt) -> None:
    assert pyrt.ok("volume", "create", "--label", "a=b", "data") == "data"
    assert pyrt.ok("volume", "ls") == "DRIVER      VOLUME NAME\nlocal       data"
    [shown] = pyrt("volume", "inspect", "data").json
    assert (shown["Name"], shown["Driver"], shown["Labels"]) == ("data", "local", {"a": "b"})
    assert os.path.isdir(shown["Mountpoint"])
    assert pyrt.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "dat") == shown["Mountpoint"]
    assert (pyrt("volume", "exists", "data").code, pyrt("volume", "exists", "no").code) == (0, 1)
    sh(pyrt, "echo kept >/d/file", "-v", "data:/d")
    assert sh(pyrt, "cat /d/file", "--mount", "src=data,dst=/d,ro") == "kept"
    assert pyrt.ok("volume", "rm", "data") == "data"
    assert sorted(os.listdir(pyrt.data / "volumes")) == [".lock", ".making"]


def test_a_name_that_is_taken_missing_or_wrong(pyrt: Pyrt) -> None:
    pyrt.ok("volume", "create", "data")
    result = pyrt("volume", "create", "data")
    assert result.code == 125
    assert "volume with name data already exists: volume already exists" in result.err
    pyrt.ok("volume", "create", "--ignore", "data")
    for name in ("../x", ".lock", "a/b", "x" * 129, ""):
        assert pyrt("volume", "inspect", name).code == 125
        if name:
            assert pyrt("volume", "create", name).err.startswith("Error: volume create ")
            assert pyrt("volume", "rm", name).code == 1
    assert pyrt("volume", "rm", "none").code == 1
    assert pyrt("volume", "rm", "-f", "none").code == 0
    assert pyrt("volume", "create", "-o", "type=tmpfs", "x").code == 125
    result = pyrt("run", "--rm", *NONE, "-v", "new:/d:nocreate", "demo", "true")
    assert result.err.startswith("Error: --volume new: no such volume"), result
    assert volumes(pyrt) == ["data"]


def test_one_in_use_is_refused(pyrt: Pyrt) -> None:
    pyrt.ok("create", "--name", "user", *NONE, "-v", "data:/d", "demo", "true")
    assert volumes(pyrt) == ["data"]
    result = pyrt("volume", "rm", "data", "none")
    assert result.code == 2
    assert "data is being used by the following container(s): " in result.err
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}}", "--filter", "volume=data") == "user"
    assert pyrt.ok("ps", "-aq", "--filter", "volume=/e") == ""
    assert pyrt.ok("volume", "prune", "-f") == ""
    assert pyrt.ok("rm", "-v", "user") == "user"
    assert volumes(pyrt) == ["data"]
    pyrt.ok("create", "--name", "user", *NONE, "-v", "data:/d", "demo", "true")
    assert pyrt.ok("volume", "rm", "-f", "data") == "data"
    assert pyrt.ok("ps", "-aq") == ""


def test_anonymous_ones_go_with_rm(pyrt: Pyrt) -> None:
    sh(pyrt, "echo x >/d/file", "-v", "/d")
    assert volumes(pyrt) == []
    pyrt.ok("run", "--name", "one", *NONE, "-v", "/d", "--mount", "dst=/e", "demo", "touch", "/d/x")
    first, second = volumes(pyrt)
    assert pyrt.ok("volume", "ls", "-q", "--filter", "anonymous=true") == f"{first}\n{second}"
    pyrt.ok("create", "--name", "two", *NONE, "-v", f"{first}:/d", "demo", "true")
    pyrt.ok("rm", "-v", "one")
    assert volumes(pyrt) == [first]  # the other one's user is still there
    pyrt.ok("rm", "two")
    assert pyrt.ok("volume", "prune", "--force", "--filter", "anonymous=true") == first


def test_what_goes_with_its_container_is_not_borrowed(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--rm", "--name", "one", *NONE, "-v", "/d", "demo", "sleep", "1000")
    [name] = volumes(pyrt)
    result = pyrt("run", "--rm", *NONE, "-v", f"{name}:/d", "demo", "true")
    assert (result.code, result.err.split("\n")[0][:24]) == (125, f"Error: --volume {name[:8]}")
    pyrt.ok("rm", "-f", "one")
    assert volumes(pyrt) == []


def test_a_failed_start_leaves_no_volume(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", *NONE, "-v", "data:/d", "-v", "/e", "demo", "nonsense")
    assert result.code == 127
    assert (
        pyrt("create", *NONE, "-v", "data:/d", "-v", "/e", "-u", "nobody-here", "demo").code == 125
    )
    assert volumes(pyrt) == []
    assert pyrt.leftovers() == []


@pytest.mark.parametrize("userns", ["", "host", "keep-id", "nomap"])
def test_first_use_copies_what_the_image_has(pyrt: Pyrt, with_volume: str, userns: str) -> None:
    options = ("--userns", userns, "-u", "0")
    look = "stat -c '%u:%g %a' /srv /srv/file; readlink /srv/link; cat /srv/file"
    expected = "7:8 750\n7:8 644\nfile\nold"
    assert sh(pyrt, look, *options, "-v", "data:/srv", image=with_volume) == expected
    sh(pyrt, "rm /srv/*; echo new >/srv/mine", *options, "-v", "data:/srv", image=with_volume)
    out = sh(pyrt, "ls /srv", *options, "-v", "data:/srv", image=with_volume)
    assert out == "mine"  # once, and never again
    assert sh(pyrt, "ls /srv", *options, "-v", "bare:/srv:nocopy", image=with_volume) == ""
    assert sh(pyrt, "ls /srv", *options, "-v", "bare:/srv", image=with_volume) == ""
    assert sorted(volumes(pyrt)) == ["bare", "data"]


def test_where_the_image_has_nothing_it_is_the_users(pyrt: Pyrt) -> None:
    look = "touch /none/x; stat -c %u:%g /none/x"
    assert sh(pyrt, look, "-u", "33:44", "-v", "data:/none") == "33:44"
    assert sh(pyrt, look, "-u", "0", "-v", "data:/none") == "33:44"
    assert sh(pyrt, "stat -c %u /none/x", "-u", "5", "-v", "data:/none:U") == "5"


def test_the_images_volumes(pyrt: Pyrt, with_volume: str) -> None:
    look = "grep -c ' /srv ' /proc/mounts; cat /srv/file"
    assert sh(pyrt, look, image=with_volume) == "1\nold"
    assert sh(pyrt, look, "--image-volume", "tmpfs", image=with_volume) == "1\nold"
    script = "grep ' /srv ' /proc/mounts; cat /srv/file"
    assert sh(pyrt, script, "--image-volume", "ignore", image=with_volume) == "old"
    assert sh(pyrt, "ls /srv", "--tmpfs", "/srv:notmpcopyup", image=with_volume) == ""
    assert volumes(pyrt) == []
    result = pyrt("run", "--image-volume", "some", with_volume, "true")
    assert result.err.startswith("Error: --image-volume some: unknown")
    pyrt.ok("run", "--name", "kept", *NONE, with_volume, "sh", "-c", "echo new >/srv/file")
    [name] = volumes(pyrt)
    [mount] = pyrt("inspect", "kept").json[0]["Mounts"]
    assert (mount["Type"], mount["Name"], mount["Destination"]) == ("volume", name, "/srv")
    assert pyrt.ok("start", "-a", "kept") == ""
    assert (pyrt.data / "volumes" / name / "_data").exists()


def test_two_first_users_at_once(pyrt: Pyrt, with_volume: str) -> None:
    outs: list[str] = []

    def run() -> None:
        outs.append(sh(pyrt, "cat /srv/file /srv/link", "-v", "data:/srv", image=with_volume))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs == ["old\nold"] * 4


def test_a_lost_monitor_takes_its_volumes_along(pyrt: Pyrt) -> None:
    from pyrt import native

    id = pyrt.ok("run", "-d", "--rm", *NONE, "-v", "/d", "demo", "sleep", "1000")
    assert len(volumes(pyrt)) == 1
    os.kill(native.is_locked(str(pyrt.run_root / id / "alive")), signal.SIGKILL)
    pyrt.wait_until(id, "exited")
    while pyrt.ok("ps", "-aq"):  # who lists, sweeps, once all have died
        pass
    assert volumes(pyrt) == []


def test_archives(pyrt: Pyrt, with_volume: str, tmp_path: object) -> None:
    sh(pyrt, "true", "-v", "data:/srv", image=with_volume)
    path = f"{tmp_path}/data.tar"
    pyrt.ok("volume", "export", "data", "-o", path)
    with tarfile.open(path) as archive:
        members = {member.name.strip("./"): (member.uid, member.gid) for member in archive}
    assert members["file"] == members["link"] == (7, 8)
    pyrt.ok("volume", "create", "other")
    pyrt.ok("volume", "import", "other", path)
    look = "stat -c %u:%g /srv/file; cat /srv/link"
    assert sh(pyrt, look, "-v", "other:/srv", image=with_volume) == "7:8\nold"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("../../escaped")
        archive.addfile(member)
    result = pyrt("volume", "import", "other", "-", input=stream.getvalue())
    assert result.code == 125, result
    assert not (pyrt.data / "volumes" / "escaped").exists()
    assert pyrt("volume", "export", "none").code == 125
    junk = Path(f"{tmp_path}/none.tar")
    assert pyrt("volume", "import", "other", str(junk)).code == 125
    junk.write_bytes(b"x" * 600)
    assert f"unpack {junk}: " in pyrt("volume", "import", "other", str(junk)).err


def test_filters(pyrt: Pyrt) -> None:
    pyrt.ok("volume", "create", "-l", "tier=db", "one")
    pyrt.ok("volume", "create", "two")
    pyrt.ok("create", *NONE, "-v", "two:/d", "demo", "true")
    for text, expected in {
        "name=^o": "one",
        "label=tier": "one",
        "label=tier=web": "",
        "label!=tier": "two",
        "dangling=true": "one",
        "dangling=false": "two",
        "driver=local": "one\ntwo",
        "since=one": "two",
        "until=2020-01-01": "",
    }.items():
        assert pyrt.ok("volume", "ls", "-q", "-f", text) == expected, text
    for text in ("name=[", "nothing=1", "dangling=maybe", "since=none", "name"):
        result = pyrt("volume", "ls", "-f", text)
        assert (result.code, result.out) == (125, ""), text
    assert pyrt.ok("volume", "ls", "--format", "{{.Name}} {{.Scope}}") == "one local\ntwo local"
    assert pyrt.ok("volume", "prune", "-f", "--filter", "label!=tier") == ""
    assert pyrt.ok("volume", "prune", "-f") == "one"


def test_ramfs_and_devpts(pyrt: Pyrt) -> None:
    look = "grep -E ' /(r|p) ' /proc/mounts | cut -d ' ' -f 2,3; ls /p"
    mounts = ("--mount", "type=ramfs,dst=/r", "--mount", "type=devpts,dst=/p,mode=0620,max=7")
    assert sh(pyrt, look, *mounts) == "/r ramfs\n/p devpts\nptmx"
    for bad in ("type=ramfs,dst=/r,src=x", "type=ramfs,dst=/r,size=1m", "type=devpts,dst=/p,max=x"):
        result = pyrt("run", "--rm", "--mount", bad, "demo", "true")
        assert (result.code, result.err[:14]) == (125, "Error: --mount"), bad


@pytest.mark.parametrize("userns", ["", "host", "keep-id"])
def test_what_is_written_over_a_directory_is_thrown_away(
    pyrt: Pyrt, tmp_path: Path, userns: str
) -> None:
    tmp_path.chmod(0o750)
    (tmp_path / "kept").write_text("old")
    (tmp_path / "gone").write_text("old")
    script = "stat -c %a /d; cat /d/kept; rm /d/gone; echo new >/d/kept; echo x >/d/more; ls /d"
    mount = ("--userns", userns, "-u", "0", "-v", f"{tmp_path}:/d:O")
    pyrt.ok("run", "--name", "one", *NONE, *mount, "demo", "sh", "-c", script)
    expected = "750\nold\nkept\nmore".replace("old\n", "old")
    assert pyrt.ok("logs", "one") == expected
    assert pyrt.ok("start", "-a", "one") == expected
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "kept": "old",
        "gone": "old",
    }


def test_overlays_that_cannot_be(pyrt: Pyrt, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a,b").mkdir()
    for text, message in (
        (f"{tmp_path}:/d:O,ro", f"--volume {tmp_path}:/d:O,ro: O cannot be had with other options"),
        (f"{tmp_path}/a,b:/d:O", f"--volume {tmp_path}/a,b: O needs paths"),
        (f"{tmp_path}/file:/d:O", f"--volume {tmp_path}/file: O needs a directory"),
        (f"{tmp_path}:/d:upperdir=/x", "upperdir=/x is not supported"),
    ):
        result = pyrt("run", "--rm", *NONE, "-v", text, "demo", "true")
        assert result.code == 125, result
        assert message in result.err
    assert pyrt.leftovers() == []


def test_a_volume_under_an_overlay(pyrt: Pyrt) -> None:
    sh(pyrt, "echo old >/d/file", "-v", "data:/d")
    assert sh(pyrt, "echo new >/d/file; cat /d/file", "-v", "data:/d:O") == "new"
    assert sh(pyrt, "cat /d/file", "-v", "data:/d") == "old"


def test_another_containers_volumes(pyrt: Pyrt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host")
    mounts = ("-v", "data:/d", "-v", "/e", "-v", f"{tmp_path}:/host:ro", "--tmpfs", "/t")
    script = "echo d >/d/file; echo e >/e/file"
    pyrt.ok("run", "--name", "one", *NONE, *mounts, "demo", "sh", "-c", script)
    look = "cat /d/file /e/file /host/file; touch /d/x 2>&1 | grep -c Read-only"
    assert pyrt("run", "--rm", *NONE, "--volumes-from", "one", "demo", "sh", "-c", look).out == (
        "d\ne\nhost0\n"
    )
    assert sh(pyrt, look, "--volumes-from", "one:ro") == "d\ne\nhost1"
    assert len(volumes(pyrt)) == 2
    assert sh(pyrt, "ls /d /e", "--volumes-from", "one", "-v", "/d") == "/d:\n\n/e:\nfile"
    for text in ("none", "one:exec", ":ro"):
        result = pyrt("create", *NONE, "--volumes-from", text, "demo", "true")
        assert (result.code, pyrt.ok("ps", "-aq").count("\n")) == (125, 0), text
    pyrt.ok("create", "--name", "two", *NONE, "--volumes-from", "one", "demo", "true")
    pyrt.ok("rm", "-v", "one")
    assert len(volumes(pyrt)) == 2


def test_a_killed_creator_leaves_no_volume(pyrt: Pyrt) -> None:
    """container.json is written last: without it, this is what a creator leaves that was killed."""
    id = pyrt.ok("create", *NONE, "-v", "/d", "-v", "data:/e", "demo", "true")
    (pyrt.data / "containers" / id / "container.json").unlink()
    pyrt.ok("ps", "-a")
    assert volumes(pyrt) == ["data"]


def test_a_half_removed_volume_is_none(pyrt: Pyrt) -> None:
    """volume.json goes first: without it the rest is garbage, on which a new one is made."""
    sh(pyrt, "echo old >/d/file", "-v", "data:/d")
    (pyrt.data / "volumes" / "data" / "volume.json").unlink()
    assert volumes(pyrt) == []
    assert sh(pyrt, "ls /d", "-v", "data:/d") == ""
    assert volumes(pyrt) == ["data"]
