"""What a run says of itself to Prometheus, on an address of its own: GET /metrics.

Every number is one that status.json has, too, or that Redis was just asked for; the name ends with its unit. FAMILIES,
COMPONENTS and INFO are the complete list. A figure that the run has not got yet, or that Redis does not give, is left
out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, NamedTuple

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector

from actors.failures import Failure
from reward_service.client import connect
from reward_service.database import ComparisonDatabase

Figures = Mapping[str, Any]


class MetricsError(Failure, RuntimeError):
    """The metrics cannot be served; the message says what to do."""


@dataclass(frozen=True)
class MetricsConfig:
    """host  address of this machine on which Prometheus finds the run's metrics. They hold no secret and ask for no
          password: all but loopback addresses belong on a private network
    port  of the metrics; 0: they are not served
    """

    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"metrics.port must be from 0 (not served) to 65535, got {self.port}")


class Family(NamedTuple):
    """One metric: the figure's name in metrics.jsonl, its name here, how it moves, what it is."""

    figure: str
    name: str
    kind: Literal["counter", "gauge"]
    help: str


FAMILIES = (
    # acting
    Family("agent_steps", "twoclips_agent_steps_total", "counter", "Agent steps learned from"),
    Family("environment_steps", "twoclips_environment_steps_total", "counter", "The same, with those of the warm-up"),
    Family("steps_per_second", "twoclips_agent_steps_per_second", "gauge", "Agent steps a second, over all the run"),
    Family("episodes", "twoclips_episodes_total", "counter", "Finished episodes of full length"),
    Family("true_return", "twoclips_true_return", "gauge", "Mean true return of the last 20 episodes"),
    Family("predicted_return", "twoclips_predicted_return", "gauge", "Mean predicted return of the same"),
    Family("gather_wait_s", "twoclips_gather_wait_seconds", "gauge", "Wait for rollouts in the last update"),
    Family("workers", "twoclips_rollout_workers", "gauge", "Rollout workers that the last update learned from"),
    Family("workers_replaced", "twoclips_workers_replaced_total", "counter", "Rollout workers that were replaced"),
    # learning
    Family("policy_version", "twoclips_policy_version", "gauge", "Policy updates so far"),
    Family("policy_lag", "twoclips_policy_lag_versions", "gauge", "Age of the rollouts in the last update"),
    Family(
        "relabel_s",
        "twoclips_relabel_seconds",
        "gauge",
        "Time for predicted rewards in the last update; on a GPU, until asked for",
    ),
    Family(
        "learn_s",
        "twoclips_learn_seconds",
        "gauge",
        "Time for the policy's gradient in the last update; on a GPU, rewards too",
    ),
    Family("kl", "twoclips_policy_kl_nats", "gauge", "How far the last update moved the policy"),
    Family("entropy", "twoclips_policy_entropy_nats", "gauge", "How random the policy is"),
    Family("explained_variance", "twoclips_value_explained_variance_ratio", "gauge", "How much the critic explains"),
    Family("wall_s", "twoclips_run_seconds_total", "counter", "Time spent on the run, earlier parts included"),
    # labeling
    Family("labels", "twoclips_labels", "gauge", "Labels that count now"),
    Family("labels_due", "twoclips_labels_due", "gauge", "Labels that the schedule wants by now"),
    Family("queries_open", "twoclips_queries_open", "gauge", "Queries that lack an answer"),
    Family(
        "query_age_versions", "twoclips_query_age_versions", "gauge", "Mean age of those that wait, in reward versions"
    ),
    Family("queries_withdrawn", "twoclips_queries_withdrawn_total", "counter", "Queries withdrawn as stale"),
    Family("queries_refused", "twoclips_queries_refused_total", "counter", "Queries refused for want of their clips"),
    # the reward model
    Family("reward_version", "twoclips_reward_version", "gauge", "Newest snapshot that the learner uses"),
    Family("num_labels", "twoclips_reward_fitted_labels", "gauge", "Labels that the reward model was fitted to"),
    Family("gradient_steps", "twoclips_reward_gradient_steps_total", "counter", "Gradient steps of the reward model"),
    Family("train_loss", "twoclips_reward_train_loss_nats", "gauge", "Reward loss on what it is fitted to"),
    Family("validation_loss", "twoclips_reward_validation_loss_nats", "gauge", "Reward loss on what is held out"),
    Family("validation_accuracy", "twoclips_reward_validation_accuracy_ratio", "gauge", "Answers foreseen, held out"),
    Family("segment_correlation", "twoclips_reward_correlation_ratio", "gauge", "Predicted against true, by segment"),
    Family("services_restarted", "twoclips_services_restarted_total", "counter", "Services that were started again"),
    # Redis
    Family("redis_failures", "twoclips_redis_failures_total", "counter", "Times that Redis did not answer the run"),
    Family("redis_memory_bytes", "twoclips_redis_memory_bytes", "gauge", "Memory that Redis uses"),
    Family("clip_bytes", "twoclips_clips_bytes", "gauge", "Size of the clips in Redis"),
    Family(
        "clips_dropped", "twoclips_clips_dropped_total", "counter", "Clips dropped for newer ones, none asked about"
    ),
    Family("clips_refused", "twoclips_clips_refused_total", "counter", "Clips refused, since the store was full"),
    Family("queries_waiting", "twoclips_queries_waiting", "gauge", "Queries that nobody holds"),
    Family("leases", "twoclips_leases", "gauge", "Queries that a labeler holds"),
    Family("labels_surplus", "twoclips_labels_surplus", "gauge", "Labels beyond what their query asked for"),
    Family("leases_expired", "twoclips_leases_expired_total", "counter", "Leases that ran out unanswered"),
)

COMPONENTS = (
    Family("up", "twoclips_component_up", "gauge", "1 where the component is at work"),
    Family("silent_s", "twoclips_component_silence_seconds", "gauge", "Time since its last sign of life"),
    Family("restarts", "twoclips_component_restarts_total", "counter", "How often it was started again"),
    Family("memory_bytes", "twoclips_component_memory_bytes", "gauge", "Its memory, where it is on this machine"),
)
"""Each has one sample for each component, under the label of that name."""

INFO = Family("", "twoclips_run_info", "gauge", "1; what runs is in its labels")


class RunCollector(Collector):
    """Collects when Prometheus asks. `latest` gives the run's figures and what is known of its components, as
    status.json has them; `ask_redis` the figures of Redis, {} where it is not to be had."""

    def __init__(
        self,
        run: Mapping[str, str],
        latest: Callable[[], tuple[Figures, list[dict[str, Any]]]],
        ask_redis: Callable[[], Figures] = dict,
    ) -> None:
        """`run`: the labels of INFO beside the versions."""
        self._run, self._latest, self._ask_redis = run, latest, ask_redis

    def collect(self) -> Iterator[Metric]:
        metrics, components = self._latest()
        info = {**self._run, **versions()}
        yield _metric(INFO, {tuple(info.values()): 1.0}, list(info))
        figures = {**self._ask_redis(), **metrics}  # what both have, the run means
        for family in FAMILIES:
            value = figures.get(family.figure)
            if isinstance(value, int | float) and value == value:
                yield _metric(family, {(): float(value)})
        for family in COMPONENTS:
            yield _metric(family, {(each["name"],): _of(each, family.figure) for each in components}, ["component"])


def versions() -> dict[str, str]:
    """Of ourselves and of what a run stands on."""
    found: dict[str, str] = {}
    for package in ("twoclips", "ray", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@contextlib.contextmanager
def serve_metrics(config: MetricsConfig, collector: RunCollector) -> Generator[str]:
    """Serve them on a thread; the address, or "" where they are not wanted. Raises MetricsError."""
    if not config.port:
        yield ""
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    try:
        server, thread = start_http_server(config.port, config.host, registry)
    except OSError as error:
        raise MetricsError(
            f"metrics cannot be served on {config.host}:{config.port} ({error.strerror or error}): name a "
            "free port with --metrics-port"
        ) from error
    try:
        yield f"http://{config.host}:{config.port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def redis_figures(url: str, run_id: str) -> dict[str, float]:
    """Of the run's Redis, asked now; {} where it does not answer or does not let us ask."""
    client: Any = connect(url)
    try:
        database = ComparisonDatabase(client, run_id)
        return {**database.counts(), "redis_memory_bytes": client.info("memory")["used_memory"]}
    except redis.RedisError:
        return {}
    finally:
        client.close()


def _of(component: Figures, figure: str) -> float | None:
    return float(component["state"] == "at work") if figure == "up" else component[figure]


def _metric(family: Family, samples: Mapping[tuple[str, ...], float | None], labels: list[str] | None = None) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=labels or [])
    for values, value in samples.items():
        if value is not None:
            metric.add_metric(values, value)
    return metric
