"""A table of vectors on the device, in which requests that steer alike share rows."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


class BankFullError(RuntimeError):
    """There are more distinct vectors than rows. It cannot happen while requests are checked on their way in."""


class Bank:
    """Rows of a table, counted: a vector that several requests hold takes one row, and gives it back with the last.

    Row 0 is zero and stays so: what is not steered points there.

    Args:
        rows: How many distinct vectors there is room for.
        width: Of the vectors.
        device: Where the table lies.
        dtype: Of the table.

    Attributes:
        table: `[rows + 1, width]`; the same memory for good, since captured graphs read it.
    """

    def __init__(self, rows: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        self.table = torch.zeros(rows + 1, width, device=device, dtype=dtype)
        self._free = list(range(rows, 0, -1))
        self._row: dict[bytes, int] = {}
        self._held: dict[int, int] = {}
        self._digest: dict[int, bytes] = {}
        self._new: dict[int, np.ndarray] = {}

    def take(self, vector: np.ndarray) -> int:
        """The row of a float32 vector, to be given back once for every time it was taken.

        Raises:
            BankFullError: No row is free.
        """
        digest = hashlib.sha256(np.ascontiguousarray(vector, dtype=np.float32).tobytes()).digest()
        row = self._row.get(digest)
        if row is None:
            if not self._free:
                raise BankFullError(
                    f"all {len(self._row)} rows for steering vectors are taken: start the server with more, or with "
                    "fewer sequences at once (max_num_seqs)"
                )
            row = self._free.pop()
            self._row[digest], self._digest[row], self._held[row] = row, digest, 0
            self._new[row] = vector
        self._held[row] += 1
        return row

    def give(self, row: int) -> None:
        """Give back a row that was taken."""
        self._held[row] -= 1
        if not self._held[row]:
            del self._row[self._digest.pop(row)], self._held[row]
            self._new.pop(row, None)
            self._free.append(row)

    @property
    def taken(self) -> int:
        """Rows that are in use."""
        return len(self._row)

    def write(self) -> None:
        """Put the vectors that were taken since the last call on the device, in one copy."""
        if not self._new:
            return
        rows = torch.tensor(list(self._new), device=self.table.device)
        vectors = torch.from_numpy(np.stack(list(self._new.values()))).to(self.table)
        self.table.index_copy_(0, rows, vectors)
        self._new.clear()
