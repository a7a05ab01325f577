"""Each command line of `cases` gives the config.json and monitor.json that was agreed on."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest
import snapshot
from cases import BUNDLE, CASES, GROUP, PASSWD

from pyrt.spec import build
from pyrt.spec.etc import build_etc
from pyrt.spec.monitor import build_monitor

HAS_CORE = importlib.util.find_spec("pyrt._core") is not None


def make(name: str) -> dict[str, Any]:
    """config.json of a case."""
    case = CASES[name]
    return build.build_spec(case.config, case.image, case.host, BUNDLE, PASSWD, GROUP)


@pytest.mark.parametrize("name", CASES)
def test_config_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter's content has tests of its own; here is only for which capabilities it is made."""
    monkeypatch.setattr(
        build, "default_seccomp", lambda capabilities, machine: {"default for": capabilities}
    )
    case = CASES[name]
    etc = build_etc(case.config, case.image, case.host, PASSWD, GROUP)
    document = {"config.json": make(name)}
    document["files"] = {key: text.decode().split("\n") for key, text in etc.items()}
    snapshot.check(name, document)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(not HAS_CORE, reason="the extension is not built")
def test_the_core_takes_it(name: str) -> None:
    """What policy builds, the core reads: no field is unknown to one side."""
    from pyrt import native

    native.validate(native.dumps(make(name)))


def test_config_json_is_json() -> None:
    """Every value is one of JSON's, so that any writer gives the same document."""
    for case in CASES.values():
        for document in (
            case.config.to_dict(),
            case.config.from_dict(case.config.to_dict()).to_dict(),
        ):
            assert json.loads(json.dumps(document)) == document


def test_monitor_json() -> None:
    """The defaults, and what --rm, -i and a network change."""
    case = CASES["default"]
    undo = [f"/data/names/{case.config.name}", BUNDLE]
    documents = {
        "default": build_monitor(
            case.config, case.image, BUNDLE, layers=["/l/2", "/l/1"], undo=undo
        )
    }
    config = case.config.from_dict(
        case.config.to_dict()
        | {
            "remove": True,
            "interactive": True,
            "workdir": "/x",
            "log_driver": "none",
            "stop_signal": 9,
            "stop_timeout_s": 0,
        }
    )
    documents["changed"] = build_monitor(
        config,
        None,
        BUNDLE,
        layers=["/l/1"],
        undo=undo,
        network={"command": ["/usr/bin/pasta", "{pid}"]},
        stdin_once=True,
        seccomp_cache="/data/cache/seccomp",
    )
    rootfs = CASES["rootfs"].config
    documents["rootfs"] = build_monitor(rootfs, None, BUNDLE, layers=[], undo=undo)
    snapshot.check("monitor", documents)
