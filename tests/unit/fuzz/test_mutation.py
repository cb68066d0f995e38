from __future__ import annotations

import random

from mutation import Mutator

SAMPLE = b'{"inputs": [{"shape": [1, 2]}]}'


def mutations(seed: int) -> list[bytes]:
    mutator = Mutator(random.Random(seed), [SAMPLE, b"other"], [b"NaN", b""])
    return [mutator.mutate(SAMPLE) for _ in range(200)]


def test_a_seed_says_what_comes() -> None:
    assert mutations(1) == mutations(1)
    assert mutations(1) != mutations(2)


def test_mutations_differ() -> None:
    assert len(set(mutations(1))) > 150


def test_nothing_can_be_mutated_too() -> None:
    assert isinstance(Mutator(random.Random(0), [SAMPLE], [b"x"]).mutate(b""), bytes)
