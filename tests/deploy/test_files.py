"""The files of deploy/ say what Ray and Kubernetes accept, agree with each other, and publish and disclose nothing."""

from __future__ import annotations

import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent
CLUSTERS = ["local.yaml", "aws.yaml", "gcp.yaml"]
ENV = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "cluster.env").read_text(), re.MULTILINE))
OBJECTS: list[dict[str, Any]] = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]


def cluster(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / name).read_text())


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in OBJECTS if document["kind"] == kind]


def pods() -> list[dict[str, Any]]:
    """Pod templates of all objects, Ray's included."""
    [ray] = of_kind("RayCluster")
    groups = [ray["spec"]["headGroupSpec"], *ray["spec"]["workerGroupSpecs"]]
    return [each["spec"]["template"]["spec"] for each in (*of_kind("Deployment"), *of_kind("StatefulSet"))] + [
        group["template"]["spec"] for group in groups
    ]


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["containers"]]


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_the_file(name: str):
    validate_config(prepare_config(cluster(name)))


def test_rays_validation_notices_a_typing_error():
    wrong = cluster("aws.yaml")
    wrong["max_worker"] = wrong.pop("max_workers")
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(wrong))


@pytest.mark.parametrize("name", CLUSTERS)
def test_nothing_is_left_to_rays_defaults_which_may_install_another_ray(name: str):
    config = cluster(name)
    commands = [f"{step}_commands" for step in ("setup", "head_setup", "worker_setup")]
    commands += ["head_start_ray_commands", "worker_start_ray_commands"]
    prepared = prepare_config(copy.deepcopy(config))
    for key in commands:
        assert key in config
        said = prepared[key]
        assert "pip" not in str(said)
        assert all("~/twoclips/" in command for command in said)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert ".venv" in config["rsync_exclude"]


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_a_cloud_has_one_gpu_for_the_head_and_workers_that_may_be_taken_away(name: str):
    config = cluster(name)
    head, worker = (config["available_node_types"][kind] for kind in (config["head_node_type"], "rollout"))
    assert worker["min_workers"] == 0 < worker["max_workers"]
    assert "InstanceMarketOptions" in worker["node_config"] or worker["node_config"]["scheduling"]["preemptible"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert not head["node_config"].get("scheduling", {}).get("preemptible")


def test_every_command_that_a_cluster_file_calls_is_one_of_the_script():
    script = (DEPLOY / "node.sh").read_text()
    for name in CLUSTERS:
        for command in re.findall(r"node\.sh (\S+)", "\n".join(str(v) for v in cluster(name).values())):
            assert re.search(rf"^{re.escape(command.strip(chr(39) + ',]'))}\)", script, re.MULTILINE), command


def test_the_script_without_a_command_says_what_there_is():
    done = subprocess.run([DEPLOY / "node.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for command in ("setup", "head", "worker", "run COMMAND", "stop-redis"):
        assert command in done.stderr


def test_versions_are_those_of_the_lock():
    lock = dict(re.findall(r"^([\w.-]+)==(.+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert f"ray[default]=={lock['ray']}" in (DEPLOY / "requirements.txt").read_text()
    assert of_kind("RayCluster")[0]["spec"]["rayVersion"] == lock["ray"]
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{ENV["IMAGE"].partition(":")[2]}"' in project
    assert {container["image"] for container in containers()} == {ENV["IMAGE"]}
    assert ENV["PYTHON_VERSION"] in (DEPLOY / "Dockerfile").read_text()


def test_ports_are_those_of_the_one_place_for_them():
    [ray] = of_kind("RayCluster")
    head = ray["spec"]["headGroupSpec"]["rayStartParams"]
    assert (head["port"], head["dashboard-port"]) == (ENV["RAY_PORT"], ENV["DASHBOARD_PORT"])
    opened = {port["name"]: str(port["containerPort"]) for each in containers() for port in each.get("ports", [])}
    assert opened == {
        "redis": ENV["REDIS_PORT"],
        "gcs-server": ENV["RAY_PORT"],
        "dashboard": ENV["DASHBOARD_PORT"],
        "http": ENV["PAGES_PORT"],
    }
    ports = {ENV[name] for name in ("RAY_PORT", "DASHBOARD_PORT", "REDIS_PORT", "PAGES_PORT")}
    for policy in of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert {str(port["port"]) for port in rule.get("ports", [])} <= ports
    text = "\n".join(path.read_text() for path in (DEPLOY / "kubernetes").glob("*.yaml"))
    assert set(re.findall(r"redis:(\d+)", text)) == set(re.findall(r"--port (\d+)", text)) == {ENV["REDIS_PORT"]}
    assert ENV["REDIS_PORT"] != "6379"  # which is Ray's


def test_kubernetes_publishes_the_pages_alone_and_with_tls():
    assert {service["spec"].get("type", "ClusterIP") for service in of_kind("Service")} == {"ClusterIP"}
    [ingress] = of_kind("Ingress")
    hosts = [rule["host"] for rule in ingress["spec"]["rules"]]
    assert [host for tls in ingress["spec"]["tls"] for host in tls["hosts"]] == hosts
    backends = [
        path["backend"]["service"]["name"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    assert backends == ["pages"]
    assert all(host in str(of_kind("Deployment")) for host in hosts)  # and the server answers to that name
    everybody = [policy for policy in of_kind("NetworkPolicy") if policy["spec"]["podSelector"] == {}]
    assert [policy["spec"].get("ingress", []) for policy in everybody] == [[]]


def test_kubernetes_has_the_token_on_and_no_privileges():
    assert of_kind("RayCluster")[0]["spec"]["authOptions"] == {"mode": "token"}
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 1000
    for container in containers():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    shm = [volume for pod in pods() for volume in pod.get("volumes", []) if volume["name"] == "shm"]
    assert [volume["emptyDir"]["medium"] for volume in shm] == ["Memory", "Memory"]


def test_secrets_are_named_and_never_told():
    assert not of_kind("Secret")
    for container in containers():
        for variable in container.get("env", []):
            if "PASSWORD" in variable["name"]:
                assert set(variable["valueFrom"]["secretKeyRef"]) == {"name", "key"}
        assert "PASSWORD" not in str(container.get("command", [])) + str(container.get("args", []))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    roles = ("driver", "reward", "pages", "admin", "grafana")
    made = {"ray_token", "users.acl", *(f"{role}.password" for role in roles)}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} <= made
    ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/secrets/ray_token"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_compose_publishes_what_people_look_at_alone_and_on_loopback():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {
        "pages": ["127.0.0.1:${PAGES_PORT}:${PAGES_PORT}"],
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT}:3000"],
    }
    assert compose["networks"]["cluster"]["internal"]
    others = {"prometheus": "${PROMETHEUS_IMAGE}", "grafana": "${GRAFANA_IMAGE}"}
    for name, service in compose["services"].items():
        assert service["image"] == others.get(name, "${IMAGE}")
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert used <= {*ENV, "RUN_ID", "TASK", "PAGES_NAME"}


def test_the_image_is_built_of_what_there_is_and_runs_as_nobody_special():
    text = (DEPLOY / "Dockerfile").read_text()
    sources = [name for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in sources)
    assert {"actors", "cluster", "labeling", "learners", "reward_service"} <= set(sources)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) <= allowed
    assert text.count("\nFROM ") == 2
    assert re.search(r"^USER 1000$", text, re.MULTILINE)


def test_secrets_are_made_once_and_can_be_read_by_their_owner_alone(secrets: Path):
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    done = subprocess.run([DEPLOY / "secrets.sh", secrets], capture_output=True, text=True, check=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert done.stdout + done.stderr == ""
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in secrets.iterdir())
    passwords = {text for name, text in before.items() if name.endswith(".password")}
    assert len(passwords) == 5
    assert all(re.fullmatch(r"[0-9a-f]{64}", password) for password in passwords)
    assert not any(password in before["users.acl"] for password in passwords)


def test_kubernetes_accepts_its_own_kinds():
    """Against Kubernetes' own schemas, where the package that has them is installed; KubeRay's kinds are not among
    them."""
    validator = pytest.importorskip("kubernetes_validate", reason="needs the package kubernetes-validate")
    for document in OBJECTS:
        if not document["apiVersion"].startswith(("ray.io", "kustomize")):
            validator.validate(document, "1.34", strict=True)
