"""deploy/aws.yaml against a mock of AWS: what Ray would ask for, it is given. Needs the packages moto[ec2,iam] and
boto3, which are no dependency of ours."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # read when moto is imported
moto = pytest.importorskip("moto", reason="needs the package moto[ec2,iam]")
boto3 = pytest.importorskip("boto3", reason="needs the package boto3")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

FILE = Path(__file__).parents[2] / "deploy" / "aws.yaml"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The shipped file with its marked line filled in, as Ray completes it: network, role, key, security group."""
    from ray.autoscaler._private.commands import _bootstrap_config

    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    with pytest.MonkeyPatch.context() as environment, moto.mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            environment.setenv(name, "mock")
        environment.setenv("HOME", str(home))  # where Ray puts the private key that it makes
        ec2 = boto3.client("ec2", region_name="us-west-2")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        shipped = yaml.safe_load(FILE.read_text().replace("ami-00000000000000000", image))
        shipped["file_mounts"] = {"~/twoclips": str(FILE.parent)}  # no token was made here
        yield _bootstrap_config(copy.deepcopy(shipped), no_config_cache=True)


def test_the_head_has_a_gpu_and_the_workers_are_spot_instances(config: dict[str, Any]):
    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
    types = config["available_node_types"]
    for kind, name in (("head", "head"), ("worker", "rollout")):
        provider.create_node(
            copy.deepcopy(types[name]["node_config"]),
            {
                "ray-node-type": kind,
                "ray-user-node-type": name,
                "ray-node-name": f"ray-twoclips-{kind}",
                "ray-launch-config": name,
            },
            1,  # the mock gives the least of what is asked for, which Ray always says is one
        )
    instances = [
        instance
        for reservation in boto3.client("ec2", region_name="us-west-2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    assert sorted(i["InstanceType"] for i in instances) == ["c7i.2xlarge", "g6.2xlarge"]
    assert {i["InstanceType"] for i in instances if i.get("InstanceLifecycle") == "spot"} == {"c7i.2xlarge"}
    assert {group["GroupName"] for i in instances for group in i["SecurityGroups"]} == {"twoclips"}
    assert len(provider.non_terminated_nodes({})) == 2


def test_only_ssh_is_open_to_the_world(config: dict[str, Any]):
    del config  # it is what was made while this was completed
    groups = boto3.client("ec2", region_name="us-west-2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["twoclips"]}]
    )["SecurityGroups"]
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    world = [rule for rule in rules if any(ip["CidrIp"] == "0.0.0.0/0" for ip in rule.get("IpRanges", []))]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in world] == [(22, 22)]
    assert len(rules) > len(world)
