"""Tests of the manifests: names, labels, ports and paths meet what they are for."""

import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from sinks.http import serve
from sinks.metrics import Metrics
from tests.conftest import REPOSITORY
from tests.unit.deployment import (
    CONFIG,
    KUBERNETES,
    document,
    image_user,
    manifest,
    mounted,
    problems,
    stages,
)
from tests.unit.docs_examples import example, text_of
from tests.unit.test_compose import PARTITIONS

KUSTOMIZATION = document(CONFIG / "kustomization.yaml")
POD: dict[str, Any] = manifest("deployment")["spec"]["template"]
(WORKER,) = POD["spec"]["containers"]
(KERNELS,) = POD["spec"]["initContainers"]
LABELS = POD["metadata"]["labels"]
BY_HAND = ("service-monitor.yaml", "autoscaler.yaml", "secret.example.yaml")
NO_MANIFESTS = ("tierwise.yaml", "prometheus-rule.head.yaml", "prometheus-adapter.values.yaml")


def test_kustomization__has_every_manifest_that_is_not_applied_by_hand() -> None:
    """What it names exists, what it leaves out is explained in the document."""
    named = {Path(name).name for name in KUSTOMIZATION["resources"]}
    assert all((CONFIG / name).exists() for name in KUSTOMIZATION["resources"])
    assert named | {*BY_HAND, *NO_MANIFESTS} == {path.name for path in KUBERNETES.glob("*.yaml")}
    assert all(name in text_of("docs/deployment.md") for name in BY_HAND)


def test_settings__pass_the_check_as_they_are_mounted(tmp_path: Path) -> None:
    """The ConfigMap's files and the Deployment's variables make good settings, with the Secret of the example."""
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    files = {Path(name).name: CONFIG / name for name in generated["files"]}
    (tmp_path / "settings").mkdir()
    secret = tmp_path / "redis-url"
    secret.write_text(manifest("secret.example")["stringData"]["redis-url"], encoding="utf-8")
    environ = {one["name"]: one["value"] for one in WORKER["env"]}
    assert environ["TIERWISE_REDIS__URL_FILE"] == "/run/secrets/tierwise/redis-url"
    environ["TIERWISE_REDIS__URL_FILE"] = str(secret)
    assert problems(mounted(tmp_path / "settings", files), environ) == []


def test_volumes__are_where_the_image_wants_them() -> None:
    """Each mount has its volume and the other way round; settings, secret and kernels are where they are read."""
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    places = {mount["name"]: mount["mountPath"] for mount in WORKER["volumeMounts"]}
    shipped = stages()[-1]
    assert places.keys() == volumes.keys()
    assert places["settings"] == shipped.only("WORKDIR").text
    assert places["kernels"] == shipped.only("VOLUME").text
    assert volumes["settings"]["configMap"]["name"] == KUSTOMIZATION["configMapGenerator"][0]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == manifest("secret.example")["metadata"]["name"]
    (mount,) = KERNELS["volumeMounts"]
    assert mount["name"] == "kernels"
    assert KERNELS["command"][-2:] == [f"{places['kernels']}/.", mount["mountPath"]]


@pytest.mark.parametrize("container", [WORKER, KERNELS], ids=["worker", "kernels"])
def test_containers__have_no_privileges(container: dict[str, Any]) -> None:
    """Nobody is root, gains a right, or writes to the root; each says what it needs."""
    pod = POD["spec"]["securityContext"]
    assert pod["runAsNonRoot"]
    assert (pod["runAsUser"], pod["runAsGroup"]) == image_user()
    assert pod["fsGroup"] == image_user()[1]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert container["image"] == KUSTOMIZATION["images"][0]["name"]


def test_selectors__find_the_pods() -> None:
    """Service, budget, policy, spread and Deployment mean the pods that the Deployment makes."""
    spread = POD["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    selectors = [
        manifest("deployment")["spec"]["selector"]["matchLabels"],
        manifest("service")["spec"]["selector"],
        manifest("disruption-budget")["spec"]["selector"]["matchLabels"],
        manifest("network-policy")["spec"]["podSelector"]["matchLabels"],
        spread,
    ]
    assert all(selector == LABELS for selector in selectors)
    monitor = manifest("service-monitor")["spec"]
    assert monitor["selector"]["matchLabels"] == manifest("service")["metadata"]["labels"]
    assert manifest("service")["metadata"]["labels"][monitor["jobLabel"]] == "tierwise"


def test_ports__are_the_one_that_the_image_serves() -> None:
    """Each name of a port leads to the port that the image exposes."""
    (port,) = WORKER["ports"]
    assert str(port["containerPort"]) == stages()[-1].only("EXPOSE").text
    (served,) = manifest("service")["spec"]["ports"]
    (asked,) = manifest("service-monitor")["spec"]["endpoints"]
    (let_in,) = manifest("network-policy")["spec"]["ingress"][0]["ports"]
    probes = [probe["httpGet"]["port"] for name, probe in WORKER.items() if name.endswith("Probe")]
    assert len(probes) == 3
    assert {served["targetPort"], let_in["port"], *probes} == {port["name"]}
    assert asked["port"] == served["name"]


def test_probes__ask_for_what_is_served() -> None:
    """Each path is answered with yes by a worker that is well; the start and readiness wait for /ready."""
    paths = {name: probe["httpGet"]["path"] for name, probe in WORKER.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live"}
    (asked,) = manifest("service-monitor")["spec"]["endpoints"]
    server = serve("127.0.0.1", 0, CollectorRegistry(), live=lambda: True, ready=lambda: True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in {*paths.values(), asked["path"]}:
        with opener.open(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            assert answer.status == 200
    server.close()


def test_autoscaler__follows_a_metric_up_to_the_partitions() -> None:
    """It scales the Deployment by a metric that workers serve and the adapter hands on."""
    spec = manifest("autoscaler")["spec"]
    deployment = manifest("deployment")
    target = spec["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert spec["minReplicas"] == deployment["spec"]["replicas"] == 2
    assert spec["maxReplicas"] == PARTITIONS
    name = spec["metrics"][0]["external"]["metric"]["name"]
    assert name in {family.name for family in Metrics("tierwise").registry.collect()}
    (rule,) = manifest("prometheus-adapter.values")["rules"]["external"]
    assert f'__name__="{name}"' in rule["seriesQuery"]


def test_alerts__become_a_rule_of_the_operator_unchanged() -> None:
    """The documented command joins head and rules into a PrometheusRule with exactly the alerts that are tested."""
    command = example("docs/deployment.md", "rule").replace("kubectl apply -f -", "cat")
    made = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    rule = yaml.safe_load(made.stdout)
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == document(CONFIG / "alerts" / "tierwise.rules.yaml")


def test_document__names_files_that_are_there() -> None:
    """The table of the document lists what is in the folder."""
    rows = re.findall(r"^\| `([\w.-]+\.yaml)` \|", text_of("docs/deployment.md"), re.M)
    assert set(rows) == {Path(name).name for name in KUSTOMIZATION["resources"]} | set(BY_HAND[:2])
