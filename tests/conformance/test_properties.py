"""Every property of the specification's schema is applied, refused by name, or holds anyway; none
is dropped in silence. `properties.toml` says which; here each is given to the runtime.
"""

from __future__ import annotations

import copy
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rootless import Rootless

TABLE = tomllib.loads((Path(__file__).parent / "properties.toml").read_text())

HOOKS = [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 1}]
UIDS = [{"containerID": 0, "hostID": os.getuid(), "size": 1}]
GIDS = [{"containerID": 0, "hostID": os.getgid(), "size": 1}]
RATE = [{"major": 8, "minor": 0, "rate": 1}]
OFFSET = {"secs": 1, "nanosecs": 1}

WHOLE: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "hooks": {
        name: HOOKS
        for name in (
            *("prestart", "createRuntime", "createContainer"),
            *("startContainer", "poststart", "poststop"),
        )
    },
    "hostname": "name",
    "domainname": "domain",
    "root": {"path": "absent-root", "readonly": True},
    "mounts": [
        {
            "destination": "/mnt",
            "type": "tmpfs",
            "source": "x",
            "options": ["ro"],
            "uidMappings": UIDS,
            "gidMappings": GIDS,
        }
    ],
    "process": {
        "terminal": False,
        "args": ["true"],
        "cwd": "/",
        "env": ["A=b"],
        "consoleSize": {"height": 1, "width": 1},
        "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": []},
        "capabilities": {
            name: ["CAP_KILL"]
            for name in ("bounding", "permitted", "effective", "inheritable", "ambient")
        },
        "apparmorProfile": "",
        "selinuxLabel": "",
        "oomScoreAdj": 500,
        "noNewPrivileges": True,
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
        "scheduler": {
            "policy": "SCHED_OTHER",
            "nice": 1,
            "priority": 0,
            "flags": [],
            "runtime": 0,
            "deadline": 0,
            "period": 0,
        },
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        "execCPUAffinity": {"initial": "0", "final": "0"},
    },
    "linux": {
        "namespaces": [
            {"type": "cgroup", "path": "/proc/self/ns/cgroup"},
            {"type": "user"},
            {"type": "mount"},
            {"type": "pid"},
            {"type": "uts"},
            {"type": "ipc"},
            {"type": "network"},
            {"type": "time"},
        ],
        "uidMappings": UIDS,
        "gidMappings": GIDS,
        "devices": [{"type": "c", "path": "/dev/x", "major": 1, "minor": 3}],
        "rootfsPropagation": "private",
        "cgroupsPath": "x",
        "resources": {},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/absent",
            "listenerMetadata": "x",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {
                    "names": ["ptrace"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 1,
                    "args": [{"index": 0, "value": 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
                }
            ],
        },
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "",
        "memoryPolicy": {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "personality": {"domain": "LINUX"},
        "timeOffsets": {"boottime": OFFSET, "monotonic": OFFSET},
    },
}
"""A document that asks for all that can be asked for, but limits, and whose root is absent."""
WHOLE["process"]["user"]["additionalGids"] = [0]
WHOLE["process"]["scheduler"]["flags"] = ["SCHED_FLAG_RESET_ON_FORK"]

LIMITS: dict[str, Any] = {
    "unified": {"memory.high": "max"},
    "devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
    "pids": {"limit": 1},
    "blockIO": {
        "weight": 10,
        "throttleReadBpsDevice": RATE,
        "throttleWriteBpsDevice": RATE,
        "throttleReadIOPSDevice": RATE,
        "throttleWriteIOPSDevice": RATE,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
    },
    "cpu": {
        "cpus": "0",
        "mems": "0",
        "period": 1000,
        "quota": 1000,
        "burst": 1,
        "shares": 2,
        "idle": 0,
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
    "memory": {"limit": 1, "reservation": 1, "swap": 1, "checkBeforeUpdate": True},
    "rdma": {"mlx5": {"hcaHandles": 1, "hcaObjects": 1}},
}
"""`linux.resources`: what can be enforced is the machine's to say, so they are not in `WHOLE`."""


class Walk:
    """The runtime's word on a document."""

    def __init__(self, oci: Rootless) -> None:
        self.oci = oci
        (oci.place / "bundle").mkdir()

    def word(self, document: dict[str, Any]) -> str:
        """Why the container was not created, which it never is."""
        bundle = self.oci.place / "bundle"
        (bundle / "config.json").write_text(json.dumps(document))
        result = self.oci("create", "--bundle", str(bundle), "walk", stdin=-3)
        assert result.code == 1, result
        return result.err

    def accepts(self, document: dict[str, Any]) -> str:
        """Empty, or what stood in the way before the absent root did."""
        document = copy.deepcopy(document)
        # Who may join which is the machine's to say.
        document["linux"]["namespaces"][0].pop("path")
        word = self.word(document)
        return "" if "absent-root: no such file or directory" in word else word


@pytest.fixture
def walk(single: Rootless) -> Walk:
    return Walk(single)


def reach(document: Any, path: str) -> list[tuple[Any, Any]]:
    """The places of a property: holder and key, made on the way where nothing is."""
    *way, last = path.replace("[]", ".[]").split(".")
    holders = [document]
    for name in way:
        if name == "[]":
            holders = [item for holder in holders for item in holder[:1]]
        elif name == "*":
            holders = [item for holder in holders for item in list(holder.values())[:1]]
        else:
            holders = [holder.setdefault(name, {}) for holder in holders]
    return [(holder, last) for holder in holders]


def change(path: str, value: Any) -> dict[str, Any]:
    """A document with this value for this property."""
    document = copy.deepcopy(WHOLE)
    if path.startswith("linux.resources"):
        # One limit at a time, and the lists that a property is an element of.
        top = path.removeprefix("linux.resources.").partition("[]")[0]
        document["linux"]["resources"] = copy.deepcopy(LIMITS) if "[]" in path else {}
        if top.startswith("network"):
            document["linux"]["resources"] = {"network": {"priorities": [{}]}}
    if "*" in path or path == "linux.netDevices":
        document["linux"]["netDevices"] = value
        return document
    if path.startswith("linux.personality"):
        document["linux"]["personality"] = {"domain": "LINUX"}
    [(holder, key)] = reach(document, path)
    holder[key] = value
    return document


def test_the_table_is_whole() -> None:
    paths = [*TABLE["applied"], *TABLE["refused"], *TABLE["satisfied"]]
    assert len(paths) == len(set(paths)) == 228
    assert all(entry["why"] for kind in ("refused", "satisfied") for entry in TABLE[kind].values())


def test_a_document_may_ask_for_all_of_it(walk: Walk) -> None:
    assert walk.accepts(WHOLE) == ""
    assert walk.accepts(WHOLE | {"unknown": {"to": "the specification"}}) == ""


def test_what_is_applied_is_read(walk: Walk) -> None:
    """A value of another type is an error, which it could not be if nobody looked."""
    for path in TABLE["applied"]:
        document = copy.deepcopy(WHOLE)
        if path.startswith("linux.resources."):
            document["linux"]["resources"] = copy.deepcopy(LIMITS)
        [(holder, key)] = reach(document, path)
        assert holder[key] is not None, f"{path}: not in the document above"
        holder[key] = "wrong" if isinstance(holder[key], dict) else {"wrong": "type"}
        word = walk.word(document)
        named = path.replace("[]", "").replace("*", "mlx5").split(".")[-1]
        assert "config.json: invalid type" in word or named in word, f"{path}: {word}"


def test_what_is_refused_is_named(walk: Walk) -> None:
    for path, entry in TABLE["refused"].items():
        word = walk.word(change(path, entry["value"]))
        name = path.partition(".*")[0].partition("[]")[0]
        name = {"linux.resources.network": "linux.resources.network.classID"}.get(name, name)
        if path.startswith("linux.intelRdt"):
            name = "linux.intelRdt"
        assert name in word, f"{path}: {word}"


def test_what_holds_anyway_is_accepted(walk: Walk) -> None:
    for path, entry in TABLE["satisfied"].items():
        assert walk.accepts(change(path, entry["value"])) == "", path


def test_features_promise_what_is_here(single: Rootless) -> None:
    """CRI-O and containerd read both streams as one document."""
    done = single("features")
    assert (done.code, done.err) == (0, "")
    features = json.loads(done.out)
    assert features["ociVersionMax"] == "1.3.0"
    assert sorted(features["hooks"]) == sorted(WHOLE["hooks"])
    kinds = {namespace["type"] for namespace in WHOLE["linux"]["namespaces"]}
    assert set(features["linux"]["namespaces"]) == kinds | {"cgroup"}
    assert {"rro", "idmap", "ridmap", "tmpcopyup"} <= set(features["mountOptions"])
    refused = TABLE["refused"]
    for name in ("netDevices", "intelRdt"):
        assert features["linux"][name]["enabled"] is (f"linux.{name}" not in refused)
    assert features["linux"]["cgroup"]["v1"] is False
    assert features["linux"]["seccomp"]["enabled"] is True
