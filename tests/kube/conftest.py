"""Images for pods."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


ARCHIVE = Path(sys.prefix) / "nginx.tar"
"""Debian's nginx, with busybox: made by tools/nginx."""


@pytest.fixture
def nginx(pyrt: Pyrt) -> str:
    """The name of an image with nginx, which serves /usr/share/nginx/html on port 80, and sh."""
    name = "localhost/nginx:1"
    if pyrt("image", "exists", name).code != 0:
        changes = ('CMD ["nginx"]', "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin", "EXPOSE 80")
        flags = [word for change in changes for word in ("-c", change)]
        pyrt.ok("import", *flags, str(ARCHIVE), name)
    return name
