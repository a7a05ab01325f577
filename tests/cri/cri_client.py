"""A caller of the Container Runtime Interface: RPCs by their names, and what tests ask for."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt, Result

START_S = 30.0
TIMEOUT_S = 60.0


SERVE = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www"
"""A script for a pod that is to be found."""

FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


class Service:
    """One `pyrt cri serve`, on a socket of its own."""

    def __init__(self, pyrt: Pyrt, *options: str) -> None:
        self.pyrt = pyrt
        self.options = options
        self.socket = pyrt.run_root / "cri.sock"
        self.logs = Path(tempfile.mkdtemp(prefix="podlogs-", dir=pyrt.root))
        self.start()

    def start(self) -> None:
        """Start it and wait until it says that it listens."""
        command = [*self.pyrt.argv, "cri", "serve", *self.options]
        env = {**self.pyrt.env, "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        line = self.process.stderr.readline().decode()
        assert line == f"listening on unix://{self.socket}\n"
        self.client = Client(self)

    def end(self) -> int:
        """End it by SIGTERM; its exit code."""
        self.client.channel.close()
        self.process.terminate()
        return self.reap()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.client.channel.close()
        self.process.kill()
        self.reap()

    def reap(self) -> int:
        """Wait for its end. One that does not end says where its threads are."""
        assert self.process.stderr is not None
        try:
            code = self.process.wait(timeout=START_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            threads = self.process.stderr.read().decode()
            self.process.wait()
            pytest.fail(f"the service did not end:\n{threads}")
        finally:
            self.process.stderr.close()
        return code


class NodeService(Service):
    """`pyrt cri serve` as `pyrt node start` has it, in the node."""

    def start(self) -> None:
        """Start the node."""
        assert self.pyrt.ok("node", "start", *self.options) == f"unix://{self.socket}"
        self.client = Client(self)

    def end(self) -> int:
        """Stop the node."""
        self.client.channel.close()
        return self.pyrt("node", "stop").code

    def enter(self, *command: str, **options: Any) -> Result:
        """A command in it."""
        return self.pyrt("node", "enter", "--", *command, **options)

    def fetch(self, place: str) -> str:
        """What somebody in the node is served there over HTTP, as soon as somebody serves."""
        deadline = time.monotonic() + START_S
        while (told := self.enter("python3", "-c", FETCH, f"http://{place}/")).code:
            assert time.monotonic() < deadline, told
        return told.out.strip()

    def state(self) -> Any:
        """What it says of itself."""
        return self.pyrt("node", "status", "--format", "json").json

    def pid_of(self, name: str) -> int:
        """A service's pid on the machine."""
        return host_pid(self.state()["pid"], self.service(name)["pid"])

    def service(self, name: str) -> Any:
        """What it says of one service."""
        return next(one for one in self.state()["services"] if one["name"] == name)


def host_pid(first: int, pid: int) -> int:
    """The pid on the machine of what has `pid` in the pid namespace whose first process is
    `first`.
    """
    own = os.readlink(f"/proc/{first}/ns/pid")
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{number}/ns/pid") == own:
                status = Path(f"/proc/{number}/status").read_text()
                if int(re.findall(r"^NSpid:.*\t(\d+)$", status, re.MULTILINE)[0]) == pid:
                    return int(number)
    raise AssertionError(f"no process {pid} in {own}")


class Client:
    """Calls by name: `client.Version(version="0.1.0")`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        options = [("grpc.max_receive_message_length", 16 << 20)]
        self.channel = grpc.insecure_channel(f"unix:{service.socket}", options=options)
        self.calls: dict[str, Callable[..., Any]] = {}
        for service_type in cri_pb2.DESCRIPTOR.services_by_name.values():
            for method in service_type.methods:
                make = self.channel.unary_unary
                if method.server_streaming:
                    make = self.channel.unary_stream
                self.calls[method.name] = make(
                    f"/{service_type.full_name}/{method.name}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=getattr(cri_pb2, method.output_type.name).FromString,
                )
        self.requests = {
            method.name: getattr(cri_pb2, method.input_type.name)
            for service_type in cri_pb2.DESCRIPTOR.services_by_name.values()
            for method in service_type.methods
        }

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*, timeout_s: float = TIMEOUT_S, **fields: Any) -> Any:
            return self.calls[name](self.requests[name](**fields), timeout=timeout_s)

        return call

    def pod_config(self, name: str = "web", **fields: Any) -> Any:
        """What a sandbox is asked to be."""
        metadata = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "attempt": 0}
        fields.setdefault("log_directory", str(self.service.logs / name))
        fields.setdefault("metadata", metadata)
        return cri_pb2.PodSandboxConfig(**fields)

    def run_pod(self, name: str = "web", **fields: Any) -> str:
        """A sandbox's ID."""
        reply = self.RunPodSandbox(config=self.pod_config(name, **fields))
        return str(reply.pod_sandbox_id)

    def config(self, *command: str, name: str = "main", **fields: Any) -> Any:
        """What a container is asked to be."""
        fields.setdefault("metadata", {"name": name, "attempt": 0})
        fields.setdefault("image", {"image": "localhost/demo:latest"})
        fields.setdefault("log_path", f"{name}/0.log")
        return cri_pb2.ContainerConfig(command=command, **fields)

    def create(self, pod: str, *command: str, **fields: Any) -> str:
        """A container's ID."""
        config = self.config(*(command or ("sleep", "1000")), **fields)
        sandbox = self.pod_config()
        reply = self.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=sandbox)
        return str(reply.container_id)

    def run(self, pod: str, *command: str, **fields: Any) -> str:
        """The ID of a container that runs."""
        id = self.create(pod, *command, **fields)
        self.StartContainer(container_id=id)
        return id

    def status(self, id: str) -> Any:
        """A container's status."""
        return self.ContainerStatus(container_id=id).status

    def ended(self, id: str) -> Any:
        """Its status once it has ended."""
        deadline = time.monotonic() + START_S
        while (status := self.status(id)).state != cri_pb2.CONTAINER_EXITED:
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status

    def output(self, id: str) -> str:
        """What it wrote, once it has ended: without times."""
        path = Path(self.ended(id).log_path)
        return "".join(f"{line.split(' ', 1)[1]}\n" for line in path.read_text().splitlines())

    def wait_for_line(self, id: str, end: str) -> None:
        """Wait until a line of its log ends so."""
        path = Path(self.status(id).log_path)
        deadline = time.monotonic() + START_S
        while not any(line.endswith(end) for line in path.read_text().splitlines()):
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.02)

    def exec(self, id: str, *command: str, timeout: int = 30) -> Any:
        """An exec to its end."""
        return self.ExecSync(container_id=id, cmd=command, timeout=timeout)


@contextlib.contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """The call in it fails with this code, and says these words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() == getattr(grpc.StatusCode, code), caught.value
    for word in words:
        assert word in caught.value.details(), caught.value


def check_nothing_left(pyrt: Pyrt) -> None:
    """No file, process or cgroup; the last of a monitor takes a moment."""
    deadline = time.monotonic() + START_S
    while left := pyrt.leftovers():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
