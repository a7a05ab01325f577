"""ps, inspect, images, import, rmi, version, help: the shapes of what they print."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


NONE = ("--network", "none")


def test_ps(pyrt: Pyrt) -> None:
    assert pyrt.ok("ps").split("  ")[0] == "CONTAINER ID"
    id = pyrt.ok("run", "-d", "--name", "web", "--label", "k=v", *NONE, "demo", "sleep", "1000")
    pyrt.ok("create", "--name", "new", *NONE, "demo", "true")
    header, line = pyrt.ok("ps").splitlines()
    assert header.split() == [
        "CONTAINER",
        "ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]
    assert line.startswith(f"{id[:12]}  localhost/demo:latest  sleep 1000")
    assert line.endswith("  web")
    assert pyrt.ok("ps", "-aq").split()[0] == id[:12]
    assert len(pyrt.ok("ps", "-aq").split()) == 2
    assert pyrt.ok("ps", "-a", "--filter", "status=created", "--format", "{{.Names}}") == "new"
    assert (
        pyrt.ok("ps", "--filter", "label=k=v", "--format", "{{.Names}} {{.State}}") == "web running"
    )
    assert pyrt.ok("ps", "--format", "table {{.Names}}\\t{{.Labels}}").splitlines()[0].split() == [
        "NAMES",
        "LABELS",
    ]
    document = pyrt("ps", "-a", "--format", "json").json
    assert [entry["Names"] for entry in document] == [["web"], ["new"]]
    assert document[0]["State"] == "running"
    assert document[0]["Pid"] > 0
    assert document[0]["Command"] == ["sleep", "1000"]


def test_ps_refuses(pyrt: Pyrt) -> None:
    for argv in (
        ["--filter", "foo=bar"],
        ["--format", "{{"],
        ["-q", "--format", "json"],
        ["extra"],
    ):
        result = pyrt("ps", *argv)
        assert result.code == 125
        assert result.err.startswith("Error: ")


def test_inspect(pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--name", "web", "-e", "A=1", *NONE, "demo", "sh", "-c", "exit 3")
    pyrt.ok("wait", "web")
    result = pyrt("inspect", "web")
    assert result.out.startswith(f'[\n     {{\n          "Id": "{id}",\n')
    (document,) = result.json
    assert document["Name"] == "web"
    assert document["State"]["Status"] == "exited"
    assert document["State"]["ExitCode"] == 3
    assert document["State"]["FinishedAt"] > document["State"]["StartedAt"] > "2020"
    assert "A=1" in document["Config"]["Env"]
    assert document["ImageName"] == "localhost/demo:latest"
    assert document["HostConfig"]["NetworkMode"] == "none"
    assert pyrt.ok("inspect", "-f", "{{.State.ExitCode}} {{.Name}}", "web") == "3 web"


def test_inspect_of_images_and_of_nothing(pyrt: Pyrt) -> None:
    pyrt.ok("run", "--rm", *NONE, "demo", "true")
    assert pyrt("inspect", "--type", "image", "demo").json[0]["RepoTags"] == [
        "localhost/demo:latest"
    ]
    assert pyrt("inspect", "demo").json[0]["Os"] == "linux"
    result = pyrt("inspect", "nosuch")
    assert (result.code, result.out) == (125, "[]\n")
    assert result.err == 'Error: inspecting object: no such object: "nosuch"\n'
    assert pyrt("inspect", "--type", "container", "demo").code == 125
    assert pyrt("inspect", "--type", "pod", "x").code == 125
    assert pyrt("inspect").code == 125


def tarball(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("etc/motd")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"hi\n"))


def test_import_images_rmi(pyrt: Pyrt, tmp_path: Path) -> None:
    path = tmp_path / "root.tar.gz"
    tarball(path)
    id = pyrt.ok("import", "-c", 'CMD ["x"]', str(path), "mine")
    assert id.startswith("sha256:")
    lines = pyrt.ok("images").splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert any(line.startswith("localhost/mine  latest") for line in lines)
    assert id[7:19] in pyrt.ok("images", "-q").split()
    assert any(entry["Id"] == id[7:] for entry in pyrt("images", "--format", "json").json)
    assert (
        pyrt.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "mine") == "localhost/mine:latest"
    )
    pyrt.ok("tag", "mine", "also:1")
    several = pyrt("rmi", id[7:])
    assert several.code == 125 and "has several names: localhost/" in several.err
    assert pyrt.ok("rmi", "also:1") == "Untagged: localhost/also:1"
    pyrt.ok("create", "--name", "user", *NONE, "mine")
    result = pyrt("rmi", "mine")
    assert result.code == 2
    assert "in use by container" in result.err
    pyrt.ok("rm", "user")
    assert pyrt.ok("rmi", "mine") == f"Untagged: localhost/mine:latest\nDeleted: {id[7:]}"
    assert pyrt("rmi", "mine").code == 1
    assert pyrt("import", "/nosuch").code == 125


def test_version_and_help(pyrt: Pyrt) -> None:
    assert pyrt.ok("--version").startswith("pyrt version ")
    assert pyrt.ok("version").startswith("Client:")
    assert pyrt.ok("version", "--format", "{{.Client.Version}}") == pyrt.ok("--version").split()[-1]
    assert "Commands:" in pyrt.ok()
    assert pyrt.ok("--help") == pyrt.ok()
    assert pyrt.ok("run", "--help").startswith("Usage: pyrt run [options] IMAGE [COMMAND [ARG...]]")
    assert pyrt.ok("ps", "-h") == pyrt.ok("ps", "--help")


@pytest.mark.parametrize("arguments", [[], ["--format", "json"]])
def test_doctor(pyrt: Pyrt, arguments: list[str]) -> None:
    result = pyrt("doctor", *arguments)
    assert result.code == 0, result
    subjects = ("kernel", "user namespaces", "subordinate IDs", "overlay", "cgroup", "pasta")
    assert all(subject in result.out for subject in subjects)
    if arguments:
        assert {entry["verdict"] for entry in result.json} <= {"ok", "limited", "missing"}
