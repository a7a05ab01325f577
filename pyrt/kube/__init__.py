"""Kubernetes YAML: from manifests to a plan, to pods, and back.

`loader` reads YAML, the `…_model` modules are the fields that are honoured, and `planning` makes of
them a `Plan`: plain data, without input or output. `play` makes what a plan says, `down` takes it
away, `generate` goes the other way.
"""
