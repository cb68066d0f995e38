"""Inputs that lie in shared memory, which is taken back when the execution is over.

Models of Triton may keep their inputs and write to them: requests, tensors, arrays. An array is a copy from the start:
a page fault of a mapping that is copied on write costs more than the copy of a page. What the model has not looked at
yet refers to a `Loan`, which is copied when the execution ends and somebody still has it.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Loan:
    """The bytes of one input; made by `Loans.lend`. Any thread may call the methods at any time."""

    __slots__ = ("__weakref__", "_data", "_loans")

    def __init__(self, data: memoryview | bytes, loans: Loans) -> None:
        self._data = data
        self._loans = loans

    @property
    def data(self) -> memoryview | bytes:
        """The bytes where they are, to be used before the loans end."""
        return self._data

    def copy(self) -> bytes:
        with self._loans.lock:
            return bytes(self._data)

    def array(self) -> Bytes:
        """A copy as an array of shape `[nbytes]`, which can be written to."""
        with self._loans.lock:
            return np.frombuffer(self._data, np.uint8).copy()

    def end(self) -> None:
        """Keep a copy instead; the caller holds the lock."""
        self._data = bytes(self._data)


class Loans:
    """All loans of one instance. `lock` is held while shared memory is read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loans: list[weakref.ref[Loan]] = []

    def lend(self, data: memoryview | bytes) -> Loan:
        """`data` stays what it is until `end` has returned."""
        loan = Loan(data, self)
        self._loans.append(weakref.ref(loan))
        return loan

    def end(self) -> None:
        """Make what is still referred to independent of the memory that was lent; all else costs nothing."""
        with self.lock:
            for lent in self._loans:
                if (loan := lent()) is not None:
                    loan.end()
            self._loans.clear()
