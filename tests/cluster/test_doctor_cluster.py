"""The doctor of a cluster: each check on answers that are known, and all of them on a Ray of this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.doctor_cluster import (
    Answer,
    clocks,
    enough,
    examine_cluster,
    keeps_labels,
    probe,
    reached,
    same_versions,
    versions,
)

FINE = Answer("10.0.0.2", versions(), ahead_s=0.1, error_s=0.05, redis="", is_here=True)


def test_a_node_with_other_code_fails_by_name():
    other = replace(FINE, node="10.0.0.3", versions={**versions(), "ray": "2.54.0"})
    check = same_versions([FINE, other])
    assert check.status == "fail"
    assert "10.0.0.3 has ray 2.54.0" in check.detail
    assert same_versions([FINE]).status == "ok"


def test_a_clock_that_is_off_is_told_unless_the_way_there_explains_it():
    assert clocks([FINE]).status == "ok"
    check = clocks([FINE, replace(FINE, node="10.0.0.3", ahead_s=-7.0)])
    assert (check.status, check.detail) == ("warn", "differ: 10.0.0.3 by -7.0 s")
    assert clocks([replace(FINE, ahead_s=3.0, error_s=2.5)]).status == "ok"


def test_what_is_missing_is_told_in_numbers():
    check = enough("CPU", 6.0, 16)
    assert (check.status, check.detail) == ("fail", "6 in the cluster, 16 needed: 10 missing")
    assert "--workers to 6" in check.remedy
    assert enough("GPU", 0, 1).status == "fail"
    assert enough("GPU", 0, 0).status == "ok"


def test_a_node_that_does_not_reach_redis_is_told_by_name_and_fails_only_where_a_run_is_started():
    assert reached([FINE]).status == "ok"
    away = replace(FINE, node="10.0.0.3", redis="Redis cannot be reached", is_here=False)
    check = reached([FINE, away])
    assert (check.status, check.detail) == ("warn", "not from 10.0.0.3: Redis cannot be reached")
    assert "loop.reward_node" in check.remedy
    check = reached([replace(FINE, redis="Redis cannot be reached"), away])
    assert (check.status, check.detail) == ("fail", "not from 10.0.0.2, 10.0.0.3: Redis cannot be reached")
    assert "on which the run is started" in check.remedy


@pytest.mark.redis
def test_a_redis_that_would_lose_labels_is_told(redis_url: str, tmp_path):
    assert keeps_labels(redis_url).status == "ok"
    check = keeps_labels(f"unix://{tmp_path}/none.sock")
    assert check.status == "fail"
    assert "check that it runs" in check.remedy
    assert "cannot be reached" in probe(f"unix://{tmp_path}/none.sock")[2]


def test_a_cluster_that_is_not_there_fails_with_a_remedy():
    [check] = examine_cluster("127.0.0.1:1", 1, 0, "")
    assert (check.name, check.status) == ("cluster", "fail")
    assert "refused" in check.detail
    assert "token" in check.remedy
