"""Every verb: its module, loaded only when typed, its class, and what it does in one line."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str, str]] = {
    "advise": ("pyrt.cli.advise", "Advise", "Propose limits from what a container has used"),
    "attach": ("pyrt.cli.attach", "Attach", "Attach to a running container"),
    "commit": ("pyrt.cli.commit", "Commit", "Create new image based on the changed container"),
    "cp": (
        "pyrt.cli.cp",
        "Cp",
        "Copy files/folders between a container and the local filesystem",
    ),
    "create": ("pyrt.cli.create", "Create", "Create but do not start a container"),
    "diff": ("pyrt.cli.diff", "Diff", "Display the changes to the object's file system"),
    "doctor": (
        "pyrt.cli.doctor",
        "Doctor",
        "Say what this machine can do, and what fixes each gap",
    ),
    "events": ("pyrt.cli.events", "Events", "Show what happens to containers and images"),
    "exec": ("pyrt.cli.exec", "Exec", "Run a process in a running container"),
    "export": (
        "pyrt.cli.export",
        "Export",
        "Export container's filesystem contents as a tar archive",
    ),
    "history": ("pyrt.cli.history", "History", "Show history of a specified image"),
    "image bootstrap": (
        "pyrt.cli.image_bootstrap",
        "ImageBootstrap",
        "Make a base image of a distribution's packages",
    ),
    "image diff": ("pyrt.cli.diff", "ImageDiff", "Inspect changes to the image's file systems"),
    "image exists": (
        "pyrt.cli.image_exists",
        "ImageExists",
        "Check if an image exists in local storage",
    ),
    "image inspect": ("pyrt.cli.inspect", "ImageInspect", "Display the configuration of an image"),
    "image prune": ("pyrt.cli.image_prune", "ImagePrune", "Remove unused images"),
    "image tree": ("pyrt.cli.image_tree", "ImageTree", "Print the layers of an image as a tree"),
    "images": ("pyrt.cli.images", "Images", "List images in local storage"),
    "import": ("pyrt.cli.import_", "Import", "Import a tarball to create a filesystem image"),
    "inspect": (
        "pyrt.cli.inspect",
        "Inspect",
        "Display the configuration of containers and images",
    ),
    "kill": ("pyrt.cli.kill", "Kill", "Kill one or more running containers with a specific signal"),
    "load": ("pyrt.cli.load", "Load", "Load image(s) from an archive"),
    "login": ("pyrt.cli.login", "Login", "Log in to a container registry"),
    "logout": ("pyrt.cli.logout", "Logout", "Log out of a container registry"),
    "logs": ("pyrt.cli.logs", "Logs", "Fetch the logs of one or more containers"),
    "metrics": ("pyrt.cli.metrics", "Metrics", "Serve what containers use to Prometheus"),
    "network connect": (
        "pyrt.cli.network_connect",
        "NetworkConnect",
        "Add container to a network",
    ),
    "network create": (
        "pyrt.cli.network_create",
        "NetworkCreate",
        "Create networks for containers",
    ),
    "network disconnect": (
        "pyrt.cli.network_connect",
        "NetworkDisconnect",
        "Disconnect a container from a network",
    ),
    "network exists": ("pyrt.cli.network_inspect", "NetworkExists", "Check if a network exists"),
    "network inspect": (
        "pyrt.cli.network_inspect",
        "NetworkInspect",
        "Inspect network configurations",
    ),
    "network ls": ("pyrt.cli.network_ls", "NetworkLs", "List networks"),
    "network prune": ("pyrt.cli.network_rm", "NetworkPrune", "Prune unused networks"),
    "network rm": ("pyrt.cli.network_rm", "NetworkRm", "Remove networks"),
    "pod create": ("pyrt.cli.pod_create", "PodCreate", "Create a new empty pod"),
    "pod exists": ("pyrt.cli.pod_inspect", "PodExists", "Check if a pod exists"),
    "pod inspect": ("pyrt.cli.pod_inspect", "PodInspect", "Display information describing a pod"),
    "pod kill": (
        "pyrt.cli.pod_life",
        "PodKill",
        "Send a signal to all containers of one or more pods",
    ),
    "pod logs": ("pyrt.cli.pod_logs", "PodLogs", "Fetch the logs of a pod's containers"),
    "pod prune": (
        "pyrt.cli.pod_life",
        "PodPrune",
        "Remove all pods that do not run, and their containers",
    ),
    "pod ps": ("pyrt.cli.pod_ps", "PodPs", "List pods"),
    "pod restart": ("pyrt.cli.pod_life", "PodRestart", "Restart one or more pods"),
    "pod rm": ("pyrt.cli.pod_life", "PodRm", "Remove one or more pods and their containers"),
    "pod start": ("pyrt.cli.pod_life", "PodStart", "Start one or more pods"),
    "pod stop": ("pyrt.cli.pod_life", "PodStop", "Stop one or more pods"),
    "ps": ("pyrt.cli.ps", "Ps", "List containers"),
    "pull": ("pyrt.cli.pull", "Pull", "Pull images from a registry"),
    "push": ("pyrt.cli.push", "Push", "Push an image to a registry"),
    "receipts": (
        "pyrt.cli.receipts",
        "Receipts",
        "Show what containers that have ended used",
    ),
    "rm": ("pyrt.cli.rm", "Rm", "Remove one or more containers"),
    "rmi": ("pyrt.cli.rmi", "Rmi", "Remove one or more images from local storage"),
    "run": ("pyrt.cli.run", "Run", "Run a command in a new container"),
    "save": ("pyrt.cli.save", "Save", "Save image(s) to an archive"),
    "search": ("pyrt.cli.search", "Search", "Search registries for images"),
    "start": ("pyrt.cli.start", "Start", "Start one or more containers"),
    "stats": (
        "pyrt.cli.stats",
        "Stats",
        "Display a live stream of what containers use",
    ),
    "stop": ("pyrt.cli.stop", "Stop", "Stop one or more containers"),
    "tag": ("pyrt.cli.tag", "Tag", "Add an additional name to a local image"),
    "top": (
        "pyrt.cli.top",
        "Top",
        "Show what containers use on a screen, or the processes of one",
    ),
    "untag": ("pyrt.cli.untag", "Untag", "Remove a name from a local image"),
    "update": ("pyrt.cli.update", "Update", "Update the limits of a container"),
    "version": ("pyrt.cli.version", "Version", "Display the pyrt version information"),
    "wait": ("pyrt.cli.wait", "Wait", "Block until one or more containers stop"),
}

ALIASES = {"list": "ps", "ls": "ps"}

GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "image": (
        "Manage images",
        {
            "bootstrap": "image bootstrap",
            "diff": "image diff",
            "exists": "image exists",
            "history": "history",
            "import": "import",
            "inspect": "image inspect",
            "list": "images",
            "load": "load",
            "ls": "images",
            "prune": "image prune",
            "pull": "pull",
            "push": "push",
            "rm": "rmi",
            "save": "save",
            "search": "search",
            "tag": "tag",
            "tree": "image tree",
            "untag": "untag",
        },
    ),
    "network": (
        "Manage networks",
        {
            "connect": "network connect",
            "create": "network create",
            "disconnect": "network disconnect",
            "exists": "network exists",
            "inspect": "network inspect",
            "list": "network ls",
            "ls": "network ls",
            "prune": "network prune",
            "rm": "network rm",
        },
    ),
    "pod": (
        "Manage pods",
        {
            "create": "pod create",
            "exists": "pod exists",
            "inspect": "pod inspect",
            "kill": "pod kill",
            "list": "pod ps",
            "logs": "pod logs",
            "ls": "pod ps",
            "prune": "pod prune",
            "ps": "pod ps",
            "restart": "pod restart",
            "rm": "pod rm",
            "start": "pod start",
            "stop": "pod stop",
        },
    ),
}
"""Verbs below a word: the group's help, and which of `VERBS` each name in it is."""

HOT = (
    "attach",
    "create",
    "exec",
    "inspect",
    "kill",
    "logs",
    "ps",
    "rm",
    "run",
    "start",
    "stop",
    "wait",
)
"""Verbs that `generate` puts into the option table."""

VALUE_OPTIONAL = ("--receipt",)
"""Options that mean `-` alone, and another value only after `=`."""

UNINTERSPERSED = ("create", "exec", "run", "top")
"""Verbs whose options end at the first positional: after it, everything is the
container's command.
"""
