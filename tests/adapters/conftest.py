"""Stores for the contract suite: SQLite and the fake in memory, each in a place it can come back from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import Store
from dispatcher.store.sqlite import open_store


class Place:
    """Where a store of one kind lives; `reopen` is what a restart of the daemon does."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.store: Store | None = None

    async def reopen(self) -> Store:
        if self.path is None:
            self.store = self.store or MemoryStore()
            return self.store
        if self.store is not None:
            await self.store.aclose()
        self.store = await open_store(self.path)
        return self.store


@pytest.fixture(params=["memory", "sqlite"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path / "jobs.db" if request.param == "sqlite" else None)
    yield place
    if place.store is not None:
        await place.store.aclose()


@pytest.fixture
async def store(place: Place) -> Store:
    return await place.reopen()
