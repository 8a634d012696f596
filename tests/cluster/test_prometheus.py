"""What Prometheus is told: names with their units, only what is known, and nothing when it is not wanted."""

from __future__ import annotations

import math
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.prometheus import (
    COMPONENTS,
    FAMILIES,
    INFO,
    MetricsConfig,
    MetricsError,
    RunCollector,
    redis_figures,
    serve_metrics,
)
from cluster.redis_server import PrivateRedis
from cluster.run_folder import RunFolder
from reward_service.client import connect
from reward_service.database import ComparisonDatabase
from tests.machine import free_port

RUN = {"run": "r1", "task": "hopper", "algorithm": "ppo", "labeler": "human"}
METRICS = {"agent_steps": 4096, "steps_per_second": 1250.5, "true_return": math.nan, "labels": 7.0, "labels_due": None}


def component(name: str, **changes: object) -> dict[str, object]:
    told = {"name": name, "state": "at work", "silent_s": 0.5, "restarts": 2, "why": "", "memory_bytes": 2e8}
    return told | changes


def scraped(collector: RunCollector) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples over HTTP, by name and the values of their labels."""
    with serve_metrics(MetricsConfig(port=free_port()), collector) as address:
        text = urllib.request.urlopen(address, timeout=10).read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_what_is_known_is_served_and_what_is_not_is_left_out() -> None:
    parts = [component("Redis"), component("labeling", state="stuck", memory_bytes=None)]
    found = scraped(RunCollector(RUN, lambda: (METRICS, parts), lambda: {"leases": 3, "labels": 99}))
    assert found["twoclips_agent_steps_total"] == {(): 4096.0}
    assert found["twoclips_agent_steps_per_second"] == {(): 1250.5}
    assert found["twoclips_leases"] == {(): 3.0}
    assert found["twoclips_labels"] == {(): 7.0}, "what the run says goes before what Redis says"
    assert not {"twoclips_true_return", "twoclips_labels_due"} & set(found)
    assert found["twoclips_component_up"] == {("Redis",): 1.0, ("labeling",): 0.0}
    assert found["twoclips_component_restarts_total"][("Redis",)] == 2.0
    assert found["twoclips_component_memory_bytes"] == {("Redis",): 2e8}, "nobody knows the other's"
    (labels,) = found["twoclips_run_info"]
    assert {"r1", "hopper"} < set(labels)


def test_before_the_first_update_there_are_no_figures() -> None:
    assert set(scraped(RunCollector(RUN, lambda: ({}, [])))) == {"twoclips_run_info"}


def test_names_are_of_one_form_and_end_with_the_unit() -> None:
    names = [family.name for family in (*FAMILIES, *COMPONENTS, INFO)]
    assert len(set(names)) == len(names)
    for family in (*FAMILIES, *COMPONENTS):
        assert re.fullmatch(r"twoclips_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        for ending, unit in (("_s", "_seconds"), ("_bytes", "_bytes")):
            if family.figure.endswith(ending):
                assert unit in family.name


@pytest.mark.redis
def test_every_figure_is_one_that_a_run_has(finished_run: RunFolder, baseline_run: RunFolder) -> None:
    """A name that nobody writes would be a panel that stays empty."""
    with PrivateRedis(finished_run.path.parent / "counts") as url:
        asked = redis_figures(url, "run")
    in_crowds_only = {"query_age_versions", "queries_withdrawn", "services_restarted"}  # of people, of Ray
    had = set(finished_run.read_metrics()[-1]) | set(baseline_run.read_metrics()[-1]) | set(asked)
    assert {family.figure for family in FAMILIES} - had <= in_crowds_only


@pytest.mark.redis
def test_redis_is_asked_and_may_be_away(tmp_path: Path) -> None:
    private = PrivateRedis(tmp_path)
    with private as url:
        with connect(url) as client:
            ComparisonDatabase(client, "run")
        assert redis_figures(url, "run")["redis_memory_bytes"] > 0
    assert redis_figures(private.url, "run") == {}


def test_a_taken_port_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        serving = serve_metrics(MetricsConfig(port=port), RunCollector(RUN, lambda: ({}, [])))
        with pytest.raises(MetricsError, match="--metrics-port"), serving:
            pass


def test_port_0_serves_nothing() -> None:
    with serve_metrics(MetricsConfig(), RunCollector(RUN, lambda: ({}, []))) as address:
        assert address == ""
    with pytest.raises(ValueError, match=r"metrics\.port"):
        MetricsConfig(port=70000)
