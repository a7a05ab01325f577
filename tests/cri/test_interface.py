"""cri.proto says what the published interface says, and cri_pb2.py what cri.proto says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc_tools", reason="needs grpcio-tools")

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

OWN = Path(__file__).parents[2] / "pyrt" / "cri" / "cri.proto"
PUBLISHED = Path(sys.prefix, "interface", "api.proto")
"""Put there by tools/interface."""


def compile(path: Path, out: Path) -> Any:
    arguments = ["protoc", f"-I{path.parent}", f"--descriptor_set_out={out}", str(path)]
    assert protoc.main(arguments) == 0
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return compiled.file[0]


def lines(file: Any) -> set[str]:
    """Every name with its number and type, one a line."""
    found = set()
    for service in file.service:
        for method in service.method:
            kind = "stream" if method.server_streaming else "single"
            found.add(
                f"{service.name}.{method.name} {method.input_type} {kind} {method.output_type}"
            )
    for message in file.message_type:
        found |= lines_of(message, message.name)
    for enum in file.enum_type:
        found |= {f"{enum.name}.{value.name} = {value.number}" for value in enum.value}
    return found


def lines_of(message: Any, path: str) -> set[str]:
    found = {f"message {path}"}
    for field in message.field:
        kind = f"{field.type_name or field.type} label {field.label}"
        found.add(f"{path}.{field.name} = {field.number} {kind}")
    for nested in message.nested_type:
        found |= lines_of(nested, f"{path}.{nested.name}")
    for enum in message.enum_type:
        found |= {f"{path}.{enum.name}.{value.name} = {value.number}" for value in enum.value}
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compile(OWN, tmp_path_factory.mktemp("own") / "own.pb")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not PUBLISHED.exists():
        pytest.skip("tools/interface has not fetched it")
    return compile(PUBLISHED, tmp_path_factory.mktemp("published") / "published.pb")


def test_each_name_number_and_type_agrees(own: Any, published: Any) -> None:
    assert own.package == published.package == "runtime.v1"
    mine, theirs = lines(own), lines(published)
    assert len(mine) > 700
    assert mine <= theirs, sorted(mine - theirs)
    missing = {line for line in theirs - mine if "Windows" not in line}
    assert {line for line in missing if ".windows = " not in line} == set(), sorted(missing)


def test_the_generated_module_is_current(own: Any) -> None:
    from pyrt.cri import cri_pb2

    generated = descriptor_pb2.FileDescriptorProto()
    cri_pb2.DESCRIPTOR.CopyToProto(generated)
    assert lines(generated) == lines(own)
