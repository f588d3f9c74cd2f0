"""Samples in a table of queries by items: how much a mean over it varies, and how to resample it.

This is the one place that knows how the two kinds of cluster combine; everything in `mindgap.stats` asks it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

FEWEST = 6
"""Levels of a factor below which its own spread cannot be told from so few, whatever test or interval is used: results
are then for these levels (docs/statistics.md, "Few queries")."""

Factor = Literal["queries", "items"]

_BLOCK = 2_000_000
"""Weights made at once: 16 MB, whatever the number of items."""


def codes(labels: Sequence[Hashable] | np.ndarray) -> tuple[np.ndarray, list[Hashable]]:
    """Each label's rank among the sorted distinct labels, `[samples]`, and those labels. Row order changes nothing."""
    listed: list[Hashable] = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    distinct = sorted(set(listed), key=lambda label: (type(label).__name__, repr(label)))
    rank = {label: number for number, label in enumerate(distinct)}
    return np.fromiter((rank[label] for label in listed), dtype=np.int64, count=len(listed)), distinct


@dataclass(frozen=True)
class CrossedTable:
    """Sums and counts of values by query and item.

    Attributes:
        sums: float `[queries, items]`.
        counts: float `[queries, items]`; 0 where a query and item hold no value.
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, queries: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> CrossedTable:
        """The table of values, NaNs left out.

        Args:
            values: `[samples]`.
            queries: Each sample's row, `[samples]`.
            items: Each sample's column, `[samples]`.
            shape: Rows and columns of the table.
        """
        present = ~np.isnan(values)
        cells = queries[present] * shape[1] + items[present]
        size = shape[0] * shape[1]
        sums = np.bincount(cells, weights=values[present], minlength=size).reshape(shape)
        return cls(sums, np.bincount(cells, minlength=size).reshape(shape).astype(float))

    @property
    def mean(self) -> float:
        """Mean of all values."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def levels(self) -> tuple[int, int]:
        """Queries and items that hold at least one sample."""
        return int(self.counts.any(1).sum()), int(self.counts.any(0).sum())

    def given(self, factor: Factor | None) -> CrossedTable:
        """The same values with a factor taken as it is: a single level holds all of its samples and so cannot vary."""
        if factor is None:
            return self
        axis = 0 if factor == "queries" else 1
        return CrossedTable(self.sums.sum(axis, keepdims=True), self.counts.sum(axis, keepdims=True))


def taken_as_it_is(queries: int, items: int) -> Factor | None:
    """The factor that results are given for: of two that vary, the smaller one, if it has fewer than `FEWEST` levels.

    Args:
        queries: How many there are.
        items: How many there are.
    """
    if min(queries, items) == 1 or min(queries, items) >= FEWEST:
        return None
    return "queries" if queries <= items else "items"


def said_of(factor: Factor, levels: int) -> str:
    """What an estimate notes that is given for the levels of a factor."""
    return f"for these {levels} {factor}: fewer than {FEWEST} say little about others"


@dataclass(frozen=True)
class Variance:
    """Variance of a mean, split by where it comes from, and the degrees of freedom it is known with.

    Attributes:
        queries: What queries add of their own, never below 0.
        items: What items add of their own, never below 0.
        rest: Interaction and noise.
        freedom: Satterthwaite's degrees of freedom.
    """

    queries: float
    items: float
    rest: float
    freedom: float

    @property
    def total(self) -> float:
        """The variance of the mean."""
        return self.queries + self.items + self.rest


@dataclass(frozen=True)
class Design:
    """How many samples each query and item hold: all that the variance of a mean needs to know besides the squares.

    A sample is modelled as mean + query effect + item effect + rest. Three sums of squares about the mean (over query
    totals, item totals and cell totals) have expectations linear in the three variances, with coefficients that depend
    on the counts alone; solving for the variances gives unbiased estimates for any pattern of missing cells. In a
    complete design this is the usual analysis of variance. It is the moment method of Gao and Owen (2017, Electronic
    Journal of Statistics 11:1235) with sums of squares about the mean.

    Attributes:
        counts: `[queries, items]`.
    """

    counts: np.ndarray

    @cached_property
    def _of_queries(self) -> np.ndarray:
        return self.counts.sum(1)

    @cached_property
    def _of_items(self) -> np.ndarray:
        return self.counts.sum(0)

    @cached_property
    def shares(self) -> np.ndarray:
        """What a unit of variance of queries, items and rest adds to the variance of the mean: `[3]`."""
        n, rows, columns = self.counts, self._of_queries, self._of_items
        return np.array([(rows**2).sum(), (columns**2).sum(), (n**2).sum()]) / n.sum() ** 2

    @cached_property
    def _solve(self) -> np.ndarray:
        """From the sums of squares to what each source adds to the variance of the mean: `[3, 3]`."""
        n, rows, columns = self.counts, self._of_queries, self._of_items
        total = n.sum()
        between = ((n - np.outer(rows, columns) / total) ** 2).sum()

        def spread(own: np.ndarray) -> float:
            return float((own**2).sum() - 2 * (own**3).sum() / total + (own**2).sum() ** 2 / total**2)

        def spread_in_cells(own: np.ndarray) -> float:
            return float(
                ((n**2).sum(1 if own is rows else 0) * (1 - 2 * own / total + (own**2).sum() / total**2)).sum()
            )

        def rest_in(own: np.ndarray, axis: int) -> float:
            squares = (n**2).sum(axis)
            return float((squares * (1 - own / total) ** 2 + (own / total) ** 2 * ((n**2).sum() - squares)).sum())

        cells = n[n > 0]
        expected = np.array(
            [
                [spread(rows), between, rest_in(rows, 1)],
                [between, spread(columns), rest_in(columns, 0)],
                [spread_in_cells(rows), spread_in_cells(columns), spread(cells)],
            ]
        )
        return self.shares[:, None] * np.linalg.pinv(expected, rcond=1e-10)

    def split(self, squares: np.ndarray) -> np.ndarray:
        """What queries, items and rest add to the variance of the mean, each at least 0.

        Args:
            squares: The three sums of squares, `[..., 3]`.

        Returns:
            `[..., 3]`.
        """
        return np.maximum(squares @ self._solve.T, 0.0)

    def freedom(self, squares: np.ndarray) -> np.ndarray:
        """Satterthwaite's degrees of freedom of the variance of the mean, at least 1.

        Args:
            squares: The three sums of squares, `[..., 3]`.

        Returns:
            `[...]`; inf where nothing varies.
        """
        parts = self.split(squares)
        levels = [int((self._of_queries > 0).sum()), int((self._of_items > 0).sum())]
        left = int((self.counts > 0).sum()) - sum(levels) + 1
        weight = np.zeros(parts.shape[:-1])
        for factor, k in enumerate(levels):
            if k > 1:
                weight += (k / (k - 1) * squares[..., factor] / self.counts.sum() ** 2) ** 2 / (k - 1)
        if left > 0:
            weight += parts[..., 2] ** 2 / left
        total = parts.sum(-1)
        return np.maximum(1.0, np.divide(total**2, weight, out=np.full(total.shape, np.inf), where=weight > 0))

    def variance(self, squares: np.ndarray) -> Variance:
        """Variance of the mean from the three sums of squares `[3]`, with Satterthwaite's degrees of freedom."""
        queries, items, rest = (float(part) for part in self.split(squares))
        return Variance(queries, items, rest, float(self.freedom(squares)))


def squares(table: CrossedTable) -> np.ndarray:
    """Sums of squares about the mean over query totals, item totals and cell totals: `[3]`."""
    residual = table.sums - table.counts * table.mean
    return np.array([(residual.sum(1) ** 2).sum(), (residual.sum(0) ** 2).sum(), (residual**2).sum()])


def variance_of_mean(table: CrossedTable) -> Variance:
    """Variance of the mean of all samples of `table`, queries and items both being draws from many."""
    return design_of(table.counts).variance(squares(table))


def design_of(counts: np.ndarray) -> Design:
    """The design with these counts. The last few are kept: all metrics and cells of a sweep mostly share one."""
    return _design(counts.shape, counts.astype(float).tobytes())


@lru_cache(maxsize=8)
def _design(shape: tuple[int, ...], counts: bytes) -> Design:
    return Design(np.frombuffer(counts).reshape(shape))


@dataclass(frozen=True)
class Resampling:
    """Owen's pigeonhole bootstrap (2007, Annals of Applied Statistics 1:386).

    A resample draws queries and items with replacement, and a sample counts as often as its query times its item were
    drawn. Queries and items have their own streams, so the same seed draws the same queries whatever the items are.

    Attributes:
        queries: How many there are.
        items: How many there are.
        resamples: How many are drawn.
        seed: Of the draws.
    """

    queries: int
    items: int
    resamples: int = 10_000
    seed: int = 0

    def means(self, tables: Sequence[CrossedTable]) -> np.ndarray:
        """Mean of each table in each resample, with the same draws for all.

        Returns:
            `[resamples, tables]`; NaN where a resample holds no sample of a table.
        """
        return self.means_within(tables, np.ones((1, self.queries), dtype=bool), np.ones((1, self.items), dtype=bool))[
            :, 0
        ]

    def means_within(self, tables: Sequence[CrossedTable], of_queries: np.ndarray, of_items: np.ndarray) -> np.ndarray:
        """Mean of each table in each resample within parts of it.

        Args:
            tables: Of equal shape.
            of_queries: The queries of each part, bool `[parts, queries]`.
            of_items: The items of each part, bool `[parts, items]`.

        Returns:
            `[resamples, parts, tables]`; NaN where a resample holds no sample.
        """
        return np.concatenate(list(self.blocks_within(tables, of_queries, of_items)))

    def blocks_within(
        self, tables: Sequence[CrossedTable], of_queries: np.ndarray, of_items: np.ndarray
    ) -> Iterator[np.ndarray]:
        """`means_within` a block of resamples after the other, each of 16 MB: of many tables all have no room.

        Args:
            tables: Of equal shape.
            of_queries: The queries of each part, bool `[parts, queries]`.
            of_items: The items of each part, bool `[parts, items]`.

        Yields:
            `[block, parts, tables]`.
        """
        distinct, part_of = np.unique(of_queries, axis=0, return_inverse=True)
        for drawn_queries, drawn_items in self._blocks(len(of_queries) * len(tables)):
            means = np.full((len(drawn_queries), len(of_queries), len(tables)), np.nan)
            for place, queries in enumerate(distinct):
                parts = np.flatnonzero(part_of.reshape(-1) == place)
                masks, here = of_items[parts].T.astype(float), drawn_queries[:, queries]
                known: dict[bytes, np.ndarray] = {}  # tables without missing values share their counts
                for column, table in enumerate(tables):
                    shared = table.counts.tobytes()
                    if shared not in known and table.counts.min() == table.counts.max():
                        known[shared] = table.counts[0, 0] * here.sum(1)[:, None] * (drawn_items @ masks)
                    elif shared not in known:
                        known[shared] = _drawn_sums(here, drawn_items, table.counts[queries], masks)
                    totals, weights = _drawn_sums(here, drawn_items, table.sums[queries], masks), known[shared]
                    found = np.full(totals.shape, np.nan)
                    np.divide(totals, weights, out=found, where=weights > 0)
                    means[:, parts, column] = found
            yield means

    def weights(self, query: np.ndarray, item: np.ndarray) -> Iterator[np.ndarray]:
        """How often each sample is drawn; for what is not a mean.

        Args:
            query: Each sample's code, `[samples]`.
            item: Each sample's code, `[samples]`.

        Yields:
            `[block, samples]`, until `resamples` are through.
        """
        size = max(1, _BLOCK // max(1, len(query)))
        for of_queries, of_items in _all_blocks(self.queries, self.items, self.resamples, self.seed, size):
            yield of_queries[:, query] * of_items[:, item]

    def _blocks(self, means: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """How often each query and each item is drawn: `[block, queries]` and `[block, items]`.

        Args:
            means: How many are to be had of each resample.
        """
        size = max(1, _BLOCK // max(self.queries, self.items))
        drawn: Iterable[tuple[np.ndarray, np.ndarray]]
        if self.resamples <= size:
            drawn = [_only_block(self.queries, self.items, self.resamples, self.seed)]
        else:
            drawn = _all_blocks(self.queries, self.items, self.resamples, self.seed, size)
        rows = max(1, _BLOCK // means)
        for of_queries, of_items in drawn:
            for start in range(0, len(of_queries), rows):
                yield of_queries[start : start + rows], of_items[start : start + rows]


def _drawn_sums(drawn_queries: np.ndarray, drawn_items: np.ndarray, cells: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Sum over what is drawn of a table, within sets of items.

    Args:
        drawn_queries: How often each query is drawn, `[block, queries]`.
        drawn_items: How often each item is, `[block, items]`.
        cells: `[queries, items]`.
        masks: The sets, `[items, sets]`.

    Returns:
        `[block, sets]`.
    """
    queries, items = cells.shape
    sets = masks.shape[1]
    if sets * queries >= items:
        return np.asarray(((drawn_queries @ cells) * drawn_items) @ masks)
    # The same product the other way round: what is multiplied number by number is [block, sets, queries] and not
    # [block, items], which takes longer than the products of matrices.
    by_query = (masks.T[:, None, :] * cells).reshape(sets * queries, items) @ drawn_items.T
    return np.asarray(np.einsum("sqb,bq->bs", by_query.reshape(sets, queries, -1), drawn_queries))


@lru_cache(maxsize=1)
def _only_block(queries: int, items: int, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Kept for the next metric: drawing takes five times as long as averaging over what was drawn."""
    (block,) = _all_blocks(queries, items, resamples, seed, resamples)
    for weights in block:
        weights.flags.writeable = False
    return block


def _all_blocks(
    queries: int, items: int, resamples: int, seed: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    of_queries, of_items = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        yield _times_drawn(of_queries, count, queries), _times_drawn(of_items, count, items)


def _times_drawn(generator: np.random.Generator, size: int, levels: int) -> np.ndarray:
    """How often each level is drawn, `[size, levels]`; a factor of one level is not resampled."""
    if levels == 1:
        return np.ones((size, 1))
    drawn = generator.integers(0, levels, (size, levels)) + np.arange(size)[:, None] * levels
    return np.bincount(drawn.ravel(), minlength=size * levels).reshape(size, levels).astype(float)
