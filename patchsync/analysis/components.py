"""What is connected: sets that have a member in common, directly or by way of others."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from itertools import pairwise
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class DisjointSets(Generic[Node]):
    """Sets of nodes that grow together; each node is in one of them, at first alone."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._set_of = {node: {node} for node in nodes}

    def set_of(self, node: Node) -> set[Node]:
        """The set that a node is in now; not to be changed."""
        return self._set_of[node]

    def sets_of(self, nodes: Iterable[Node]) -> list[set[Node]]:
        """The sets that some nodes are in, each once, in the order of the nodes."""
        sets = (self._set_of[node] for node in nodes)
        return list({id(members): members for members in sets}.values())

    def unite(self, left: Node, right: Node) -> None:
        """Make one set of those that two nodes are in."""
        small, large = sorted((self._set_of[left], self._set_of[right]), key=len)
        if small is not large:
            large |= small
            self._set_of.update(dict.fromkeys(small, large))


def components(sets: Iterable[Collection[Node]]) -> list[set[Node]]:
    """The connected components of `sets`, in the order in which their first nodes come.

    A pair is a set of two, a node that may be connected with nothing a set of one.
    """
    linked = list(sets)
    nodes = list(dict.fromkeys(node for members in linked for node in members))
    connected = DisjointSets(nodes)
    for members in linked:
        for left, right in pairwise(members):
            connected.unite(left, right)
    return connected.sets_of(nodes)
