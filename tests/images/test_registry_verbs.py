"""`pyrt pull push login logout search` and `run --pull`, as typed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faulty import FaultyRegistry, status
from remote import upload
from samples import Sample
from servers import PASSWORD, USER, Certificates, DockerRegistry

from pyrt import Engine
from pyrt.errors import Denied, NotFound
from pyrt.images import demo
from pyrt.layout import Layout

if TYPE_CHECKING:
    from conftest import Pyrt

pytestmark = pytest.mark.usefixtures("home")

SAMPLE = Sample({"etc/motd": b"hi"}, {"b": b"2"})
PLAIN = "--tls-verify=false"


@pytest.fixture
def busybox(plain_registry: DockerRegistry, fresh_pyrt: Pyrt) -> str:
    """The name of an image at a registry that can be run, and is not in the store."""
    if not any(map(demo.is_static, demo.PLACES)):
        pytest.skip("busybox-static is not installed")
    name = f"{plain_registry.host}/verbs/demo:1"
    fresh_pyrt.ok("create", "--name", "made", "--network", "none", "demo")
    fresh_pyrt.ok("push", PLAIN, "demo", name)
    fresh_pyrt.ok("rm", "made")
    fresh_pyrt.ok("rmi", "demo")
    return name


@pytest.fixture
def fresh(fresh_pyrt: Pyrt) -> Iterator[Pyrt]:
    """`pyrt` with no registries.conf of the machine's."""
    empty = fresh_pyrt.root / "registries.conf"
    empty.write_text("")
    fresh_pyrt.env["CONTAINERS_REGISTRIES_CONF"] = str(empty)
    yield fresh_pyrt


def test_pull_and_push(fresh: Pyrt, plain_registry: DockerRegistry, tmp_path: Path) -> None:
    """The ID is all of stdout; what happens is told on stderr, unless --quiet."""
    name = f"{plain_registry.host}/verbs/app"
    upload(SAMPLE, f"{name}:1")
    result = fresh("pull", PLAIN, f"docker://{name}:1")
    assert (result.code, result.out) == (0, f"{SAMPLE.id[7:]}\n")
    short = SAMPLE.layers[0][7:19]
    assert result.err.splitlines()[0] == f"Trying to pull {name}:1..."
    assert f"Copying blob {short} done" in result.err.splitlines()
    assert f"Copying config {SAMPLE.id[7:19]} done" in result.err.splitlines()
    again = fresh("pull", PLAIN, f"{name}:1")
    assert f"Copying blob {short} skipped: already exists" in again.err
    quiet = fresh("pull", "-q", PLAIN, f"{name}:1")
    assert (quiet.out, quiet.err) == (f"{SAMPLE.id[7:]}\n", "")
    digest = tmp_path / "digest"
    pushed = fresh(
        "push", PLAIN, "--digestfile", str(digest), "--remove-signatures", f"{name}:1", f"{name}:2"
    )
    assert (pushed.code, pushed.out) == (0, "")
    assert digest.read_text() == SAMPLE.digest
    assert fresh("push", PLAIN, "-q", f"{name}:1").err == ""
    push = ("push", "-q", PLAIN, f"{name}:1")
    for argv in (["--compression-format", "gzip"], ["--format", "docker"]):
        assert fresh(*push, *argv).code == 0
    for flag, value, reason in (
        ("--compression-format", "zstd", f"layers are sent as they are, and {SAMPLE.layers[0]} is"),
        ("--compression-format", "zstd:chunked", "layers are sent as they are"),
        ("--compression-format", "odd", "no such format"),
        ("--compression-level", "9", "layers are sent as they are"),
    ):
        refused = fresh(*push, flag, value)
        assert refused.code == 125 and refused.err.startswith(f"Error: {flag} {value}: {reason}")
    assert fresh(*push, "--digestfile", str(digest)).code == 0
    assert json.loads(fresh.ok("images", "--format", "json"))[0]["Digest"] == SAMPLE.digest


def test_pull_for_another_machine(fresh: Pyrt, plain_registry: DockerRegistry) -> None:
    """Said, loud or quiet, where one manifest is all there is; not where it is what was wanted."""
    other = "s390x"
    sample = Sample({"a": b"1"}, architecture=other)
    ours = SAMPLE.platform["architecture"]
    name = f"{plain_registry.host}/verbs/foreign:1"
    upload(sample, name)
    line = (
        f"WARNING: image platform (linux/{other}) does not match the expected platform "
        f"(linux/{ours})"
    )
    loud = fresh("pull", PLAIN, name)
    assert (loud.code, loud.out) == (0, f"{sample.id[7:]}\n")
    assert loud.err.splitlines()[-1] == line
    assert fresh("pull", "-q", PLAIN, name).err == f"{line}\n"
    assert fresh("pull", "-q", PLAIN, "--platform", f"linux/{other}", name).err == ""
    upload(SAMPLE, name)
    assert fresh("pull", "-q", PLAIN, name).err == ""
    asked = fresh("pull", "-q", PLAIN, "--platform", "linux/arm/v6", name)
    assert asked.err.endswith(
        f"(linux/{ours}) does not match the expected platform (linux/arm/v6)\n"
    )


def test_pull_fails(fresh: Pyrt, plain_registry: DockerRegistry) -> None:
    """125, one line for each image that could not be had, and the others are pulled."""
    name = f"{plain_registry.host}/verbs/some:1"
    upload(SAMPLE, name)
    result = fresh("pull", "-q", PLAIN, f"{plain_registry.host}/verbs/none:1", name)
    assert (result.code, result.out) == (125, f"{SAMPLE.id[7:]}\n")
    (line,) = result.err.splitlines()
    assert line.startswith(f"Error: registry docker://{plain_registry.host}/verbs/none:1: manifest")
    for argv, message in (
        (["--retry", "-1", name], "--retry -1: less than 0"),
        (["--retry-delay", "x", name], "duration x: not a duration"),
        (["--platform", "linux/arm64", "--arch", "arm64", name], "--platform linux/arm64: cannot"),
        (["--policy", "odd", name], "--pull odd: unsupported pull policy"),
        (["--creds", "alice", name], "password: none given"),
        (["nosuch"], "image nosuch: not known, no alias"),
        (["A:b:c"], "image name A:b:c"),
    ):
        refused = fresh("pull", "-q", PLAIN, *argv)
        assert refused.code == 125 and refused.err.startswith(f"Error: {message}"), refused
    assert fresh("push", "nosuch").err.startswith("Error: image nosuch: not known")


def test_a_registry_does_not_speak_to_the_terminal(fresh: Pyrt, faulty: FaultyRegistry) -> None:
    """What a registry says is shown without what a terminal would obey."""
    said = json.dumps({"errors": [{"message": "\x1b[2Jall \x07is \x9bwell"}]}).encode()
    faulty.fail("/manifests/", status(403, said))
    result = fresh("pull", PLAIN, f"{faulty.host}/app:1")
    assert "well" in result.err and not set("\x1b\x07\x9b") & set(result.err)
    faulty.fail("tags/list", status(200, json.dumps({"tags": ["\x1b[2J"]}).encode()))
    assert "\x1b" not in fresh("search", PLAIN, "--list-tags", f"{faulty.host}/app").out
    faulty.fail("tags/list", status(200, b'{"tags": ["../x"]}'))
    odd = fresh("pull", PLAIN, "-a", f"{faulty.host}/app")
    assert odd.code == 125 and "image name" in odd.err


def test_from_python(layout: Layout, plain_registry: DockerRegistry) -> None:
    """The same, without words: `Engine.pull` and `Engine.push`."""
    name = f"{plain_registry.host}/verbs/python:1"
    upload(SAMPLE, name)
    engine = Engine(layout.data, layout.run)
    with pytest.raises(NotFound):
        engine.pull(name, policy="never")
    with pytest.raises(Denied):
        engine.pull(name)
    assert engine.pull(name, tls_verify=False).id == SAMPLE.id
    target = f"{plain_registry.host}/verbs/python:2"
    assert engine.push(name, target, tls_verify=False) == SAMPLE.digest
    assert engine.pull(target, tls_verify=False).digest == SAMPLE.digest


def test_run_pulls(fresh: Pyrt, busybox: str) -> None:
    """A missing image is pulled, an image that is there is not asked for, never is never."""
    never = fresh("run", "--rm", "--pull", "never", busybox, "true")
    assert never.code == 125 and f"image {busybox}: not known" in never.err
    flags = ("--rm", "--network", "none", PLAIN)
    first = fresh("run", *flags, busybox, "echo", "hello")
    assert (first.code, first.out) == (0, "hello\n"), first
    assert f"Trying to pull {busybox}..." in first.err
    second = fresh("run", *flags, busybox, "echo", "hello")
    assert (second.out, second.err) == ("hello\n", "")
    always = fresh("run", *flags, "--pull=always", busybox, "echo", "hello")
    assert always.out == "hello\n" and "Trying to pull" in always.err
    newer = fresh("run", *flags, "-q", "--pull", "newer", busybox, "echo", "hello")
    assert (newer.out, newer.err) == ("hello\n", "")
    made = fresh("create", "--network", "none", PLAIN, "-q", busybox, "true")
    assert made.code == 0
    fresh.ok("rm", "-a")


def test_login(
    fresh: Pyrt, tls_registry: DockerRegistry, certificates: Certificates, tmp_path: Path
) -> None:
    """Checked before it is kept, kept where others find it, and forgotten."""
    host = tls_registry.host
    certs = str(certificates.trusted(tmp_path / "certs"))
    trust = ("--cert-dir", certs)
    auth = fresh.root / "run/containers/auth.json"
    wrong = fresh("login", *trust, "-u", USER, "--password-stdin", host, input=b"wrong\n")
    assert wrong.err == f'Error: logging into "{host}": invalid username/password\n'
    assert wrong.code == 125 and not auth.exists()
    name = f"{host}/verbs/login:1"
    upload(SAMPLE, name, creds=f"{USER}:{PASSWORD}")
    assert f"hint: log in: pyrt login {host}" in fresh("pull", *trust, name).err
    bad = fresh("pull", "-q", *trust, "--creds", f"{USER}:bad", name)
    assert f"{name}: refuses the credentials of {USER}: " in bad.err and "hint" not in bad.err
    assert bad.code == 125
    done = fresh(
        "login", *trust, "-v", "-u", USER, "--password-stdin", host, input=PASSWORD.encode()
    )
    assert done.out == f"Used:  {auth}\nLogin Succeeded!\n"
    assert fresh.ok("login", "--get-login", host) == USER
    assert fresh.ok("pull", *trust, name) == SAMPLE.id[7:]
    assert fresh.ok("logout", host) == f"Removed login credentials for {host}"
    assert fresh("logout", host).code == 125
    assert fresh("login", "--get-login", host).code == 125
    assert fresh("pull", *trust, name).code == 125
    own = str(tmp_path / "own.json")
    fresh.ok("login", *trust, "--authfile", own, "-u", USER, "-p", PASSWORD, host)
    assert fresh.ok("pull", *trust, "--authfile", own, name) == SAMPLE.id[7:]
    assert fresh.ok("logout", "--all", "--authfile", own).startswith("Removed login credentials")
    for argv, message in (
        (["login", "-u", "x", host], "password: none given"),
        (["login", "--password-stdin", host], "--password-stdin: must be given with --username"),
        (["login", "not a host"], "registry not a host: not HOST"),
        (["login"], "registry: none given"),
        (["logout", "-a", host], "--all: no registry is needed"),
    ):
        refused = fresh(*argv)
        assert refused.code == 125 and refused.err.startswith(f"Error: {message}"), refused


def test_search(fresh: Pyrt, plain_registry: DockerRegistry) -> None:
    """A table, JSON, a template; tags."""
    host = plain_registry.host
    for tag in ("1", "2"):
        upload(SAMPLE, f"{host}/verbs/searched:{tag}")
    table = fresh.ok("search", PLAIN, f"{host}/verbs/searched").splitlines()
    assert [line.split() for line in table] == [["NAME", "DESCRIPTION"], [f"{host}/verbs/searched"]]
    found = json.loads(fresh.ok("search", PLAIN, "--format", "json", f"{host}/verbs/searched"))
    assert found[0]["Name"] == f"{host}/verbs/searched"
    template = ("--format", "{{.Name}}")
    assert (
        fresh.ok("search", PLAIN, *template, f"{host}/verbs/searched") == f"{host}/verbs/searched"
    )
    tags = fresh.ok("search", PLAIN, "--list-tags", f"{host}/verbs/searched").splitlines()
    assert {line.split()[1] for line in tags} == {"TAG", "1", "2"}
    assert fresh.ok("search", PLAIN, "--filter", "stars=3", f"{host}/verbs/searched") == ""
    assert fresh("search", PLAIN, "--filter", "odd=1", f"{host}/x").code == 125
    assert fresh("search", PLAIN, "--limit", "0", f"{host}/x").code == 125


def test_bars_on_a_terminal(fresh: Pyrt, plain_registry: DockerRegistry) -> None:
    """Lines above, bars below, and nothing of them left at the end."""
    name = f"{plain_registry.host}/verbs/bars:1"
    upload(Sample({"big": os.urandom(3 << 20)}), name)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*fresh.argv, "pull", PLAIN, name], env=fresh.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # the terminal is gone with its last user
    finally:
        os.close(ours)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and len(output) == 65
    text = shown.decode()
    assert "3.15 MB" in text and "\x1b[1A\x1b[J" in text
    last = text.rstrip().rpartition("\x1b[J")[2]
    assert last.endswith("Writing manifest to image destination") and "[" not in last
