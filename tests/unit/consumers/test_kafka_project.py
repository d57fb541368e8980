"""Which lanes a member of the project group folds; no broker is asked."""

from __future__ import annotations

import pytest

from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.lanes import KafkaProject
from journey.database import Database
from projections.runner import Runner
from tests.support.builders import the_meaning


@pytest.fixture
def project() -> KafkaProject:
    """A member that has not joined."""
    runner = Runner(Database("postgresql://nowhere", "journey"), the_meaning(), lanes=5)
    return KafkaProject(runner, Cluster(("nowhere:9092",)))


def test_before_it_is_given_any_it_takes_all(project: KafkaProject) -> None:
    """So that projecting waits for no broker; the lane's row keeps it from the others'."""
    assert list(project.runner.lanes_of_mine(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("partitions", "count", "lanes"),
    [({0}, 3, [0, 3]), ({1, 2}, 3, [1, 2, 4]), ({4}, 5, [4]), ({7}, 12, []), (set(), 3, [])],
)
def test_lane_and_partition_of_one_number_go_together(
    project: KafkaProject, partitions: set[int], count: int, lanes: list[int]
) -> None:
    """Counted round where there are more lanes; with fewer some partitions bring none."""
    project._partitions, project._partition_count = frozenset(partitions), count
    assert project.runner.lanes_of_mine(5) == lanes
