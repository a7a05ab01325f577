"""Property tests keep no database: the tree may be read-only for the user who runs them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tree", database=None, deadline=None)
settings.load_profile("tree")
