"""Kubernetes manifests as data, and the published schemas that they must fit, in the form that kubeconform reads.

Schemas of Kubernetes itself come from the package kubernetes-validate, those of custom resources from the Go modules of
the Prometheus operator and of KEDA. All are strict: a field that they do not have is an error.
"""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml

from integration_tests.deploy.tools import module

Manifest = dict[str, Any]

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OPERATOR = (
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
CUSTOM = ("monitoring.coreos.com/", "keda.sh/")
KEDA = ("github.com/kedacore/keda/v2", "v2.20.2", "h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=")


def manifests(text: str) -> list[Manifest]:
    """The objects of one YAML text."""
    return [cast("Manifest", found) for found in yaml.safe_load_all(text) if found]


def named(found: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """The one of this kind, and name where there are several."""
    (match,) = [item for item in found if item["kind"] == kind and name in {"", item["metadata"]["name"]}]
    return match


def file_name(kind: str, api_version: str) -> str:
    """Where kubeconform looks for a schema: `statefulset-apps-v1.json`."""
    group, _, version = api_version.rpartition("/")
    parts = [kind, group.partition(".")[0], version]
    return "-".join(part.lower() for part in parts if part) + ".json"


def write_schemas(directory: Path, found: Iterable[Manifest], version: str) -> None:
    """Write the schema of every object's kind, as Kubernetes `version` has it."""
    core = cast("Path", files("kubernetes_validate")) / "kubernetes-json-schema" / f"v{version}-local-strict"
    definitions = json.loads((core / "_definitions.json").read_text("utf-8"))["$defs"]
    for kind, api_version in {(item["kind"], item["apiVersion"]) for item in found}:
        name = file_name(kind, api_version)
        if api_version.startswith(CUSTOM):
            schema = custom_schema(name)
        else:
            text = (core / name).read_text("utf-8").replace("/api/_definitions.json#", "#")
            schema = {**json.loads(text), "$defs": definitions}
            del schema["$id"], schema["$schema"]  # or kubeconform would ask for them
        (directory / name).write_text(json.dumps(schema), "utf-8")


@cache
def custom_schema(name: str) -> Manifest:
    """The schema of one of the operator's or KEDA's resources, by the name of its file."""
    folders = [module(*OPERATOR) / "example" / "prometheus-operator-crd", module(*KEDA) / "config" / "crd" / "bases"]
    kind = name.partition("-")[0]
    (path,) = [path for folder in folders for path in folder.glob(f"*_{kind}s.yaml")]
    spec = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)["spec"]
    for version in spec["versions"]:
        if file_name(spec["names"]["kind"], f"{spec['group']}/{version['name']}") == name:
            return cast("Manifest", strict(version["schema"]["openAPIV3Schema"]))
    raise AssertionError(f"{path} has no version for {name}")


def strict(schema: Any) -> Any:  # noqa: ANN401 - a schema, or a part of one
    """The same schema, refusing what it does not name, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(part) for key, part in schema.items()}
    open_to_more = made.get("x-kubernetes-preserve-unknown-fields") is True
    if made.get("type") == "object" and isinstance(made.get("properties"), dict) and not open_to_more:
        made.setdefault("additionalProperties", False)
    return made


def keda_metadata(trigger: str) -> tuple[set[str], set[str]]:
    """The names that the metadata of a KEDA trigger may have, and those it must have."""
    text = (module(*KEDA) / "schema" / "generated" / "scalers-schema.json").read_text("utf-8")
    (found,) = [scaler for scaler in json.loads(text)["scalers"] if scaler["type"] == trigger]
    parameters = [parameter for parameter in found["parameters"] if parameter.get("metadataVariableReadable")]
    needed = {item["name"] for item in parameters if not item.get("optional") and "default" not in item}
    return {item["name"] for item in parameters}, needed
