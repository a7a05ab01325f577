"""`pyrt image …` and the verbs on the local store: tag, untag, history, tree, prune, exists."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


def make_image(pyrt: Pyrt, path: Path, name: str, *changes: str) -> str:
    """Import a small tarball; the image's ID."""
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("etc/motd")
        entry.size = 3000
        archive.addfile(entry, io.BytesIO(b"x" * 3000))
    options = [word for change in changes for word in ("-c", change)]
    return pyrt.ok("import", *options, "-m", "made here", str(path), name).removeprefix("sha256:")


def names_of(pyrt: Pyrt, image: str) -> set[str]:
    return set(pyrt("image", "inspect", image).json[0]["RepoTags"])


def test_the_group_has_help_and_refuses_as_podman_does(pyrt: Pyrt) -> None:
    assert "exists " in pyrt.ok("image", "--help")
    assert pyrt.ok("image", "tree", "--help").startswith("Usage: pyrt image tree [options] IMAGE")
    missing = pyrt("image")
    assert (missing.code, missing.out) == (125, "")
    assert missing.err.startswith("Error: missing command 'pyrt image COMMAND'\n")
    unknown = pyrt("image", "nosuch")
    assert unknown.code == 125
    assert unknown.err.startswith("Error: unrecognized command `pyrt image nosuch`\n")
    flag = pyrt("image", "exists", "--nonsense")
    assert flag.code == 125
    assert flag.err == "Error: unknown flag: --nonsense\nSee 'pyrt image exists --help'\n"


def test_tag_and_untag(pyrt: Pyrt, tmp_path: Path) -> None:
    id = make_image(pyrt, tmp_path / "x.tar", "one", "LABEL test=tag")
    other = make_image(pyrt, tmp_path / "x.tar", "other", "LABEL test=other")
    assert pyrt.ok("tag", "one", "two:5", "quay.io/x/y") == ""
    assert names_of(pyrt, id) == {
        "localhost/one:latest",
        "localhost/two:5",
        "quay.io/x/y:latest",
    }
    # A name moves; its former image stays, without one.
    pyrt.ok("image", "tag", id, "other")
    assert names_of(pyrt, other) == set()
    assert pyrt.ok("image", "exists", other) == ""
    pyrt.ok("untag", "one", "two:5", "other")
    assert names_of(pyrt, id) == {"localhost/one:latest", "quay.io/x/y:latest"}
    refused = pyrt("untag", "one", "three")
    assert refused.code == 125 and "localhost/three:latest" in refused.err
    assert pyrt("tag", "nosuch", "x").code == 125
    assert pyrt("tag", "one", "Not A Name").code == 125
    assert pyrt("tag", "one").code == 125
    pyrt.ok("untag", id)
    assert names_of(pyrt, id) == set()
    # Both are dangling now.
    gone = pyrt.ok("image", "prune", "--force").split()
    assert {id, other} <= set(gone)
    assert pyrt("image", "exists", id).code == 1


def test_prune_asks_and_filters(fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    pyrt = fresh_pyrt  # whatever other tests left is not to be pruned
    kept = make_image(pyrt, tmp_path / "x.tar", "kept", "LABEL test=prune", "CMD x")
    used = make_image(pyrt, tmp_path / "x.tar", "used", "LABEL test=prune", "CMD y")
    pyrt.ok("create", "--network", "none", "used")
    pyrt.ok("untag", used)
    asked = pyrt("image", "prune", input=b"n\n")
    assert asked.code == 0
    assert asked.out.startswith("WARNING! This command removes all dangling images.\n")
    assert pyrt.ok("image", "prune", "-f") == ""
    assert pyrt.ok("image", "prune", "-af", "--filter", "label=nosuch") == ""
    assert pyrt.ok("image", "prune", "-af", "--filter", "label=test=prune") == kept
    assert pyrt("image", "exists", used).code == 0
    pyrt.ok("rm", "-a")
    assert pyrt.ok("image", "prune", "-f", "--filter", "until=10h") == ""
    assert pyrt.ok("image", "prune", "-f") == used
    assert pyrt("image", "prune", "-f", "--filter", "dangling=true").code == 125


def test_history(pyrt: Pyrt, tmp_path: Path) -> None:
    id = make_image(pyrt, tmp_path / "x.tar", "told")
    header, line = pyrt.ok("history", "told").splitlines()
    assert header.split() == ["ID", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert line.startswith(id[:12]) and line.endswith("made here") and " 3 kB " in line
    assert pyrt.ok("image", "history", "-q", "--no-trunc", "told") == id
    assert pyrt.ok("history", "--human=false", "--format", "{{.Size}}", "told") == "3000"
    ages = "{{.CreatedSince}}|{{.CreatedAt}}"
    since, _, at = pyrt.ok("history", "--human=false", "--format", ages, "told").partition("|")
    assert since.endswith("Z") and at == f"{since[:-1].replace('T', ' ')} +0000 UTC"
    assert pyrt.ok("history", "--format", ages, "told").endswith(f" ago|{at}")
    (entry,) = pyrt("history", "--format", "json", "told").json
    assert (entry["id"], entry["size"], entry["comment"]) == (id, 3000, "made here")
    assert entry["CreatedBy"].startswith("import /")
    assert pyrt("history", "nosuch").code == 125
    pyrt.ok("rmi", "told")


def test_tree(pyrt: Pyrt, tmp_path: Path) -> None:
    id = make_image(pyrt, tmp_path / "x.tar", "rooted")
    lines = pyrt.ok("image", "tree", "rooted").splitlines()
    assert lines[:2] == [f"Image ID: {id[:12]}", "Tags:     [localhost/rooted:latest]"]
    assert lines[3] == "Image Layers"
    assert lines[4].startswith("└── ID: ")
    assert lines[4].endswith(" Size:     3kB Top Layer of: [localhost/rooted:latest]")
    pyrt.ok("rmi", "rooted")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["label=test=list"], {"first", "second"}),
        (["label=test=list", "label=n=1"], {"first"}),
        (["label!=n", "label=test=list"], set()),
        (["reference=first"], {"first"}),
        (["reference=fir*", "reference=sec*:latest"], {"first", "second"}),
        (["since=first", "label=test"], {"second"}),
        (["before=second", "label=test"], {"first"}),
        (["label=test", "until=1h"], set()),
        (["label=test", "dangling=true"], set()),
        (["label=test", "containers=false"], {"first", "second"}),
        (["label=test", "readonly=true"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_images_filter(
    pyrt: Pyrt, two_images: tuple[str, str], filters: list[str], found: set[str]
) -> None:
    options = [word for text in filters for word in ("--filter", text)]
    listed = pyrt.ok("images", *options, "--format", "{{.Repository}}").split()
    assert {name.removeprefix("localhost/") for name in listed} == found


@pytest.fixture(scope="module")
def two_images(
    session_pyrt: Pyrt, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Two images, made one second after the other."""
    import time

    path = tmp_path_factory.mktemp("images") / "x.tar"
    first = make_image(session_pyrt, path, "first", "LABEL test=list", "LABEL n=1")
    time.sleep(1.1)
    second = make_image(session_pyrt, path, "second", "LABEL test=list", "LABEL n=2")
    yield first, second
    session_pyrt.ok("rmi", "first", "second")


def test_images_columns_and_order(pyrt: Pyrt, two_images: tuple[str, str]) -> None:
    header, *_ = pyrt.ok("images", "--digests", "--history").splitlines()
    assert header.split() == [
        "REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE", "HISTORY",
    ]  # fmt: skip
    options = ("--filter", "label=test=list", "--format", "{{.ID}}")
    newest_first = [id[:12] for id in reversed(two_images)]
    assert pyrt.ok("images", *options).split() == newest_first
    first = two_images[0]
    (entry,) = pyrt("images", "--format", "json", "first").json
    assert (entry["ParentId"], entry["SharedSize"], entry["VirtualSize"]) == ("", 0, entry["Size"])
    assert entry["RepoDigests"] == [f"localhost/first@{entry['Digest']}"]
    assert (entry["Containers"], entry["History"]) == (0, ["localhost/first:latest"])
    pyrt.ok("create", "--name", "of-first", "--network", "none", "first", "x")
    fields = (
        "{{.Names}} {{.RepoTags}} {{.RepoDigests}} {{.ReadOnly}} {{.Containers}} {{.VirtualSize}} "
        "{{.SharedSize}} {{.Dangling}}{{.ParentId}}"
    )
    assert pyrt.ok("images", "--format", fields, "first") == (
        "[localhost/first:latest] [localhost/first:latest] "
        f"[localhost/first@{entry['Digest']}] false 1 {entry['Size']} 0 false"
    )
    pyrt.ok("rm", "of-first")
    at = pyrt.ok("images", "--format", "{{.CreatedAt}}", "first")
    assert at == f"{entry['CreatedAt'][:-1].replace('T', ' ')} +0000 UTC"
    # A blank between fields is a column's end, as with podman.
    assert pyrt.ok("images", "--format", "table {{.ID}} {{.Repository}}", "first") == (
        f"IMAGE ID      REPOSITORY\n{first[:12]}  localhost/first"
    )
    assert pyrt.ok("images", "--sort", "id", *options).split() == sorted(newest_first)
    assert pyrt.ok("images", "-q", "--filter", f"id={two_images[0][:20]}") == two_images[0][:12]
    for bad in (("--sort", "color"), ("--filter", "color=red"), ("--filter", "dangling=maybe")):
        result = pyrt("images", *bad)
        assert result.code == 125 and result.err.startswith("Error: "), result


def test_one_image_may_come_with_several_manifests(fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    """Saved in two formats and loaded again it is the same image: one row, and prune leaves it."""
    pyrt = fresh_pyrt
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
    for format in ("oci-archive", "docker-archive"):
        pyrt.ok("save", "-q", "--format", format, "-o", str(tmp_path / format), "demo")
    for format in ("oci-archive", "docker-archive", "oci-archive"):
        pyrt.ok("load", "-q", "-i", str(tmp_path / format))
        rows = pyrt.ok("images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}")
        assert rows.splitlines() == ["localhost/demo:latest"]
    pyrt.ok("tag", "demo", "second")
    pyrt.ok("load", "-q", "-i", str(tmp_path / "docker-archive"))
    assert pyrt.ok("image", "prune", "-f") == ""
    id = pyrt.ok("images", "-q", "demo")
    refused = pyrt("rmi", id)
    assert "several names" in refused.err and "localhost/second:latest" in refused.err
    pyrt.ok("rmi", "-f", id)
    assert pyrt.ok("images", "-q") == ""


def test_a_file_for_the_id_may_be_relative(pyrt: Pyrt, tmp_path: Path) -> None:
    pyrt.ok("create", "--name", "box", "--network", "none", "demo", "true")
    done = subprocess.run(
        [*pyrt.argv, "commit", "-q", "--iidfile", "iid", "box", "made"],
        cwd=tmp_path,
        env=pyrt.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "iid").read_text().removeprefix("sha256:") in done.stdout
    pyrt.ok("rm", "box")
    pyrt.ok("rmi", "made")
