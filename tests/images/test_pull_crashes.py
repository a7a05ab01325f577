"""Pulls that are killed, crowded, collected beneath, or out of room: the store stays whole."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faulty import FaultyRegistry, Request, cut_after, status
from remote import check_store, leftovers, partials, pull
from samples import Sample
from test_store import nobody

from pyrt.engine import image_users
from pyrt.errors import NotFound
from pyrt.images import leases, names, remove, sweep
from pyrt.images import partials as partial_blobs
from pyrt.layout import Layout

pytestmark = pytest.mark.usefixtures("home")

BIG = os.urandom(4 << 20)
SAMPLE = Sample({"big": BIG}, {"b": b"2"}, {"c": BIG[:1000]})
LAYER = SAMPLE.layers[0]

PROGRAM = """
import sys
from pyrt.errors import PyrtError
from pyrt.images.access import Access
from pyrt.images.acquisition import Pulling
from pyrt.layout import Layout
layout = Layout(sys.argv[1], sys.argv[2])
try:
    print(Pulling(layout, Access(tls_verify=False, pause_s=0.01)).ensure(sys.argv[3]).id)
except PyrtError as error:
    print("Error:", error)
"""


def start(layout: Layout, name: str, limit_bytes: int = 0) -> subprocess.Popen[str]:
    """A pull in a process of its own, with a limit on the size of files it may write."""

    def limit() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, layout.data, layout.run, name],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ), preexec_fn=limit,
    )  # fmt: skip


class Gate:
    """Holds a blob's download half-way until it is opened."""

    def __init__(self, sample: Sample, digest: str) -> None:
        self.data = sample.blobs[digest]
        self.half = len(self.data) // 2
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, request: Request) -> bool:
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.data)))
        request.end_headers()
        request.wfile.write(self.data[: self.half])
        self.reached.set()
        self.opened.wait(30)
        request.wfile.write(self.data[self.half :])
        return True


def wait_for_partial(layout: Layout, digest: str, size_bytes: int) -> None:
    deadline = time.monotonic() + 20
    while partials(layout).get(digest, -1) < size_bytes:
        assert time.monotonic() < deadline, partials(layout)
        time.sleep(0.01)


def test_killed_pull_goes_on(layout: Layout, faulty: FaultyRegistry) -> None:
    """kill -9 half-way: nothing is named, the next pull asks for the rest alone and sweeps up."""
    faulty.put(SAMPLE)
    gate = Gate(SAMPLE, LAYER)
    faulty.fail(LAYER, gate)
    process = start(layout, f"{faulty.host}/app:1")
    assert gate.reached.wait(20)
    wait_for_partial(layout, LAYER, 1 << 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    gate.opened.set()
    assert names.list_images(layout) == []
    kept = partials(layout)[LAYER]
    faulty.seen.clear()
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    asked = [headers.get("Range") for _, path, headers in faulty.seen if path.endswith(LAYER)]
    assert asked == [f"bytes={kept}-"]
    check_store(layout)
    sweep.collect(layout)
    assert not leftovers(layout) and not partials(layout)


@pytest.mark.parametrize("signals", [8])
def test_killed_anywhere(layout: Layout, faulty: FaultyRegistry, signals: int) -> None:
    """kill -9 at moments all over a pull; then it works."""
    faulty.put(SAMPLE)
    for number in range(signals):
        process = start(layout, f"{faulty.host}/app:1")
        time.sleep(0.15 + number * 0.06)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if os.path.isdir(f"{layout.content()}/blobs/sha256"):
            check_store(layout)
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    check_store(layout)


def test_an_interrupted_pull_ends(layout: Layout, faulty: FaultyRegistry) -> None:
    """^C ends it though a registry says nothing, and tidies up."""
    faulty.put(SAMPLE)
    gate = Gate(SAMPLE, LAYER)
    faulty.fail(LAYER, gate)
    process = start(layout, f"{faulty.host}/app:1")
    assert gate.reached.wait(20)
    wait_for_partial(layout, LAYER, 1 << 20)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    gate.opened.set()
    assert process.returncode != 0 and names.list_images(layout) == []


def test_two_pulls_share_a_blob(layout: Layout, faulty: FaultyRegistry) -> None:
    """The second waits for the first and asks for nothing that it brought."""
    faulty.put(SAMPLE)
    gate = Gate(SAMPLE, LAYER)
    faulty.fail(LAYER, gate)
    first = start(layout, f"{faulty.host}/app:1")
    assert gate.reached.wait(20)
    second = start(layout, f"{faulty.host}/app:1")
    time.sleep(1)
    assert second.poll() is None
    gate.opened.set()
    ids = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert ids == [SAMPLE.id, SAMPLE.id]
    assert faulty.count(f"/blobs/{LAYER}") == 1
    check_store(layout)
    assert not leftovers(layout) and not partials(layout)


def test_the_second_takes_over(layout: Layout, faulty: FaultyRegistry) -> None:
    """If the first is killed, the second goes on with what it got."""
    faulty.put(SAMPLE)
    gate = Gate(SAMPLE, LAYER)
    faulty.fail(LAYER, gate)
    first = start(layout, f"{faulty.host}/app:1")
    assert gate.reached.wait(20)
    wait_for_partial(layout, LAYER, 1 << 20)
    second = start(layout, f"{faulty.host}/app:1")
    time.sleep(0.8)
    first.kill()
    first.communicate()
    gate.opened.set()
    assert second.communicate(timeout=30)[0].strip() == SAMPLE.id
    asked = [headers.get("Range") for _, path, headers in faulty.seen if path.endswith(LAYER)]
    assert asked[0] is None and asked[1] is not None
    check_store(layout)


def test_many_at_once(layout: Layout, faulty: FaultyRegistry) -> None:
    """Images that share layers, pulled together."""
    samples = [Sample({"big": BIG}, {"own": bytes([number])}) for number in range(4)]
    for number, sample in enumerate(samples):
        faulty.put(sample, str(number))
    processes = [start(layout, f"{faulty.host}/app:{number}") for number in range(4)]
    ids = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert ids == [sample.id for sample in samples]
    assert faulty.count(f"/blobs/{samples[0].layers[0]}") == 1
    check_store(layout)
    assert not leftovers(layout) and not partials(layout)


def test_collection_beside_a_pull(layout: Layout, faulty: FaultyRegistry) -> None:
    """rmi takes what the pull does not need, and leaves what it found in the store or put there."""
    shared = {"c": BIG[:1000]}
    old = Sample(shared, {"old": b"1"})
    new = Sample(shared, {"big": BIG})
    faulty.put(old, "old")
    faulty.put(new, "new")
    pull(layout, f"{faulty.host}/app:old")
    gate = Gate(new, new.layers[1])
    faulty.fail(new.layers[1], gate)
    process = start(layout, f"{faulty.host}/app:new")
    assert gate.reached.wait(20)
    remove.remove_image(layout, f"{faulty.host}/app:old", nobody)
    blobs = {f"sha256:{name}" for name in os.listdir(f"{layout.content()}/blobs/sha256")}
    assert old.layers[0] in blobs and old.layers[1] not in blobs and old.id not in blobs
    gate.opened.set()
    assert process.communicate(timeout=30)[0].strip() == new.id
    check_store(layout)
    assert faulty.count(f"/blobs/{new.layers[0]}") == 1, "the shared layer was not fetched again"
    sweep.collect(layout)
    check_store(layout)
    assert not leftovers(layout)


def test_a_lease_that_nobody_holds_is_removed(layout: Layout) -> None:
    """A crash's lease keeps nothing."""
    Path(layout.content()).mkdir(parents=True)
    Path(layout.content(), ".lease-0").write_text('{"blobs": ["x"], "layers": ["y"]}')
    assert leases.held(layout) == (set(), set())
    assert not leftovers(layout)
    with leases.Lease(layout, ["sha256:a"], ["sha256:b"]):
        assert leases.held(layout) == ({"sha256:a"}, {"sha256:b"})
    assert leases.held(layout) == (set(), set())


def test_no_room(layout: Layout, faulty: FaultyRegistry) -> None:
    """The kernel's own words, and nothing named; with room again the pull works."""
    faulty.put(SAMPLE)
    output, _ = start(layout, f"{faulty.host}/app:1", limit_bytes=1 << 20).communicate(timeout=30)
    assert output.startswith("Error: ") and "File too large" in output, output
    assert names.list_images(layout) == []
    check_store(layout)
    assert not leftovers(layout)
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


def test_a_full_disk_keeps_no_partial_blob(
    layout: Layout, faulty: FaultyRegistry, tmp_path: Path
) -> None:
    """Room is what is wanted most then: what was fetched is given up, and removing works."""
    faulty.put(SAMPLE)
    faulty.put(Sample({"small": b"1"}), "small")
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    script = f"""
mount -t tmpfs -o size=3m,mode=700 none {tiny}
pull() {{ {sys.executable} -c "$PROGRAM" {tiny} {layout.run} {faulty.host}/app:$1; }}
pull small; pull 1; df -k {tiny} | tail -1; ls -A {tiny}/content
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True, check=False, env={**os.environ, "PROGRAM": PROGRAM},
    )  # fmt: skip
    if "Operation not permitted" in done.stderr:
        pytest.skip("no user namespaces for this user")
    id, error, room, *names_left = done.stdout.splitlines()
    assert id.startswith("sha256:") and error.startswith("Error: ")
    assert "No space left on device" in error
    assert int(room.split()[3]) > 2500, "kilobytes that are free again"
    assert not [name for name in names_left if name.startswith((".partial-", ".lease-"))]


def test_prune_takes_what_failed_pulls_left(layout: Layout, faulty: FaultyRegistry) -> None:
    """Blobs that no image needs, whole and partial; not those of a pull under way."""
    faulty.put(SAMPLE)
    faulty.fail(LAYER, cut_after(1 << 20), *[status(404)] * 9)
    with pytest.raises(NotFound):
        pull(layout, f"{faulty.host}/app:1")
    blobs = Path(layout.content(), "blobs/sha256")
    assert partials(layout) and list(blobs.iterdir())
    image_users.prune(layout)
    assert not partials(layout) and not list(blobs.iterdir())
    gate = Gate(SAMPLE, LAYER)
    faulty.faults.clear()
    faulty.fail(LAYER, gate)
    process = start(layout, f"{faulty.host}/app:1")
    assert gate.reached.wait(20)
    wait_for_partial(layout, LAYER, 1 << 20)
    image_users.prune(layout)
    gate.opened.set()
    assert process.communicate(timeout=30)[0].strip() == SAMPLE.id
    assert faulty.count(f"/blobs/{LAYER}") == 3, "twice before the prune, and once since"
    check_store(layout)


def test_stale_partial_blobs(layout: Layout) -> None:
    """After a week without a pull they go; younger ones stay until all are asked for."""
    Path(layout.content()).mkdir(parents=True)
    old, young = (Path(layout.content(), f".partial-{digit * 64}") for digit in "01")
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert partial_blobs.sweep(layout) == 1
    assert not old.exists() and young.exists()
    assert partial_blobs.sweep(layout, older_than_s=-1) == 1 and not young.exists()
