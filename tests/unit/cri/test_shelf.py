"""A shelf tells at once what another has changed, and reads nothing that nobody has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pyrt import files
from pyrt.cri.shelf import Shelf
from pyrt.errors import Denied, InvalidSpec, PyrtError

ONE, TWO = "1" * 64, "2" * 64


class Thing:
    """What two files say."""

    def __init__(self, id: str, text: str) -> None:
        self.order = id
        self.text = text


class Store:
    """Two roots, and how often something was read in them."""

    def __init__(self, root: Path) -> None:
        self.roots = [root / "a", root / "b"]
        self.reads = 0
        self.complaints: list[str] = []
        self.shelf = Shelf([str(path) for path in self.roots], self.load, self.complaints.append)

    def load(self, id: str) -> Thing | None:
        self.reads += 1
        found = [files.read(f"{path}/{id}/file") for path in self.roots]
        if found[0] == b"bad":
            raise InvalidSpec("read", id, "is bad")
        if found[0] == b"shut":
            raise Denied("read", id, "Permission denied")
        return (
            None
            if found[0] is None
            else Thing(id, "+".join((data or b"-").decode() for data in found))
        )

    def write(self, at: int, id: str, text: str) -> None:
        (self.roots[at] / id).mkdir(parents=True, exist_ok=True)
        files.write_whole(f"{self.roots[at]}/{id}/file", text.encode())

    def told(self) -> dict[str, str]:
        return {id: thing.text for id, thing in self.shelf.all().items()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_every_change_is_told_at_once(store: Store) -> None:
    assert store.told() == {}
    store.write(0, TWO, "one")
    store.write(0, ONE, "first")
    assert store.told() == {ONE: "first+-", TWO: "one+-"}
    assert list(store.told()) == [ONE, TWO]
    for text in map(str, range(50)):
        store.write(0, TWO, text)
        assert store.told()[TWO].startswith(f"{text}+")
        store.write(1, TWO, text)
        assert store.told()[TWO] == f"{text}+{text}"
    shutil.rmtree(store.roots[1] / TWO)
    assert store.told()[TWO] == "49+-"
    store.write(1, TWO, "again")
    assert store.told()[TWO] == "49+again"
    shutil.rmtree(store.roots[0] / TWO)
    assert store.told() == {ONE: "first+-"}


def test_what_does_not_change_is_read_once(store: Store) -> None:
    store.write(0, ONE, "one")
    store.write(0, TWO, "two")
    first = store.shelf.all()
    for _ in range(5):
        assert store.shelf.all() is first
    assert store.reads == 2
    store.write(0, ONE, "new")
    store.told()
    assert store.reads == 3
    assert first[ONE].text == "one+-"


def test_a_writer_that_ends_is_told(store: Store) -> None:
    store.write(0, ONE, "one")
    with (store.roots[0] / ONE / "lock").open("w"):
        store.told()
        reads = store.reads
        (store.roots[0] / ONE / "lock").read_bytes()
        store.told()
        assert store.reads == reads
    store.told()
    assert store.reads > reads


def test_a_directory_that_is_half_made_is_not_one_yet(store: Store) -> None:
    store.told()
    (store.roots[0] / ONE).mkdir()
    assert store.told() == {}
    store.write(0, ONE, "whole")
    assert store.told() == {ONE: "whole+-"}
    (store.roots[0] / "other").mkdir()
    assert store.told() == {ONE: "whole+-"}


def test_a_root_that_is_made_anew(store: Store) -> None:
    store.write(0, ONE, "one")
    assert store.told() == {ONE: "one+-"}
    shutil.rmtree(store.roots[0])
    store.write(0, TWO, "two")
    assert store.told() == {TWO: "two+-"}
    store.write(0, TWO, "three")
    assert store.told() == {TWO: "three+-"}


def test_more_changes_than_the_kernel_keeps(store: Store) -> None:
    store.write(0, ONE, "one")
    store.told()
    place = store.roots[0] / ONE
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for at in range(limit // 3 + 100):
        (place / f"x{at % 7}").touch()
        (place / f"x{at % 7}").unlink()
    store.write(1, TWO, "never one")
    store.write(0, ONE, "last")
    shutil.rmtree(store.roots[1] / TWO)
    store.write(0, TWO, "made in between")
    assert store.told() == {ONE: "last+-", TWO: "made in between+-"}


def test_what_cannot_be_read_is_tried_again_and_hides_no_other(store: Store) -> None:
    ids = [str(number) * 64 for number in range(10)]
    for id in ids:
        store.write(0, id, "shut" if id in (ids[3], ids[6]) else "good")
    for _ in range(2):
        with pytest.raises(Denied):
            store.told()
    store.write(0, ids[3], "mended")
    with pytest.raises(Denied):
        store.told()
    store.write(0, ids[6], "mended")
    assert store.told() == {id: "mended+-" if id in (ids[3], ids[6]) else "good+-" for id in ids}
    assert store.complaints == []


def test_what_is_damaged_is_left_out(store: Store) -> None:
    ids = [str(number) * 64 for number in range(10)]
    for id in ids:
        store.write(0, id, "good")
    assert list(store.told()) == ids
    for id in (ids[3], ids[6]):
        store.write(0, id, "bad")
    for _ in range(2):
        assert list(store.told()) == [id for id in ids if id not in (ids[3], ids[6])]
    assert sorted(store.complaints) == [
        f"read {id}: is bad; {id} is left out of lists" for id in (ids[3], ids[6])
    ]
    store.write(0, ids[3], "good")
    assert list(store.told()) == [id for id in ids if id != ids[6]]
    shutil.rmtree(store.roots[0] / ids[6])
    assert list(store.told()) == [id for id in ids if id != ids[6]]
    assert len(store.complaints) == 2


def test_without_the_kernels_word_all_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PyrtError("watch", "inotify", "Too many open files")

    monkeypatch.setattr("pyrt.native.watch", refuse)
    store.write(0, ONE, "one")
    assert store.told() == {ONE: "one+-"}
    files.write_whole(f"{store.roots[0]}/{ONE}/file", b"two")
    assert store.told() == {ONE: "two+-"}
