"""Names for containers that were given none: an adjective and somebody whom computing owes."""

from __future__ import annotations

from pyrt import system as os

ADJECTIVES = (
    "able", "agile", "amber", "ample", "apt", "avid", "blithe", "bold", "brave", "bright", "brisk",
    "calm", "candid", "clear", "clever", "cosy", "crisp", "deft", "eager", "early", "fair", "fast",
    "fine", "firm", "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "good", "grand",
    "happy", "hardy", "honest", "humble", "jolly", "just", "keen", "kind", "lively", "lucid",
    "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "patient", "plain", "proud",
    "quick", "quiet", "ready", "sharp", "sober", "steady", "sunny", "swift", "warm", "wise",
    "witty",
)  # fmt: skip

PEOPLE = (
    "allen", "backus", "bartik", "bell", "berners", "boole", "borg", "brooks", "cerf", "church",
    "clarke", "conway", "curry", "dahl", "dijkstra", "easley", "engelbart", "erdos", "euler",
    "feinler", "floyd", "gauss", "godel", "goldberg", "gosper", "haibt", "hamilton", "hamming",
    "hoare", "holberton", "hopper", "jackson", "johnson", "kay", "kernighan", "kilburn", "knuth",
    "lamport", "liskov", "lovelace", "mauchly", "mccarthy", "meltzer", "mcilroy", "milner",
    "minsky", "moore", "naur", "neumann", "noether", "nygaard", "perlman", "postel", "ritchie",
    "sammet", "shannon", "strachey", "tarjan", "thompson", "turing", "wilkes", "wing", "wirth",
    "zuse",
)  # fmt: skip


def generate() -> str:
    """``brave_hopper``: one of about 4,000; the caller tries again if it is taken."""
    first, second = os.urandom(2)
    return f"{ADJECTIVES[first % len(ADJECTIVES)]}_{PEOPLE[second % len(PEOPLE)]}"
