"""The dashboard and the alerts ask for nothing that a run does not tell, and leave out nothing that it tells."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cluster.config import LoopConfig
from cluster.prometheus import COMPONENTS, FAMILIES, RunCollector

DEPLOY = Path(__file__).parents[2] / "deploy"
ENV = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "cluster.env").read_text(), re.MULTILINE))
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "twoclips.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]

SCRAPED = {"job", "instance"}  # what Prometheus adds to every sample
ON_COUNTERS, ON_GAUGES = {"rate", "increase"}, {"delta", "max_over_time"}
OPERATORS = {"and", "unless"}
ADDED = '* on (instance) group_left (run) twoclips_run_info{run=~"$run"}'
"""What gives a sample the name of its run, and leaves out those of other runs."""


class Told(NamedTuple):
    kind: str
    labels: set[str]


def told() -> dict[str, Told]:
    """What Prometheus can ask for, by name: from the text that a run which has every figure answers with."""
    figures = {family.figure: 1 for family in FAMILIES}
    component = {
        "name": "labeling",
        "state": "at work",
        **{family.figure: 1 for family in COMPONENTS if family.figure != "up"},
    }
    run = {"run": "r1", "task": "hopper", "algorithm": "ppo", "labeler": "human"}
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunCollector(run, lambda: (figures, [component])))
    found = {
        "up": Told("gauge", SCRAPED),
        "ALERTS": Told("gauge", SCRAPED | {"alertname", "alertstate", "severity"}),
    }
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found[sample.name] = Told(family.type, SCRAPED | set(sample.labels))
    return found


TOLD = told()


class Asked(NamedTuple):
    """What an expression names: metrics, each with the labels that it is chosen by; functions, each with the metric
    that it is applied to; labels that metrics are matched by or given."""

    metrics: list[tuple[str, set[str]]]
    functions: list[tuple[str, str]]
    matching: set[str]


def asked(expression: str) -> Asked:
    """Of the part of the language that we use; raises ValueError for what is not in it."""
    bare = re.sub(r'"[^"]*"', "", expression)
    for opening, closing in ("()", "{}", "[]"):
        if bare.count(opening) != bare.count(closing):
            raise ValueError(f"{opening} without {closing} in {expression}")
    bare = re.sub(r"\[(\d+[smh]|\$__rate_interval)\]", "", bare)
    lists = r"\b(?:on|group_left) \(([^)]*)\)"
    matching = {label for found in re.findall(lists, bare) for label in re.findall(r"\w+", found)}
    words = re.findall(r"([a-zA-Z_:][\w:]*)\s*(\(|\{[^}]*\})?", re.sub(lists, "", bare))
    metrics, functions = [], []
    for (word, follows), (after, _) in itertools.pairwise([*words, ("", "")]):
        if follows == "(" and word not in ON_COUNTERS | ON_GAUGES:
            raise ValueError(f"unknown function {word} in {expression}")
        if follows == "(":
            functions.append((word, after))
        elif word not in OPERATORS:
            metrics.append((word, set(re.findall(r"\w+", follows))))
    return Asked(metrics, functions, matching)


def complaints(expression: str) -> Iterator[str]:
    """What is wrong with it, against what a run tells."""
    metrics, functions, matching = asked(expression)
    if not metrics:
        yield f"{expression} asks for nothing"
    for name, labels in metrics:
        if name not in TOLD:
            yield f"no metric {name}"
        elif labels - TOLD[name].labels:
            yield f"{name} has no label {labels - TOLD[name].labels}"
    for function, name in functions:
        wanted = "counter" if function in ON_COUNTERS else "gauge"
        if name in TOLD and TOLD[name].kind != wanted:
            yield f"{function}() is for a {wanted}, which {name} is not"
    if matching - set().union(*(TOLD[name].labels for name, _ in metrics if name in TOLD)):
        yield f"no metric of {expression} has all of {matching}"


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def labels_of(expression: str) -> set[str]:
    """Labels that a sample of it has: of its first metric, and what a match adds."""
    metrics, _, matching = asked(expression)
    return TOLD[metrics[0][0]].labels | matching


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is_and_says_what_it_shows(panel: dict[str, Any]):
    assert [list(complaints(expression)) for expression in expressions(panel)] == [[] for _ in panel["targets"]]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert named
        assert named <= labels_of(target["expr"])
    assert len({target["legendFormat"] for target in panel["targets"]}) == len(panel["targets"])


def test_a_panel_shows_the_chosen_runs_and_says_whose_each_line_is():
    """Runs use an address one after another: chosen by it alone, the one would be shown under the other's name."""
    for panel in PANELS:
        for expression in expressions(panel):
            assert expression.endswith(ADDED) or expression.startswith(("twoclips_run_info", "ALERTS")), expression
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    [(metric, label)] = re.findall(r"^label_values\((\w+), (\w+)\)$", variables["run"]["query"]["query"])
    assert label in TOLD[metric].labels


def test_every_metric_is_shown():
    shown = {name for panel in PANELS for expression in expressions(panel) for name, _ in asked(expression).metrics}
    assert set(TOLD) - shown == {"up"}


def test_panels_lie_in_their_rows_and_not_upon_each_other():
    everything = DASHBOARD["panels"]
    assert (
        len({panel["id"] for panel in everything}) == len({panel["title"] for panel in everything}) == len(everything)
    )
    places = [
        (each["x"], each["y"], each["x"] + each["w"], each["y"] + each["h"])
        for each in (panel["gridPos"] for panel in everything)
    ]
    for left, _, right, _ in places:
        assert 0 <= left < right <= 24
    for (left, top, right, bottom), other in itertools.combinations(places, 2):
        assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
    assert [place[1] for place in places] == sorted(place[1] for place in places)


def test_the_bar_for_clips_is_the_budget():
    [clips] = [panel for panel in PANELS if "twoclips_clips_bytes" in str(expressions(panel))]
    assert clips["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == LoopConfig().clip_budget_mib * 2**20


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]):
    assert list(complaints(rule["expr"])) == []
    assert re.fullmatch(r"([A-Z][a-z]+)+", rule["alert"])
    assert re.fullmatch(r"\d+m", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "remedy"}
    for text in rule["annotations"].values():
        assert text.endswith(".")
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels_of(rule["expr"])
    assert "$labels.instance" in rule["annotations"]["summary"]


def test_each_alert_has_a_name_and_a_test_of_its_own():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(re.findall(r'alertname="(\w+)"', (Path(__file__).parent / "rules_test.yaml").read_text())) == set(names)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("twoclips_agent_steps", "no metric"),  # without its _total
        ("twoclip_labels", "no metric"),
        ('twoclips_labels{run="r1"}', "no label"),
        ('twoclips_component_up{ name =~ "x" } == 0', "no label"),
        ("rate(twoclips_labels[5m])", "for a counter"),
        ("delta(twoclips_agent_steps_total[5m])", "for a gauge"),
        ("twoclips_labels * on (instanc) group_left (run) twoclips_run_info", "no metric of"),
        ("5 > 4", "asks for nothing"),
    ],
)
def test_what_is_wrong_is_noticed(expression: str, complaint: str):
    assert complaint in " ".join(complaints(expression))


@pytest.mark.parametrize("expression", ["rate(twoclips_episodes_total[5m]", "rat(twoclips_episodes_total[5m])"])
def test_what_is_no_expression_is_noticed(expression: str):
    with pytest.raises(ValueError, match=r"without|unknown function"):
        asked(expression)


def test_prometheus_scrapes_the_port_that_runs_are_told_to_serve_and_reads_the_rules():
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    assert [(DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"]] == [True]
    [scraped] = config["scrape_configs"]
    assert {job for rule in RULES for job in re.findall(r'job="(\w+)"', rule["expr"])} == {scraped["job_name"]}
    targets = scraped["static_configs"][0]["targets"]
    assert targets == [f"{host}:{ENV['METRICS_PORT']}" for host in ("127.0.0.1", "head")]
    assert set(re.findall(r"metrics-port (\d+)", (DEPLOY / "README.md").read_text())) == {ENV["METRICS_PORT"]}


def test_compose_mounts_each_file_where_the_others_look_for_it():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert all((DEPLOY / config["file"]).is_file() for config in compose["configs"].values())
    mounted = {
        config["source"]: config["target"]
        for name in ("prometheus", "grafana")
        for config in compose["services"][name]["configs"]
    }
    assert set(mounted) == set(compose["configs"]) - {"redis.conf"}
    assert Path(mounted["prometheus.yaml"]).parent == Path(mounted["rules.yaml"]).parent
    [provider] = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert str(Path(mounted["twoclips.json"]).parent) == provider["options"]["path"]
    [source] = yaml.safe_load((DEPLOY / "grafana" / "datasource.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    grafana = compose["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    [password] = grafana["secrets"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == f"/run/secrets/{password}"
    assert not set(grafana["networks"]) & {"cluster", "published"}
    assert set(grafana["networks"]) < set(compose["services"]["prometheus"]["networks"])


def test_prometheus_itself_accepts_the_files_and_every_alert_fires():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, which Debian's package `prometheus` has")
    config = DEPLOY / "prometheus" / "prometheus.yaml"
    subprocess.run([promtool, "check", "config", config], check=True)
    subprocess.run([promtool, "test", "rules", Path(__file__).parent / "rules_test.yaml"], check=True)
