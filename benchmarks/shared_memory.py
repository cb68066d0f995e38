"""What tensors in shared memory cost one process: microseconds per operation, without a broker.

python benchmarks/shared_memory.py [--rounds 2000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from shoal.core.tensors import ArenaRef, Tensor
from shoal.memory import Arena, ArenaReader, Block, pack

SIZES = {"8 KiB": 8 * 1024, "64 KiB": 64 * 1024, "600 KB": 600_000, "8 MiB": 8 * 1024 * 1024}
#: The best of so many, as everything else on the machine only adds.
REPEATS = 5


def best_us(operation: Callable[[], object], rounds: int) -> float:
    """Microseconds of one call, on average over the rounds of the best repeat."""
    return min(_seconds(operation, rounds) for _ in range(REPEATS)) / rounds * 1e6


def _seconds(operation: Callable[[], object], rounds: int) -> float:
    started = time.perf_counter()
    for _ in range(rounds):
        operation()
    return time.perf_counter() - started


class Case:
    """One size of tensor in an arena and a reader of it; ended by `close`."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._arena = Arena.open("benchmark", 16 * max(nbytes, 1 << 20))
        self._reader = ArenaReader(self._arena.host)
        self._tensor = Tensor("x", "UINT8", (nbytes,), bytes(nbytes))
        self._block = self._arena.allocate(nbytes, "scheduler")
        self._ref: ArenaRef = self._block.ref(0, nbytes)

    def allocate_and_free(self) -> None:
        self._free(self._arena.allocate(self._nbytes, "scheduler"))

    def pack_and_free(self) -> None:
        block = pack([self._tensor], self._arena, "scheduler").block
        assert block is not None
        self._free(block)

    def view(self) -> None:
        self._reader.view(self._ref)

    def copy(self) -> None:
        self._reader.copy(self._ref)

    def close(self) -> None:
        self._free(self._block)
        self._reader.close()
        self._arena.close()

    def _free(self, block: Block) -> None:
        self._arena.free(block.generation)


def main() -> None:
    parser = argparse.ArgumentParser(description="What tensors in shared memory cost one process.")
    parser.add_argument("--rounds", type=int, default=2000, help="calls per measurement")
    rounds = parser.parse_args().rounds
    print(f"{'US PER CALL':<12}{'allocate, free':>16}{'pack, free':>12}{'view':>8}{'copy':>10}")
    for name, nbytes in SIZES.items():
        case = Case(nbytes)
        operations = (case.allocate_and_free, case.pack_and_free, case.view, case.copy)
        figures = [
            best_us(operation, max(10, rounds * 64 * 1024 // max(nbytes, 64 * 1024))) for operation in operations
        ]
        case.close()
        print(f"{name:<12}{figures[0]:>16.1f}{figures[1]:>12.1f}{figures[2]:>8.1f}{figures[3]:>10.1f}")


if __name__ == "__main__":
    main()
