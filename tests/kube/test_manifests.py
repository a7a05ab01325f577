"""Manifests after public examples: each is played, looked into, and taken away without a trace."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webs import fetch, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pyrt, Result

MANIFESTS = Path(__file__).parent / "manifests"

pytestmark = pytest.mark.usefixtures("tun", "nginx")


@pytest.fixture(autouse=True)
def nothing_left(pyrt: Pyrt) -> Iterator[None]:
    """What a test played goes, with the network."""
    yield
    pyrt.remove_all()
    for kind in ("volume", "secret"):
        pyrt(kind, "rm", "-a")
    pyrt("network", "rm", "pyrt-kube")


def path(name: str) -> str:
    return str(MANIFESTS / f"{name}.yaml")


def play(pyrt: Pyrt, name: str, *options: str) -> Result:
    result = pyrt("kube", "play", *options, path(name))
    assert result.code == 0, result
    return result


def down(pyrt: Pyrt, name: str, *options: str) -> None:
    """Take it away; nothing may be left but claims."""
    pyrt.ok("kube", "down", "-t", "0", *options, path(name))
    assert pyrt.ok("pod", "ps", "-q") == ""
    assert pyrt.ok("ps", "-aq") == ""
    assert pyrt.ok("secret", "ls", "-q") == ""


def inside(pyrt: Pyrt, container: str, script: str) -> str:
    return pyrt.ok("exec", container, "sh", "-c", script)


def service_port(result: Result) -> int:
    """The port of the host that `play` printed."""
    line = next(line for line in result.out.splitlines() if "->" in line)
    return int(line.partition("->")[0].rpartition(":")[2])


def answer(port: int) -> str:
    """What a web server says, "" while there is none."""
    try:
        return fetch(port)
    except (OSError, http.client.HTTPException):
        return ""


def test_web(pyrt: Pyrt) -> None:
    port = service_port(play(pyrt, "web", "--wait=ready"))
    wait_for(lambda: "ConfigMap" in answer(port))
    names = pyrt.ok("pod", "ps", "--format", "{{.Name}}").splitlines()
    assert sorted(names) == ["web-pod-0", "web-pod-1", "web-service"]
    down(pyrt, "web")
    assert pyrt.volumes() == []


def test_shop(pyrt: Pyrt) -> None:
    play(pyrt, "shop")
    assert inside(pyrt, "shop-web", "wget -qO- http://database:5432/") == "shop s3cret"
    assert inside(pyrt, "shop-web", "wget -qO- http://cache.default.svc:6379/") == "cached"
    down(pyrt, "shop")
    assert pyrt.volumes() == ["rows"]
    play(pyrt, "shop", "--start=false")
    down(pyrt, "shop", "--force")
    assert pyrt.volumes() == []


def test_init(pyrt: Pyrt) -> None:
    play(pyrt, "init")
    assert inside(pyrt, "init-nginx", "cat /usr/share/nginx/html/index.html") == "one\ntwo"
    refused = pyrt("exec", "init-nginx", "touch", "/usr/share/nginx/html/x")
    assert refused.code == 1 and "Read-only" in refused.err
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Running"
    down(pyrt, "init")
    assert pyrt.volumes() == []


def test_sidecar(pyrt: Pyrt) -> None:
    play(pyrt, "sidecar")
    wait_for(lambda: pyrt.ok("logs", "logged-reader") == "started")
    assert pyrt.status("logged-reader") == "running"
    down(pyrt, "sidecar")


def test_job(pyrt: Pyrt) -> None:
    play(pyrt, "job")
    for number in (0, 1):
        name = f"sums-pod-{number}"
        assert pyrt.ok("wait", f"{name}-add") == "0"
        assert pyrt.ok("logs", f"{name}-add") == f"42 by {name}"
    down(pyrt, "job")


def test_probes(pyrt: Pyrt) -> None:
    result = play(pyrt, "probes", "--wait=ready")
    for name in ("probed-http", "probed-exec"):
        assert f"ready container {name}" in result.err
    down(pyrt, "probes")


def test_lifecycle(pyrt: Pyrt) -> None:
    play(pyrt, "lifecycle", "--wait=ready")
    wait_for(lambda: "began" in pyrt("exec", "hooked-shell", "cat", "/log/post").out)
    pyrt.ok("kube", "down", path("lifecycle"))
    archive = pyrt("volume", "export", "hooks")
    assert archive.code == 0 and "ends" in archive.out
    assert pyrt.volumes() == ["hooks"]


def test_projected(pyrt: Pyrt) -> None:
    play(pyrt, "projected")
    look = "stat -c '%a %n' /etc/all/* | sort; cat /etc/all/conf/app.conf /etc/all/token"
    lines = inside(pyrt, "projected-shell", look).splitlines()
    assert lines[-2:] == ["level=3", "abc"]
    assert "400 /etc/all/token" in lines and "440 /etc/all/logo" in lines
    assert inside(pyrt, "projected-shell", "cat /single") == "level=3"
    assert inside(pyrt, "projected-shell", "cat /fields/note /fields/cpu") == 'a "quoted" one250'
    assert 'team="blue"' in inside(pyrt, "projected-shell", "cat /etc/all/labels")
    assert pyrt("exec", "projected-shell", "touch", "/etc/all/token").code == 1
    down(pyrt, "projected")
    assert pyrt.volumes() == []


def test_environment(pyrt: Pyrt) -> None:
    play(pyrt, "environment")
    env = dict(line.split("=", 1) for line in inside(pyrt, "env-shell", "env").splitlines())
    assert env["C_red"] == "overridden" and env["C_price"] == "$(red) $5"
    assert env["BOTH"] == "1000-#0f0-$(LONG)-$(NONE)"
    assert (env["TIER"], env["SPACE"], env["MEMORY"]) == ("front", "demo", "96")
    assert env["ADDRESS"] in inside(pyrt, "env-shell", "ip addr")
    assert env["URL"] == f"http://{env['ADDRESS']}:80"
    assert "ABSENT" not in env
    down(pyrt, "environment")


def test_security(pyrt: Pyrt) -> None:
    play(pyrt, "security")
    assert inside(pyrt, "safe-shell", "id -u; id -g; id -G") == "1000\n3000\n3000 2000 4000"
    inside(pyrt, "safe-shell", "echo x > /data/x; test -g /data")
    assert inside(pyrt, "safe-shell", "stat -c '%g' /data/x; cat /key/id") == "2000\nk"
    assert pyrt("exec", "safe-shell", "touch", "/tmp/x").code == 1
    status = inside(pyrt, "safe-shell", "grep -E 'CapBnd|NoNewPrivs' /proc/self/status")
    assert status.split() == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1"]
    bounding = int(inside(pyrt, "safe-bind", "grep CapBnd /proc/self/status").split()[1], 16)
    assert bounding >> 12 & 1 and not bounding & 1, "NET_ADMIN and not CHOWN"
    assert inside(pyrt, "safe-bind", "id -u") == "0"
    down(pyrt, "security")


def test_claim(pyrt: Pyrt) -> None:
    play(pyrt, "claim")
    wait_for(lambda: "b" in pyrt("exec", "parts-writer", "cat", "/b/file").out)
    assert (
        inside(pyrt, "parts-writer", "cat /whole/one/deep/file /whole/two/parts/file") == "parts\nb"
    )
    down(pyrt, "claim")
    assert pyrt.volumes() == ["shared"]
    play(pyrt, "claim")
    down(pyrt, "claim", "--force")
    assert pyrt.volumes() == []


def test_hosts(pyrt: Pyrt) -> None:
    play(pyrt, "hosts")
    assert inside(pyrt, "named-shell", "hostname") == "front"
    assert "192.0.2.7" in inside(pyrt, "named-shell", "grep legacy /etc/hosts")
    resolver = inside(pyrt, "named-shell", "cat /etc/resolv.conf")
    for line in ("nameserver 192.0.2.53", "search example.org", "options ndots:3 edns0"):
        assert line in resolver.splitlines(), resolver
    port = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert inside(pyrt, "named-shell", f"cat {port}") == "80"
    down(pyrt, "hosts")


def test_agent(pyrt: Pyrt) -> None:
    play(pyrt, "agent")
    assert "root:" in inside(pyrt, "agent-pod-agent", "cat /host/release")
    down(pyrt, "agent")


def test_list(pyrt: Pyrt) -> None:
    assert play(pyrt, "list", "-q").err == ""
    assert pyrt.status("exported-shell") == "running"
    down(pyrt, "list")


def test_processes(pyrt: Pyrt) -> None:
    play(pyrt, "processes")
    assert "sleep 1234" in inside(pyrt, "seen-look", "ps")
    assert inside(pyrt, "seen-look", "pwd") == "/tmp"
    down(pyrt, "processes")


def test_memory(pyrt: Pyrt) -> None:
    play(pyrt, "memory")
    assert inside(pyrt, "fast-shell", "df -k /scratch | tail -1").split()[:2] == ["tmpfs", "8192"]
    down(pyrt, "memory")


def test_headless(pyrt: Pyrt) -> None:
    play(pyrt, "headless")
    found = inside(pyrt, "node-pod-0-shell", "nslookup -type=a nodes | grep -c 'Address: 10'")
    assert found == "2"
    down(pyrt, "headless")
