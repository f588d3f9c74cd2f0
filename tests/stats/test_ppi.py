"""Few ratings and many scores: right whatever the judge does, and shorter where the judge is good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mindgap.stats.ppi import Anchored, anchored_mean, tuned_power

TRUTH = 3.0


@dataclass(frozen=True)
class Judge:
    """slope: of scores over what people say. of_query, noise: standard deviations of what the judge makes up."""

    slope: float
    bias: float
    of_query: float
    noise: float

    def score(self, people: np.ndarray, query: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        own = rng.normal(0, self.of_query, query.max() + 1)[query]
        return TRUTH + self.slope * (people - TRUTH) + self.bias + own + rng.normal(0, self.noise, len(people))


GOOD = Judge(slope=1, bias=0.8, of_query=0.2, noise=0.3)
MIDDLING = Judge(slope=0.6, bias=-0.8, of_query=0.2, noise=0.8)
USELESS = Judge(slope=0, bias=0.8, of_query=0, noise=1)


def study(judge: Judge, rated: int, rng: np.random.Generator, effects: tuple[float, float, float]) -> Anchored:
    """10 queries and 20 items, of which `rated` places are rated, spread over queries."""
    queries, items = 10, 20
    query, item = np.repeat(np.arange(queries), items), np.tile(np.arange(items), queries)
    of_query, of_item, rest = effects
    people = (
        TRUTH
        + rng.normal(0, of_query, queries)[query]
        + rng.normal(0, of_item, items)[item]
        + rng.normal(0, rest, len(query))
    )
    position = np.concatenate([(rng.permutation(items) + rng.random()) / items for _ in range(queries)])
    seen = np.where(np.argsort(np.argsort(position)) < rated, people, np.nan)
    return anchored_mean(seen, judge.score(people, query, rng), query, item, resamples=50)


@pytest.mark.parametrize("rated", [20, 60])
@pytest.mark.parametrize("effects", [(0.5, 0.3, 0.8), (0, 0, 1)])
@pytest.mark.parametrize(("judge", "most"), [(GOOD, 0.93), (MIDDLING, 1.0), (USELESS, 1.06)])
def test_intervals_cover_whatever_the_judge_does(
    rated: int, effects: tuple[float, float, float], judge: Judge, most: float
) -> None:
    rng = np.random.default_rng([rated, int(10 * judge.slope)])
    studies = [study(judge, rated, rng, effects) for _ in range(150)]

    def covered(kind: str) -> float:
        return np.mean([(e := getattr(study, kind)).low <= TRUTH <= e.high for study in studies])

    def width(kind: str) -> float:
        return np.mean([(e := getattr(study, kind)).high - e.low for study in studies])

    assert covered("anchored") >= 0.91  # 95 % but for 2 standard errors of 150 studies
    assert covered("judge") < 0.6
    assert abs(np.mean([study.anchored.value for study in studies]) - TRUTH) < 0.1
    assert width("anchored") < most * width("people")


def test_a_judge_that_agrees_with_people_gives_the_judges_mean() -> None:
    rng = np.random.default_rng(0)
    query, item = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    judge = rng.integers(1, 6, 48).astype(float)
    people = np.where(rng.random(48) < 0.4, judge - 0.5, np.nan)
    means = anchored_mean(people, judge, query, item)
    assert means.power == pytest.approx(1)
    assert means.anchored.value == pytest.approx(judge.mean() - 0.5)


def test_a_judge_that_never_varies_leaves_people_alone() -> None:
    query, item = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    people = np.where(np.arange(48) % 3 == 0, np.arange(48) % 5 + 1.0, np.nan)
    means = anchored_mean(people, np.full(48, 4.0), query, item)
    assert means.power == 0
    assert means.anchored.value == pytest.approx(means.people.value)


def test_everything_rated_gives_what_people_say() -> None:
    rng = np.random.default_rng(1)
    query, item = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    people = rng.normal(3, 1, 48)
    means = anchored_mean(people, people + rng.normal(0, 1, 48), query, item)
    assert means.anchored.value == pytest.approx(people.mean())
    assert means.anchored.low == pytest.approx(means.people.low, abs=0.1)


def test_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    query, item = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    judge = rng.normal(3, 1, 48)
    people = np.where(rng.random(48) < 0.4, judge + rng.normal(0, 0.5, 48), np.nan)
    shuffled = rng.permutation(48)
    study = anchored_mean(people, judge, query, item).anchored
    other = anchored_mean(people[shuffled], judge[shuffled], query[shuffled], item[shuffled]).anchored
    assert (study.value, study.low, study.high) == pytest.approx((other.value, other.low, other.high))


def test_what_the_judge_could_not_score_is_counted_and_left_out() -> None:
    query, item = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    judge = np.arange(20) % 5 + 1.0
    people = np.where(np.arange(20) % 2 == 0, judge, np.nan)
    judge[:3] = np.nan
    means = anchored_mean(people, judge, query, item)
    assert (means.anchored.missing, means.anchored.n, means.ratings) == (3, 8, 8)
    assert means.people.n == 10


@pytest.mark.parametrize("rated", [0, 1, 3])
def test_too_few_ratings_give_no_interval_and_say_so(rated: int) -> None:
    query, item = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    people = np.full(20, np.nan)
    people[:rated] = [2, 4, 5][:rated]
    means = anchored_mean(people, np.arange(20) % 5 + 1.0, query, item).anchored
    assert means.low is None and means.note
    assert (means.value is None) == (rated == 0)


def test_perfect_agreement_in_few_ratings_is_not_taken_for_a_law() -> None:
    query, item = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    judge = np.arange(48) % 5 + 1.0
    widths = []
    for every in (12, 6, 2):
        people = np.where(np.arange(48) % every == 0, judge, np.nan)
        means = anchored_mean(people, judge, query, item, power=1, bounds=(1, 5))
        assert means.anchored.low < means.judge.low and means.anchored.high > means.judge.high
        assert "off by the same" in means.anchored.note
        widths.append(means.anchored.high - means.anchored.low)
    assert widths == sorted(widths, reverse=True)
    assert anchored_mean(people, judge, query, item, power=1).anchored.low is None


def test_values_stay_on_the_scale() -> None:
    query, item = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    judge = np.where(np.arange(20) % 3, 5.0, 4.0)
    people = np.where(np.arange(20) % 2 == 0, judge, np.nan)
    means = anchored_mean(people, judge, query, item, bounds=(1, 5)).anchored
    assert means.high is None or means.high <= 5


def test_power_ignores_what_sets_cells_apart() -> None:
    scores = np.array([1.0, 2, 3, 4])
    assert tuned_power([(scores, scores), (scores, scores + 10)]) == pytest.approx(1)
    assert tuned_power([(scores, -scores)]) == 0
    assert tuned_power([(np.full(4, np.nan), scores)]) == 0
