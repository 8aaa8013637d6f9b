"""The Kubernetes and ECS templates build what their workers run: our image, limits, secrets by name and no value."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.workers.base import BaseJobConfiguration
from prefect_aws.workers.ecs_worker import ECSJobConfiguration  # type: ignore[import-untyped]
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration  # type: ignore[import-untyped]

from deployments.config import known, load_environment
from deployments.server import JOB_VARIABLES, worker_template

CONFIGURATIONS: dict[str, type[BaseJobConfiguration]] = {
    "kubernetes": KubernetesWorkerJobConfiguration,
    "ecs": ECSJobConfiguration,
}


def built(kind: str, **values: Any) -> Any:
    """What the worker makes of the template and a deployment's job variables; nothing is asked of a server."""
    client = PrefectClient("http://127.0.0.1:1/api")
    return asyncio.run(CONFIGURATIONS[kind].from_template_and_values(worker_template(kind), values, client=client))


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_every_variable_is_used_and_every_placeholder_is_a_variable(kind: str) -> None:
    template = worker_template(kind)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_a_kubernetes_job_has_image_limits_and_a_secret_by_name() -> None:
    job = built("kubernetes", image="registry.example/hasivu-perf:7", secret_name="staging", env={"EXTRA": "1"})
    pod = job.job_manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/hasivu-perf:7"
    assert container["envFrom"] == [{"secretRef": {"name": "staging"}}]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert job.env["EXTRA"] == "1"
    assert job.env.items() >= JOB_VARIABLES.items()
    assert job.env["HASIVU_PERF_OUTPUT"].startswith("s3://")
    assert "{{" not in json.dumps(job.job_manifest)


def test_an_ecs_task_has_image_limits_and_parameters_by_name() -> None:
    task = built("ecs", image="registry.example/hasivu-perf:7", cpu=4096, memory=8192)
    (container,) = task.task_definition["containerDefinitions"]
    assert container["image"] == "registry.example/hasivu-perf:7"
    assert (task.task_definition["cpu"], task.task_definition["memory"]) == (4096, 8192)
    assert task.env.items() >= JOB_VARIABLES.items()
    assert "{{" not in json.dumps([task.task_definition, task.task_run_request])
    named = {secret["name"]: secret["valueFrom"] for secret in container["secrets"]}
    deployed = [load_environment(name) for name in known() if name != "development"]
    assert set(named) == {name for one in deployed for name in one.variables.model_dump().values()}
    assert all(value == f"/hasivu-perf/{name}" for name, value in named.items())
