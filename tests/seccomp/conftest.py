"""Fixtures of the comparison with libseccomp."""

from compiler import compiler

__all__ = ["compiler"]
