"""deploy/kubernetes: what kustomize builds fits the published schemas, and what the manifests say fits the code."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.deploy.manifests import KUBERNETES, Manifest, keda_metadata, manifests, named, write_schemas
from integration_tests.deploy.tools import NEEDS_GO, run, tool
from worker import app, serve_app
from worker.config import Grpc, Guarantee, Http, ServeHttp
from worker.slot import AUTO

OVERLAYS = ("dev", "production")
OLDEST, NEWEST = "1.33.0", "1.37.0"


def base(name: str) -> list[Manifest]:
    """The objects of one file of the base."""
    return manifests((KUBERNETES / "base" / f"{name}.yaml").read_text("utf-8"))


def pod_of(workload: Manifest) -> Manifest:
    """The specification of its pods."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


WORKER, SERVE = named(base("worker"), "StatefulSet"), named(base("serve"), "Deployment")
POD, CONTAINER = pod_of(WORKER), pod_of(WORKER)["containers"][0]


# --- what the manifests say, beside the code; in `make test` ---------------------------------------------------


def test_a_worker_has_the_time_it_takes_to_drain() -> None:
    """SIGKILL comes after the drain and the goodbye, not in the midst of them."""
    assert POD["terminationGracePeriodSeconds"] > Guarantee().drain_timeout + app._LEAVE_SECONDS  # noqa: SLF001 - the number itself


def test_a_server_has_the_time_it_takes_to_stop() -> None:
    """The lame duck that is set there, the grace, and the goodbye."""
    pod = pod_of(SERVE)
    (lame_duck,) = [float(item["value"]) for item in pod["containers"][0]["env"] if item["name"] == "CLF_LAME_DUCK"]
    assert pod["terminationGracePeriodSeconds"] > lame_duck + Grpc().grace + serve_app._LEAVE_SECONDS  # noqa: SLF001 - as above


def test_one_at_a_time_with_a_look_at_each() -> None:
    """Five minutes for each worker, which has the ordinal as its slot, and at most one on a host."""
    spec = WORKER["spec"]
    assert (spec["updateStrategy"]["type"], spec["minReadySeconds"]) == ("RollingUpdate", 300)
    assert "replicas" not in spec, "what scales it would be overruled"
    (slot,) = [item for item in CONTAINER["env"] if item["name"] == "CLF_SLOT"]
    assert slot["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']" != AUTO
    (apart,) = POD["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.parametrize(
    ("workload", "port"), [(WORKER, Http().http_port), (SERVE, ServeHttp().http_port)], ids=["worker", "serve"]
)
def test_probes(workload: Manifest, port: int) -> None:
    """Alive by /status, ready by /ready, on the port that the program takes."""
    container = pod_of(workload)["containers"][0]
    assert {item["name"]: item["containerPort"] for item in container["ports"]}["http"] == port
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/status", "livenessProbe": "/status", "readinessProbe": "/ready"}


@pytest.mark.parametrize("workload", [WORKER, SERVE], ids=["worker", "serve"])
def test_restricted(workload: Manifest) -> None:
    """What the Pod Security Standard `restricted` asks for, and nothing writable but /tmp."""
    pod = pod_of(workload)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # Kubernetes would set variables that begin with CLF_ too.
    assert pod["enableServiceLinks"] is False
    allowed = {
        "configMap",
        "emptyDir",
        "persistentVolumeClaim",
        "secret",
        "projected",
        "downwardAPI",
        "csi",
        "ephemeral",
    }
    assert {kind for volume in pod["volumes"] for kind in volume} - {"name"} <= allowed
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"]  # noqa: S108 - a name in a manifest
        assert "memory" in container["resources"]["limits"]


def test_the_image_is_the_one_that_is_built() -> None:
    """Its user, by number, as runAsNonRoot needs it."""
    text = (KUBERNETES.parent / "docker" / "Dockerfile").read_text("utf-8")
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert POD["securityContext"]["runAsUser"] == int(user)


def test_the_rules_are_those_of_prometheus() -> None:
    """Made of deploy/prometheus/clf.rules.yml; after a change of that run deploy/kubernetes/prometheus_rule.py."""
    (rule,) = manifests((KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml").read_text("utf-8"))
    rules = (KUBERNETES.parent / "prometheus" / "clf.rules.yml").read_text("utf-8")
    assert rule["spec"] == yaml.safe_load(rules)


# --- built by kustomize, and held against the schemas; in `make deploy-check` ----------------------------------


@cache
def built(overlay: str) -> list[Manifest]:
    """What `kubectl apply -k` would apply."""
    return manifests(run([tool("kustomize"), "build", str(KUBERNETES / "overlays" / overlay)]))


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schemas of each version."""
    directory = tmp_path_factory.mktemp("schemas")
    for version in (OLDEST, NEWEST):
        (directory / version).mkdir()
        write_schemas(directory / version, built("dev") + built("production"), version)
    return directory


def conform(found: list[Manifest], schemas: Path, version: str = NEWEST) -> str:
    """What kubeconform says of manifests; empty when they fit."""
    location = f"{schemas / version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [tool("kubeconform"), "-strict", "-schema-location", location, "-"]
    try:
        return run(command, yaml.safe_dump_all(found))
    except AssertionError as error:
        return str(error)


@NEEDS_GO
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_schemas(schemas: Path, overlay: str, version: str) -> None:
    """Every object of every overlay fits, strictly, what Kubernetes, the operator and KEDA publish."""
    assert conform(built(overlay), schemas, version) == ""


WRONG: dict[str, tuple[str, Any]] = {
    "a misspelt field": ("StatefulSet", lambda o: o["spec"].update(minReadySecond=300)),
    "a misspelt field deep inside": ("StatefulSet", lambda o: pod_of(o)["containers"][0].update(readynessProbe={})),
    "a wrong type": ("StatefulSet", lambda o: o["spec"].update(minReadySeconds="300s")),
    "a missing field": ("Deployment", lambda o: o["spec"].pop("selector")),
    "a word that is none of the allowed": ("Service", lambda o: o["spec"].update(clusterIP=1)),
    "no such kind": ("PodDisruptionBudget", lambda o: o.update(apiVersion="nowhere/v1")),
    "a misspelt field of the operator": ("ServiceMonitor", lambda o: o["spec"]["endpoints"][0].update(intervall="1s")),
    "a wrong duration of the operator": (
        "ServiceMonitor",
        lambda o: o["spec"]["endpoints"][0].update(interval="often"),
    ),
    "a rule without an expression": ("PrometheusRule", lambda o: o["spec"]["groups"][0]["rules"][0].pop("expr")),
    "a misspelt field of KEDA": ("ScaledObject", lambda o: o["spec"].update(maxReplicas=4)),
    "no trigger": ("ScaledObject", lambda o: o["spec"].pop("triggers")),
}


@NEEDS_GO
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit(schemas: Path, name: str) -> None:
    """The check above finds each of these, so it looks."""
    kind, change = WRONG[name]
    found = deepcopy(built("production"))
    change([item for item in found if item["kind"] == kind][-1])
    assert kind in conform(found, schemas)


@NEEDS_GO
def test_production() -> None:
    """What the overlay sets arrives in what is applied: image, brokers, credentials, scale, a hash of the settings."""
    found = built("production")
    worker, scaled = named(found, "StatefulSet"), named(found, "ScaledObject")
    (container,) = pod_of(worker)["containers"]
    assert container["image"] == "registry.example.com/clf:0.1.0"
    (settings,) = [item for item in found if item["kind"] == "ConfigMap"]
    assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert re.fullmatch(r"clf-\w{10}", settings["metadata"]["name"])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert Path(settings["data"]["CLF_KAFKA_CONFIG"]).parent.as_posix() in mounts
    assert {item["metadata"].get("namespace") for item in found if item["kind"] != "Namespace"} == {"clf"}
    for trigger in scaled["spec"]["triggers"]:
        if trigger["type"] == "kafka":
            assert trigger["metadata"]["bootstrapServers"] == settings["data"]["CLF_BOOTSTRAP_SERVERS"]
            assert trigger["metadata"]["consumerGroup"] == settings["data"]["CLF_GROUP"]
            assert trigger["metadata"]["topic"] == settings["data"]["CLF_DOCUMENTS"]
    down = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 1800


@NEEDS_GO
def test_the_triggers_of_keda() -> None:
    """Their metadata is a map of strings for Kubernetes; KEDA publishes which names it knows, and which it needs."""
    for trigger in named(built("production"), "ScaledObject")["spec"]["triggers"]:
        known, needed = keda_metadata(trigger["type"])
        assert needed <= trigger["metadata"].keys() <= known
        assert "lagTreshold" not in known


@NEEDS_GO
def test_dev_needs_no_operator() -> None:
    """Nothing of it is a custom resource, so that it runs on a cluster of one machine."""
    assert not [item["kind"] for item in built("dev") if item["apiVersion"].startswith(("monitoring", "keda"))]
    assert "affinity" not in pod_of(named(built("dev"), "StatefulSet"))
