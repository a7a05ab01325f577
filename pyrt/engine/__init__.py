"""Containers and the machine under them: what the command line, CRI and the Docker API are made of.

Everything here is synchronous, prints nothing and knows no flags; failures are `PyrtError`.
"""
