"""Plans are found again, and only by what they follow from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import InvalidSpec
from pyrt.kube import plain, shelf
from pyrt.kube.plan import File, Later, Machine, Place, Plan, PlannedPod
from pyrt.layout import Layout

MACHINE = Machine("node", "192.0.2.1", 2, 1 << 30)


def make(name: str = "web") -> Plan:
    files = [File("a/b", b"\x00\xff", 0o644), File("ip", Later("status.podIP"), 0o600)]
    pod = PlannedPod(
        name=name, owner=f"Pod/{name}", labels={"@": "odd", "app": "web"}, annotations={},
        share=["net"], infra={"publish": []}, aliases=[], places=[Place("data", "files")],
        containers=[],
    )  # fmt: skip
    pod.places[0].files = files
    return Plan(pods=[pod], notes=["one", ""], claims={"data": {}})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path / "data"), str(tmp_path / "run"))


def test_a_plan_comes_back_as_it_was(layout: Layout) -> None:
    plan = make()
    key = shelf.make_key(b"kind: Pod\n", [], MACHINE)
    assert shelf.find(layout, key) is None
    shelf.keep(layout, key, [{"kind": "Pod"}], plan)
    found = shelf.find(layout, key)
    assert found == plan and found is not plan
    assert found.pods[0].places[0].files[1].content == Later("status.podIP")
    assert plain.load(plain.dump(Plan(secrets={"a": {"b": b"\n"}}))).secrets == {"a": {"b": b"\n"}}


@pytest.mark.parametrize(
    "other",
    [(b"kind: Pod", [], MACHINE), (b"kind: Pod\n", [b"x"], MACHINE),
     (b"kind: Pod\n", [], Machine("node", "192.0.2.2", 2, 1 << 30))],
)  # fmt: skip
def test_another_key_finds_nothing(layout: Layout, other: tuple[Any, ...]) -> None:
    key = shelf.make_key(b"kind: Pod\n", [], MACHINE)
    shelf.keep(layout, key, [], make())
    assert shelf.find(layout, shelf.make_key(*other)) is None


@pytest.mark.parametrize(
    "document",
    [{"kind": "Secret"}, {"env": [{"secretKeyRef": {}}]}, {"pullSecrets": 1}, {"a": "aSecret"}],
)  # fmt: skip
def test_what_has_to_do_with_secrets_is_not_kept(layout: Layout, document: dict[str, Any]) -> None:
    key = shelf.make_key(b"")
    shelf.keep(layout, key, [document], make())
    assert shelf.find(layout, key) is None


def test_what_is_no_plan(layout: Layout) -> None:
    key = shelf.make_key(b"")
    shelf.keep(layout, key, [], make())
    place = shelf.path_of(layout, key)
    for content in (b"", b"{}", b"[", b'{"@":"Nothing"}', b'{"@":"Later","field":"a"}'):
        with open(place, "wb") as file:
            file.write(content)
        assert shelf.find(layout, key) is None
    with pytest.raises(InvalidSpec):
        plain.load(b'{"@":"Later","other":1}')
    shelf.keep(layout, key, [], Plan(notes=["\udcff"]))
    assert shelf.find(layout, key) is None


def test_the_oldest_go(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "KEPT", 3)
    keys = [shelf.make_key(number) for number in range(5)]
    for key in keys:
        shelf.keep(layout, key, [], make())
    assert [shelf.find(layout, key) is not None for key in keys] == [False] * 2 + [True] * 3
    (Path(shelf.path_of(layout, "")).parent / "gone").symlink_to("nowhere")
    shelf.keep(layout, shelf.make_key("more"), [], make())
    assert shelf.find(layout, shelf.make_key("more")) is not None


def test_what_cannot_be_kept_is_no_error(layout: Layout) -> None:
    Path(layout.data).write_text("no directory")
    shelf.keep(layout, shelf.make_key(""), [], make())


def test_plain_data() -> None:
    assert Later("a") == Later(field="a") != File("a", b"", 0)
    with pytest.raises(TypeError, match="Later needs field"):
        Later()  # type: ignore[call-arg]
    for wrong in ({"other": 1}, {"field": "b"}):
        with pytest.raises(TypeError, match="Later has field"):
            Later("a", **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Later has field"):
        Later("a", "b")  # type: ignore[call-arg]
    one, two = Plan(), Plan()
    one.notes.append("x")
    assert two.notes == []
    assert repr(Later("a")) == "Later(field='a')"
