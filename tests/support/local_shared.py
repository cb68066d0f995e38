"""The gateways' shared state without a broker: everybody who watches hears of a change before the writer goes on."""

from __future__ import annotations

from collections.abc import Callable

OnChange = Callable[[str, bytes | None], None]


class LocalShared:
    """`values` by key. `behind` are changes that watchers hear of at the next `refresh` only, while it is a list."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.behind: list[str] | None = None
        self._watchers: list[tuple[str, OnChange]] = []

    def watch(self, prefix: str, on_change: OnChange) -> None:
        self._watchers.append((prefix, on_change))

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        value = change(self.values.get(key))
        if value is None:
            return False
        self.values[key] = value
        self._changed(key)
        return True

    async def create(self, key: str, value: bytes) -> bool:
        if key in self.values:
            return False
        self.values[key] = value
        self._changed(key)
        return True

    async def delete(self, *keys: str) -> None:
        for key in keys:
            self.values.pop(key, None)
            self._changed(key)

    async def refresh(self) -> None:
        behind, self.behind = self.behind or [], None
        for key in behind:
            self._changed(key)

    def tell_all(self) -> None:
        """Tell everything that is there once more, as a newcomer hears it."""
        for key in self.values:
            self._changed(key)

    def _changed(self, key: str) -> None:
        if self.behind is not None:
            self.behind.append(key)
            return
        for prefix, on_change in self._watchers:
            if key.startswith(prefix):
                on_change(key, self.values.get(key))
