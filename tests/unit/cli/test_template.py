"""`--format`: what is understood is Go's, what is not is refused by name."""

from __future__ import annotations

import pytest

from pyrt.cli.template import render, render_rows
from pyrt.errors import InvalidSpec, Unsupported

DATA = {
    "Name": "web",
    "Names": ["web", "www"],
    "Count": 3,
    "On": True,
    "Off": False,
    "None": None,
    "State": {"Pid": 7, "Status": "running"},
    "Labels": {"b": "2", "a": "1"},
    "Mounts": [{"Destination": "/x"}, {"Destination": "/y"}],
    "Label": lambda key: {"a": "1"}.get(key, ""),
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "web"),
        ("a {{ .State.Pid }} b", "a 7 b"),
        ("{{.Name}}\\t{{.Count}}\\n", "web\t3\n"),
        ("{{.On}} {{.Off}}", "true false"),
        ("{{.None}}", "<no value>"),
        ("{{.Labels}}", "map[a:1 b:2]"),
        ("{{.Names}}", "[web www]"),
        ("{{json .State}}", '{"Pid":7,"Status":"running"}'),
        ("{{json .}}", None),
        ("{{.Name | upper}}", "WEB"),
        ("{{upper .Name | lower}}", "web"),
        ('{{join .Names ","}}', "web,www"),
        ("{{len .Mounts}}", "2"),
        ('{{index .Labels "a"}}{{index .Labels "z"}}', "1"),
        ("{{index .Names 1}}", "www"),
        ('{{.Label "a"}}', "1"),
        ("{{if .On}}yes{{else}}no{{end}}{{if .Off}}yes{{else}}no{{end}}", "yesno"),
        ("{{range .Mounts}}{{.Destination}} {{end}}", "/x /y "),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range .Mounts}}{{if .Destination}}+{{end}}{{end}}", "++"),
        ("x {{- .Name -}} y", "xweby"),
        ("{{/* nothing */}}{{println .Name}}", "web\n"),
        ("plain", "plain"),
        ("", ""),
        ('{{"{{"}}', "{{"),
    ],
)
def test_render(template: str, expected: str | None) -> None:
    if expected is None:
        assert render(template, DATA).startswith('{"Name":"web"')
    else:
        assert render(template, DATA) == expected


@pytest.mark.parametrize(
    "template",
    ["{{.Nope}}", "{{.State.Nope}}", "{{.Name.Nope}}", "{{", "{{.Name", "{{}}", "{{end}}",
     "{{if .On}}x", "{{.Name |}}", '{{index .Names "x"}}', '{{.Name "x"}}', '{{"open}}',
     "{{range .Name}}x{{end}}"],
)  # fmt: skip
def test_wrong(template: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^--format|^range|^index"):
        render(template, DATA)


@pytest.mark.parametrize(
    "template",
    ["{{$x := .Name}}", "{{with .Name}}x{{end}}", "{{eq .Count 3}}", "{{printf .Name}}",
     "{{(len .Names)}}", "{{define `x`}}{{end}}", "{{else if .On}}"],
)  # fmt: skip
def test_refused_by_name(template: str) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        render(template, DATA)


def test_table_has_a_header_and_columns() -> None:
    rows = [{"ID": "1", "CreatedAt": "now"}, {"ID": "22222222222", "CreatedAt": "then"}]
    (text,) = render_rows("table {{.ID}}\\t{{.CreatedAt}}", rows)
    assert text.splitlines() == [
        "CONTAINER ID  CREATED AT",
        "1             now",
        "22222222222   then",
    ]
    titles = {"ID": "IMAGE ID"}
    assert render_rows("table {{.ID}} {{.CreatedAt}}", rows, titles=titles) == [
        "IMAGE ID     CREATED AT\n1            now\n22222222222  then"
    ]
    assert render_rows("table {{.PIDS}}\\t{{.NetIO}}\\t{{.CPUPercOfHost}}", []) == [
        "PIDS        NET IO      CPU PERC OF HOST"
    ]
    assert render_rows("table {{.ID}}", []) == ["CONTAINER ID"]
    assert render_rows("{{.ID}}", []) == []
