"""What kubectl asks of a kubelet, run where the kubelet is: prints one JSON document.

kubelet_client.py get PATH | exec PATH WORD... (with standard input)
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.request
from urllib.parse import urlencode

from streams_client import WebSocket

PLACE = "https://127.0.0.1:10250"


def get(path: str) -> str:
    """The answer's text."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"{PLACE}{path}", timeout=30, context=context) as answer:
        return str(answer.read().decode())


def run(path: str, words: list[str]) -> dict[str, object]:
    """A command's output by channel, and how it ended."""
    options = [("command", word) for word in words]
    options += [("input", "1"), ("output", "1"), ("error", "1")]
    client = WebSocket(f"{PLACE}{path}?{urlencode(options)}")
    client.feed("stdin", sys.stdin.buffer.read())
    client.close_channel("stdin")
    output, status = client.finish()
    return {**{name: data.decode() for name, data in output.items()}, "status": status}


if __name__ == "__main__":
    what, path, *words = sys.argv[1:]
    print(json.dumps(get(path) if what == "get" else run(path, words)))
