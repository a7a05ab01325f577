"""runc's command line beyond what one caller sends: words, defaults, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rootless import Rootless, read_pid

NAMES = ["", ".", "..", "a/b", "../a", "a b", "a\nb", "a:b", ".a"]


def running(oci: Rootless, *args: str) -> int:
    bundle = oci.bundle(*(args or ("sleep", "1000")))
    oci.ok("run", "-d", "-b", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    return read_pid(bundle / "pid")


def test_exec_takes_its_command_as_it_is(oci: Rootless) -> None:
    running(oci)
    assert "config" not in oci.ok("exec", "c1", "ls", "-l", "/")
    assert oci.ok("exec", "c1", "echo", "--cwd", "-e", "--") == "--cwd -e --\n"


@pytest.mark.needs("environment")
def test_exec_has_its_own_options(oci: Rootless) -> None:
    running(oci)
    script = "echo $A $B $(id -u) $(id -g) $(readlink /proc/self/cwd)"
    out = oci.ok("exec", "--cwd", "/tmp", "-e", "A=1,2", "-e", "B=3", "c1", "sh", "-c", script)
    assert out == "1,2 3 0 0 /tmp\n"
    assert oci("exec", "c1", "sh", "-c", "exit 11").code == 11


def test_exec_as_another_user(oci: Rootless) -> None:
    if oci.mode == "single":
        pytest.skip("there is one user")
    running(oci)
    assert oci.ok("exec", "--user", "5:6", "c1", "sh", "-c", "echo $(id -u) $(id -g)") == "5 6\n"
    assert oci.ok("exec", "-u", "5", "c1", "id", "-u") == "5\n"


USERS = ["1x", "-1", "4294967296", "0x1", ":5", " 1"]


@pytest.mark.needs("users")
@pytest.mark.parametrize("user", USERS)
def test_a_user_that_is_no_number_is_refused(single: Rootless, user: str) -> None:
    running(single)
    done = single("exec", "--user", user, "c1", "id", "-u")
    assert done.code == 255, done
    assert done.out == ""


@pytest.mark.needs("255")
def test_an_exec_that_cannot_be_is_255(oci: Rootless) -> None:
    running(oci)
    assert oci("exec", "c1", "/no/such/program").code == 255
    assert oci("exec", "missing", "true").code == 255


def test_a_container_that_ended_takes_no_exec(oci: Rootless) -> None:
    pid = running(oci, "true")
    oci.reap(pid)
    done = oci("exec", "c1", "true")
    assert done.code != 0
    assert done.err


@pytest.mark.needs("names")
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_is_a_name(single: Rootless, name: str) -> None:
    done = single("run", "-b", str(single.bundle("true")), name)
    assert done.code == 1, done
    assert not list((single.place / "run").glob("*/[!.]*")), "nothing was made for it"


@pytest.mark.parametrize("signal", ["KILL", "SIGKILL", "9"])
def test_a_signal_has_three_names(single: Rootless, signal: str) -> None:
    pid = running(single)
    single.ok("kill", "c1", signal)
    assert single.reap(pid) == -9


def test_the_default_signal_is_term(single: Rootless) -> None:
    pid = running(single, "sh", "-c", "trap 'exit 8' TERM; while :; do sleep 0.02; done")
    single.ok("exec", "c1", "sleep", "0.1")
    single.ok("kill", "c1")
    assert single.reap(pid) == 8


@pytest.mark.needs("signals")
def test_an_unknown_signal_is_refused(single: Rootless) -> None:
    running(single)
    assert single("kill", "c1", "NOSUCH").code != 0
    assert single("kill", "c1", "0x9").code != 0


def test_start_is_for_what_was_created(single: Rootless) -> None:
    running(single)
    again = single("start", "c1")
    assert again.code == 1
    assert again.err
    assert single("start", "missing").code == 1


def test_what_was_created_is_deleted(oci: Rootless) -> None:
    bundle = oci.bundle("sleep", "1000")
    oci.ok("create", "-b", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    oci.ok("delete", "--force", "c1")
    assert oci.reap(read_pid(bundle / "pid")) == -9


def test_a_changed_document_changes_nothing_after_create(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "exit 21")
    oci.ok("create", "-b", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    (bundle / "config.json").write_text("{}")
    oci.ok("start", "c1")
    assert oci.reap(read_pid(bundle / "pid")) == 21


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        pytest.param("null", marks=pytest.mark.needs("null")),
        '{"ociVersion": "2.0.0"}',
    ],
)
def test_a_document_that_is_none_is_refused(single: Rootless, text: str) -> None:
    bundle = single.bundle("true")
    (bundle / "config.json").write_text(text)
    done = single("run", "-b", str(bundle), "c1")
    assert done.code == 1, done
    assert done.err
    assert single("state", "c1").code == 1, "nothing of it is left"


def test_the_bundle_is_here_by_default(single: Rootless) -> None:
    bundle = single.bundle("echo", "here")
    assert single.ok("run", "c1", cwd=bundle) == "here\n"


@pytest.mark.needs("spec")
def test_a_document_is_written(single: Rootless) -> None:
    place = single.place / "new"
    place.mkdir()
    single.ok("spec", "--bundle", str(place), "--rootless")
    spec = json.loads((place / "config.json").read_text())
    assert spec["process"]["args"] == ["sh"]
    assert spec["root"]["path"] == "rootfs"
    assert {"user", "pid", "mount"} <= {one["type"] for one in spec["linux"]["namespaces"]}
    assert spec["linux"]["uidMappings"][0]["containerID"] == 0
    assert single("spec", "--bundle", str(place)).code == 1, "it is not written over"


def test_a_written_document_runs(single: Rootless) -> None:
    """`spec --rootless`, edited as tutorials do."""
    place = single.place / "new"
    place.mkdir()
    (place / "rootfs").symlink_to(single.rootfs)
    single.ok("spec", "-b", str(place), "--rootless")
    config = place / "config.json"
    spec = json.loads(config.read_text())
    spec["process"] |= {"terminal": False, "args": ["echo", "ran"]}
    spec["root"]["path"] = str(single.rootfs)
    config.write_text(json.dumps(spec))
    assert single.ok("run", "-b", str(place), "c1") == "ran\n"


def test_the_container_is_what_the_document_says(oci: Rootless) -> None:
    script = "echo $$; cat /proc/sys/kernel/hostname; id -u; mkdir /new 2>/dev/null || echo ro"
    assert oci.ok("run", "-b", str(oci.bundle("sh", "-c", script)), "c1").split() == [
        "1", "conformance", "0", "ro",
    ]  # fmt: skip


def test_the_state_directory_is_the_users_alone(single: Rootless) -> None:
    running(single)
    made = [path for path in Path(single.env["XDG_RUNTIME_DIR"]).iterdir() if path.is_dir()]
    assert made
    for path in made:
        assert path.stat().st_mode & 0o077 == 0, path
