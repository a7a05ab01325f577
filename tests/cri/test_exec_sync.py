"""Commands run to their end: output, exit codes, and nothing left behind."""

from __future__ import annotations

import time

from cri_client import Client, refused


def test_output_and_exit_code(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    reply = cri.exec(id, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (reply.stdout, reply.stderr, reply.exit_code) == (b"out\n", b"err\n", 3)
    with refused("UNKNOWN", "/no/such/program"):
        cri.exec(id, "/no/such/program")
    cri.StopContainer(container_id=id, timeout=0)
    with refused("FAILED_PRECONDITION", "running containers"):
        cri.exec(id, "true")
    with refused("NOT_FOUND"):
        cri.exec("0" * 64, "true")


def test_what_takes_too_long_is_killed_with_its_children(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    script = "sleep 4321 & (sleep 4321 &); sh -c 'sleep 4321; true'"
    with refused("DEADLINE_EXCEEDED", "more than 1 s"):
        cri.exec(id, "sh", "-c", script, timeout=1)
    left = cri.exec(id, "sh", "-c", "for d in /proc/[0-9]*; do cat $d/cmdline; echo; done")
    assert b"4321" not in left.stdout
    assert b"1000" in left.stdout


def test_a_child_in_the_background_holds_nobody_up(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    began = time.monotonic()
    reply = cri.exec(id, "sh", "-c", "echo first; sleep 77 & echo last")
    assert reply.stdout == b"first\nlast\n"
    assert time.monotonic() - began < 70
    assert b"77" in cri.exec(id, "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout


def test_output_is_cut_and_the_program_is_not_held_up(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    reply = cri.exec(id, "sh", "-c", "head -c 20000000 /dev/zero; echo done >&2")
    assert reply.exit_code == 0
    assert 15 << 20 < len(reply.stdout) < 16 << 20
