"""AppArmor profiles and SELinux labels, in a user-mode-linux guest that has the one or the other.

guest/boxed.profile is what `apparmor_parser -KS` makes of
`profile boxed { file, capability, mount, umount, signal, deny /tmp/denied w, }`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import guests
import pytest

CONFINED = "boxed (enforce)\nwritten\n"

DENIED = "can't create /tmp/denied: Permission denied"

SELINUX_ENDS = "\x00written\n"


@pytest.fixture(scope="module")
def apparmor(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("guest")
    profile = guests.GUEST / "boxed.profile"
    return guests.boot(runtime, "labels.py", place, "lsm=apparmor", profile=profile)


@pytest.fixture(scope="module")
def selinux(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("guest")
    return guests.boot(runtime, "labels.py", place, "lsm=selinux", "selinux=1")


@pytest.mark.parametrize("way", ["boxed", "with a filter", "with privileges"])
def test_a_profile_confines(apparmor: dict[str, Any], way: str) -> None:
    assert apparmor[way]["out"] == CONFINED, apparmor[way]
    assert DENIED in apparmor[way]["err"]


def test_a_profile_confines_an_exec(apparmor: dict[str, Any]) -> None:
    """The container's, if the exec names none."""
    assert apparmor["exec"]["begun"]["code"] == 0, apparmor["exec"]
    assert apparmor["exec"]["own"]["out"] == CONFINED
    assert DENIED in apparmor["exec"]["own"]["err"]
    assert apparmor["exec"]["different"]["out"] == "unconfined\nwritten\n"


@pytest.mark.parametrize("way", ["none", "unconfined"])
def test_without_a_profile(apparmor: dict[str, Any], way: str) -> None:
    assert apparmor[way] == {"code": 0, "out": "unconfined\nwritten\n", "err": ""}


def test_a_profile_that_is_not_loaded(apparmor: dict[str, Any]) -> None:
    assert apparmor["unknown"]["code"] == 1
    assert "process.apparmorProfile exec unknown: no such file" in apparmor["unknown"]["err"]


def test_a_label(selinux: dict[str, Any]) -> None:
    assert selinux["labelled"]["out"] == "file" + SELINUX_ENDS, selinux
    assert selinux["none"]["out"] == "kernel" + SELINUX_ENDS
    assert selinux["exec"]["own"]["out"] == "file" + SELINUX_ENDS
    assert selinux["exec"]["different"]["out"] == "node" + SELINUX_ENDS


def test_a_label_of_mounts(selinux: dict[str, Any]) -> None:
    """The file system is told it; without a policy it cannot be had."""
    assert selinux["mount"]["code"] == 1
    assert "mount /" in selinux["mount"]["err"]
