"""Servers in processes of their own."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest
from server_process import OWN, Nursery

from stabviz.lab import withdraw
from stabviz.own import OwnFile


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where servers are forked from."""
    with Nursery() as made:
        yield made


@pytest.fixture(scope="session")
def own() -> Iterator[OwnFile]:
    """The lab that the servers offer, also in this process, where it takes no time."""
    file = OwnFile(OWN)
    assert not file.error
    sys.modules["stabviz_own_wanderer"].time = types.SimpleNamespace(sleep=lambda seconds: None)  # type: ignore[attr-defined]
    yield file
    for slug in file.labs:
        withdraw(slug)
