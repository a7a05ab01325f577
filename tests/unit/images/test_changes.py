"""`--change`: Containerfile instructions to an image configuration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidSpec
from pyrt.images.changes import CHANGES, apply_change


def apply(*texts: str) -> dict[str, Any]:
    """The configuration that the changes make of nothing."""
    config: dict[str, Any] = {}
    for text in texts:
        apply_change(config, text)
    return config


@pytest.mark.parametrize(
    ("texts", "config"),
    [
        (['CMD ["/bin/sh", "-c"]'], {"Cmd": ["/bin/sh", "-c"]}),
        (["CMD=echo hi"], {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
        (["CMD /bin/sh", "CMD"], {"Cmd": []}),
        (["entrypoint []"], {"Entrypoint": []}),
        (["ENV A=1 B='2 3'", "ENV A 4 5"], {"Env": ["B=2 3", "A=4 5"]}),
        (["LABEL a=b", 'LABEL "c"="d e"'], {"Labels": {"a": "b", "c": "d e"}}),
        (["WORKDIR /a", "WORKDIR b"], {"WorkingDir": "/a/b"}),
        (["USER=app:tty"], {"User": "app:tty"}),
        (["EXPOSE 80 53/udp"], {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        (["STOPSIGNAL SIGRTMIN+3"], {"StopSignal": "SIGRTMIN+3"}),
        (['VOLUME ["/a", "/b"]', "VOLUME /c"], {"Volumes": {"/a": {}, "/b": {}, "/c": {}}}),
    ],
)
def test_change(texts: list[str], config: dict[str, Any]) -> None:
    """podman-import(1), --change."""
    assert apply(*texts) == config


@pytest.mark.parametrize(
    "text",
    ["", "RUN x", "FROM x", "ENV", "ENV A", "ENV =x", "LABEL a='", "EXPOSE 0", "EXPOSE 80/icmp",
     "EXPOSE x", "STOPSIGNAL a b", "VOLUME a", "CMD [1]", "CMD [", "WORKDIR", "CMDX y", "80"],
)  # fmt: skip
def test_refused(text: str) -> None:
    """Each names the flag."""
    with pytest.raises(InvalidSpec) as refusal:
        apply(text)
    assert refusal.value.step == "--change"


@given(st.sampled_from([*CHANGES, ""]), st.text(max_size=20))
def test_only_refuses(instruction: str, value: str) -> None:
    """No text makes it fail in another way."""
    try:
        apply(f"{instruction} {value}")
    except InvalidSpec as refusal:
        assert refusal.reason
