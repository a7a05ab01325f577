"""Who may import, write, print, start processes and be unsafe: the rules of ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re

import pytest
from tree import ROOT, calls, imports, name, python_files, rust_files

LAYERS = {
    "oci": set(),
    "spec": {"oci"},
    "images": {"oci"},
    "accounting": {"spec", "images", "oci"},
    "engine": {"spec", "images", "oci", "accounting"},
    "kube": {"engine", "accounting", "spec", "images", "oci"},
    "cri": {"engine", "accounting", "spec", "images", "oci"},
    "cli": {"cri", "kube", "engine", "accounting", "spec", "images", "oci"},
}
"""What a package may import of the others. An arrow goes down only; `images` and `spec` do not know
each other.
"""

LEAVES = {"errors", "files", "layout", "native", "system"}
"""Modules that every package may import: failures, the one writer, the one that knows paths, native
code, and what is needed of `os`.
"""

PURE = {"oci", "spec"}
"""No input or output: policy is tested without a kernel."""

NATIVE_IN_PURE = {
    "pyrt/spec/seccomp.py": "reads the table that came with the package",
}

STARTS_PROCESSES = {
    "pyrt/engine/node.py": "becomes the native program that enters the node",
    "pyrt/engine/network.py": "asks pasta what it can do; the answer is cached",
    "pyrt/images/bootstrap.py": "starts mmdebstrap, which knows how a distribution is installed",
    "pyrt/images/demo.py": "asks busybox for its applets, once per image",
    "pyrt/images/keychain.py": "asks the program that keeps the user's passwords",
}

WRITES = {
    "pyrt/files.py": "the one writer below the data root",
    "pyrt/cli/generate.py": "writes the source file cli/table.py; a contributor's tool",
    "pyrt/engine/container.py": "writes --cidfile, which the user names",
}

CONNECTS = {
    "pyrt/images/http.py": "HTTP, for images/registry.py alone",
    "pyrt/cri/streaming.py": "serves streams on the loopback, to who has a token",
    "pyrt/cri/port_forward.py": "connects to ports of pods in the node's network",
    "pyrt/engine/node.py": "asks whether a service of the node listens on its socket",
    "pyrt/accounting/server.py": "serves metrics on a socket of the user's own",
}

PRINTS = {
    "pyrt/cli": "the one place that talks to the user",
    "pyrt/__main__.py": "the entry point",
}


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_downwards_only(package: str) -> None:
    allowed = {package} | LAYERS[package] | LEAVES
    for path in python_files(f"pyrt/{package}"):
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "pyrt" and len(parts) > 1 and parts[1] in LAYERS.keys() | LEAVES:
                assert parts[1] in allowed, f"{name(path)} imports {module}"


def test_every_package_has_a_layer() -> None:
    packages = {path.parent.name for path in (ROOT / "pyrt").glob("*/__init__.py")}
    assert packages <= LAYERS.keys()
    modules = {path.stem for path in (ROOT / "pyrt").glob("*.py")}
    assert modules <= LEAVES | {"__init__", "__main__", "compiled"}


def test_leaves_import_no_package() -> None:
    for leaf in LEAVES:
        used = {
            module.split(".")[1] for module in imports(ROOT / f"pyrt/{leaf}.py") if "." in module
        }
        assert not used & LAYERS.keys(), leaf


def test_one_module_touches_native_code() -> None:
    for path in python_files("pyrt"):
        if any(module.startswith("pyrt._core") for module in imports(path, for_types=False)):
            assert name(path) == "pyrt/native.py", f"{name(path)}: import pyrt.native"


def test_one_module_opens_connections() -> None:
    for path in python_files("pyrt"):
        modules = {module.partition(".")[0] for module in imports(path, for_types=False)}
        assert not modules & {"urllib3", "socket", "http"} or name(path) in CONNECTS, (
            f"{name(path)}: speak through images/registry.py"
        )


@pytest.mark.parametrize("package", sorted(PURE))
def test_pure_packages_do_no_input_or_output(package: str) -> None:
    banned = {"pyrt.native", "pyrt.files", "socket", "subprocess", "pathlib", "shutil", "time"}
    for path in python_files(f"pyrt/{package}"):
        if name(path) in NATIVE_IN_PURE:
            continue
        assert not imports(path) & banned, name(path)
        opened = [
            line for line, called, _ in calls(path) if called in {"open", "os.open", "os.stat"}
        ]
        assert not opened, f"{name(path)}:{opened}"


def test_one_module_writes_files() -> None:
    removing = {
        "os.rename",
        "os.replace",
        "os.unlink",
        "os.remove",
        "os.rmdir",
        "os.mkdir",
        "os.makedirs",
    }
    making = {"os.symlink", "os.link", "os.mkfifo", "os.truncate", "os.mknod"}
    for path in python_files("pyrt"):
        if name(path) in WRITES:
            continue
        for line, called, node in calls(path):
            where = f"{name(path)}:{line}: {called}"
            assert called not in removing | making, where
            assert not called.endswith((".write_text", ".write_bytes")), where
            assert not called.startswith("shutil."), where
            if called == "open":
                modes = [
                    arg.value
                    for arg in [*node.args[1:2], *mode(node)]
                    if isinstance(arg, ast.Constant)
                ]
                assert not set("wax+") & set("".join(map(str, modes))), where
            if called == "os.open":
                flags = ast.unparse(node.args[1])
                is_device = ast.unparse(node.args[0]) == "os.devnull"
                assert is_device or not re.search(r"O_(CREAT|WRONLY|RDWR|TRUNC|APPEND)", flags), (
                    where
                )


def mode(call: ast.Call) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords if keyword.arg == "mode"]


def test_only_the_command_line_prints() -> None:
    for path in python_files("pyrt"):
        if name(path).startswith(tuple(PRINTS)):
            continue
        for line, called, _ in calls(path):
            assert called != "print" and not called.startswith(("sys.stdout", "sys.stderr")), (
                f"{name(path)}:{line}: {called}"
            )


def test_processes_are_started_by_native_code() -> None:
    starting = re.compile(r"os\.(fork|forkpty|system|popen|exec\w+|spawn\w+|posix_spawnp?)$")
    for path in python_files("pyrt"):
        assert "subprocess" not in imports(path), name(path)
        started = [line for line, called, _ in calls(path) if starting.match(called)]
        assert not started or name(path) in STARTS_PROCESSES, f"{name(path)}:{started}"


def test_the_lists_of_exceptions_are_needed() -> None:
    for listed in (NATIVE_IN_PURE, STARTS_PROCESSES, WRITES, CONNECTS, PRINTS):
        for path, why in listed.items():
            assert (ROOT / path).exists() and why, path


def code_lines(text: str) -> list[tuple[int, str]]:
    """Rust without its comments and without inline tests."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#[cfg(test)]\nmod"):
            break
        lines.append((number, re.sub(r"//.*", "", line)))
    return lines


def test_unsafe_has_one_address() -> None:
    for path in rust_files():
        if name(path).startswith(("rust/core/src/sys/", "rust/core/src/sys.rs")):
            continue
        for number, line in code_lines(path.read_text()):
            code = line.replace("unsafe_code", "").replace("undocumented_unsafe", "")
            assert not re.search(r"\bunsafe\b", code), f"{name(path)}:{number}"
            assert "allow(unsafe_code)" not in line, f"{name(path)}:{number}"


def test_container_processes_are_made_in_two_places() -> None:
    """In the core; the monitor, the holder and `--init` are not containers, and say so."""
    makers = {"rust/core/src/create.rs", "rust/core/src/join.rs"}
    others = {
        "rust/core/src/userns.rs": "the holder of the user's namespace",
        "rust/core/src/mount/idmap.rs": "a user namespace, to take a mount's mapping from",
        "rust/core/src/tree/share.rs": "half of a tree's files, beside who makes the other half",
        "rust/core/src/shaper.rs": "who enters the container's network, from which nobody returns",
        "rust/core/src/hooks.rs": "a hook that runs in the container, by way of the trampoline",
        "rust/runtime/src/monitor.rs": "the pid namespace around the monitor's own child",
        "rust/runtime/src/monitor/receipt.rs": "who enters the container's network, as above",
        "rust/runtime/src/probe/program.rs": "a probe's parent, which joins the container",
        "rust/runtime/src/exec.rs": "exec's parent, which waits in the pid namespace",
        "rust/runtime/src/init.rs": "--init's child, inside the container",
        "rust/runtime/src/network/keeper.rs": "the keeper of networks, and who looks into them",
        "rust/runtime/src/network/enter.rs": "a command in the node, born in its pid namespace",
        "rust/runtime/src/network/node.rs": "the node's first process",
        "rust/runtime/src/network/forward.rs": "a forwarder, whose end is nobody else's",
        "rust/runtime/src/network/resolver.rs": "a conversation over TCP, which waits",
        "rust/runtime/src/unpack.rs": "decompresses a layer beside who writes it",
    }
    for path in rust_files():
        if "/sys" in name(path):
            continue
        forks = [number for number, line in code_lines(path.read_text()) if "fork_single(" in line]
        assert not forks or name(path) in makers | others.keys(), f"{name(path)}:{forks}"


def test_the_core_has_no_command_line_and_does_not_print() -> None:
    banned = re.compile(
        r"std::env::(args|var|vars)|\b(println|eprintln|print|eprint|dbg)!|std::thread"
    )
    for path in rust_files():
        if not name(path).startswith("rust/core/src/") or "tests" in name(path):
            continue
        for number, line in code_lines(path.read_text()):
            assert not banned.search(line), f"{name(path)}:{number}: {line.strip()}"


def test_crates_depend_on_the_core_only() -> None:
    assert "pyrt-" not in (ROOT / "rust/core/Cargo.toml").read_text().split("[dependencies]")[1]
    runtime = (ROOT / "rust/runtime/Cargo.toml").read_text().split("[dependencies]")[1]
    assert set(re.findall(r"pyrt-\w+", runtime)) == {"pyrt-core"}
