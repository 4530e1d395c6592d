"""Kubernetes manifests, as `kubectl kustomize` makes them: valid, contained, cut off by default."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from heliograph.environment import SERVICES
from tests.deploy import deployed

Json = dict[str, Any]
VERSIONS = ("1.33.0", "1.36.0")
NOT_VALIDATED = {
    # Kinds of operators, whose schemas no package brings: looked at by eye, and by the operator.
    "production": {("postgresql.cnpg.io/v1", "Cluster", "postgres")},
    "dev": set[tuple[str, str, str]](),
}
AT_SITES = {"production": {"teller"}, "dev": set[str]()}
"""Tellers run on their sites' own hubs."""
WORKLOADS = ("Deployment", "StatefulSet", "Job")
SECRETS = "/run/secrets/heliograph"


def each(overlay: str, *kinds: str) -> Iterator[Json]:
    return (found for found in deployed.manifests(overlay) if found["kind"] in kinds)


def pods() -> list[Any]:
    return [
        pytest.param(overlay, workload, id=f"{overlay}-{workload['metadata']['name']}")
        for overlay in deployed.OVERLAYS
        for workload in each(overlay, *WORKLOADS)
    ]


def spec_of(workload: Json) -> Json:
    found: Json = workload["spec"]["template"]["spec"]
    return found


def labels_of(workload: Json) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_strictly_valid(overlay: str, version: str) -> None:
    skipped = set()
    for document in deployed.manifests(overlay):
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            name = document["metadata"]["name"]
            skipped.add((document["apiVersion"], document["kind"], name))
    assert skipped == NOT_VALIDATED[overlay]


def test_a_stray_field_would_be_found() -> None:
    document = dict(next(each("dev", "Deployment")))
    document["spec"] = {**document["spec"], "replica": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_every_service_of_the_stack_is_there(overlay: str) -> None:
    names = {workload["metadata"]["name"] for workload in each(overlay, *WORKLOADS)}
    assert set(SERVICES) - AT_SITES[overlay] <= names
    extra = {
        "dev": {"nats", "bootstrap", "postgres", "devnet"},
        "production": {"nats", "bootstrap"},
    }
    assert names - set(SERVICES) == extra[overlay]


@pytest.mark.parametrize(("overlay", "workload"), pods())
def test_a_pod_can_do_no_more_than_it_must(overlay: str, workload: Json) -> None:
    spec = spec_of(workload)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        assert not spec.get(shared)
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "initContainers" not in spec
    for container in spec["containers"]:
        own = container["securityContext"]
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert deployed.is_pinned(container["image"])
    assert not any("hostPath" in volume for volume in spec["volumes"])


@pytest.mark.parametrize(("overlay", "workload"), pods())
def test_a_container_that_runs_on_is_probed_three_ways(overlay: str, workload: Json) -> None:
    for container in spec_of(workload)["containers"]:
        probes = {name for name in container if name.endswith("Probe")}
        if workload["kind"] == "Job":
            assert not probes
            continue
        assert probes == {"startupProbe", "livenessProbe", "readinessProbe"}
        ports = {port["name"] for port in container["ports"]}
        for name in probes:
            if "httpGet" in container[name]:
                assert container[name]["httpGet"]["port"] in ports
        if workload["metadata"]["name"] in SERVICES:
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def environment_of(overlay: str, container: Json) -> dict[str, str]:
    """What a process finds in its environment, with secrets as `heliograph secrets` makes them."""
    found: dict[str, str] = {}
    maps = {document["metadata"]["name"]: document for document in each(overlay, "ConfigMap")}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", ()):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif "secretKeyRef" in variable["valueFrom"]:
            asked = variable["valueFrom"]["secretKeyRef"]
            reader = asked["name"].removeprefix("heliograph-")
            found[variable["name"]] = written(overlay)[reader][asked["key"]]
        else:
            assert variable["valueFrom"] == {
                "fieldRef": {"fieldPath": "metadata.name"}
            } or variable["valueFrom"] == {
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}
            }
            found[variable["name"]] = "name"
    return found


def written(overlay: str) -> dict[str, dict[str, str]]:
    return deployed.secret_files(kubernetes=overlay == "production", played=False)


def secrets_of(workload: Json) -> str | None:
    for volume in spec_of(workload)["volumes"]:
        if "secret" in volume:
            return str(volume["secret"]["secretName"]).removeprefix("heliograph-")
    return None


@pytest.mark.parametrize(("overlay", "workload"), pods())
def test_the_process_reads_every_variable_and_can_use_what_it_is_told(
    overlay: str, workload: Json, tmp_path: Path
) -> None:
    (container,) = spec_of(workload)["containers"]
    found = deployed.settings_class([*container.get("command", ()), *container.get("args", ())])
    told = environment_of(overlay, container)
    own = {name for name in told if name not in deployed.FOREIGN}
    if found is None:
        assert workload["metadata"]["name"] in {"nats", "postgres"}
        assert not own
        return
    named = {variable["name"] for variable in container.get("env", ())} - deployed.FOREIGN
    assert named <= deployed.known_variables(found)
    reader = secrets_of(workload)
    if reader is not None:
        for file, text in written(overlay)[reader].items():
            (tmp_path / file).write_text(text)
    deployed.construct(
        found, {name: told[name].replace(SECRETS, str(tmp_path)) for name in sorted(own)}
    )


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_every_shared_setting_is_read_by_some_service(overlay: str) -> None:
    classes = {
        deployed.settings_class([*container.get("command", ()), *container.get("args", ())])
        for workload in each(overlay, *WORKLOADS)
        for container in spec_of(workload)["containers"]
    }
    known = {name for one in classes if one is not None for name in deployed.known_variables(one)}
    (settings,) = each(overlay, "ConfigMap")
    assert set(settings["data"]) <= known


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_no_secret_is_committed(overlay: str) -> None:
    assert list(each(overlay, "Secret")) == []
    for document in deployed.manifests(overlay):
        for text in texts(document):
            assert not re.fullmatch(r"S[A-Z2-7]{55}", text), "a Stellar seed"
            assert "postgresql://" not in text
            assert not is_key(text), text
    for workload in each(overlay, *WORKLOADS):
        for container in spec_of(workload)["containers"]:
            for variable in container.get("env", ()):
                secret = re.search(r"PASSWORD|SEED|DSN|CREDENTIALS|TOKEN", variable["name"])
                if secret and "value" in variable:
                    assert variable["name"].endswith("_FILE")
                    assert variable["value"].startswith(SECRETS)


def texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from texts(one)
        case list():
            for one in value:
                yield from texts(one)
        case _:
            pass


def is_key(text: str) -> bool:
    """Tell whether a text is 32 bytes in base64, as seeds are."""
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
        return False
    return len(base64.b64decode(text)) == 32


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_every_secret_that_is_asked_for_is_one_that_is_made(overlay: str) -> None:
    asked = {
        str(volume["secret"]["secretName"])
        for workload in each(overlay, *WORKLOADS)
        for volume in spec_of(workload)["volumes"]
        if "secret" in volume
    }
    made = {f"heliograph-{reader}" for reader in written(overlay)}
    assert asked <= made
    readers = [secrets_of(workload) for workload in each(overlay, *WORKLOADS)]
    known = [reader for reader in readers if reader is not None]
    assert len(known) == len(set(known)), "no two workloads share secrets"


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_services_lead_to_pods(overlay: str) -> None:
    for service in each(overlay, "Service"):
        selector = service["spec"]["selector"]
        (workload,) = (
            one for one in each(overlay, *WORKLOADS) if selector.items() <= labels_of(one).items()
        )
        ports = {
            (port["name"], port["containerPort"])
            for container in spec_of(workload)["containers"]
            for port in container["ports"]
        }
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            assert any(target in pair for pair in ports), (service["metadata"]["name"], target)
    for workload in each(overlay, "StatefulSet"):
        name = workload["spec"]["serviceName"]
        assert workload["metadata"]["name"] == name


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_budgets_cover_everything_that_serves(overlay: str) -> None:
    covered = set()
    for budget in each(overlay, "PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        matched = [
            one["metadata"]["name"]
            for one in each(overlay, *WORKLOADS)
            if selector.items() <= labels_of(one).items()
        ]
        assert matched, budget["metadata"]["name"]
        assert budget["spec"]["maxUnavailable"] == 1
        covered |= set(matched)
    assert covered == (set(SERVICES) - {"teller"}) | {"nats"}


def test_production_has_three_brokers_on_three_machines_and_three_copies() -> None:
    (nats,) = (
        one for one in each("production", "StatefulSet") if one["metadata"]["name"] == "nats"
    )
    assert nats["spec"]["replicas"] == 3
    assert nats["spec"]["podManagementPolicy"] == "Parallel", "one alone forms no cluster"
    spread = {
        one["topologyKey"]: one["whenUnsatisfiable"]
        for one in spec_of(nats)["topologySpreadConstraints"]
    }
    assert spread["kubernetes.io/hostname"] == "DoNotSchedule"
    (settings,) = each("production", "ConfigMap")
    data = settings["data"]
    assert data["HELIOGRAPH_BOOTSTRAP_REPLICAS"] == "3"
    assert data["HELIOGRAPH_NATS_URL"].count("nats://") == 3
    assert data["HELIOGRAPH_ANCHOR_FRIENDBOT"] == "false"
    assert data["HELIOGRAPH_PLAYED_TIME"] == "false"
    (headless,) = (
        one for one in each("production", "Service") if one["metadata"]["name"] == "nats"
    )
    assert headless["spec"]["publishNotReadyAddresses"] is True


CAN_STAND_BY = {"dev": set[str](), "production": {"ledger"}}
"""Services of which a second process waits for the first to be lost."""


def test_production_has_a_ledger_that_stands_by_on_another_machine() -> None:
    (ledger,) = (
        one for one in each("production", "Deployment") if one["metadata"]["name"] == "ledger"
    )
    assert ledger["spec"]["replicas"] == 2
    rolling = ledger["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 1, "maxSurge": 0}, "one stays while the other is replaced"
    spread = {one["topologyKey"] for one in spec_of(ledger)["topologySpreadConstraints"]}
    assert "kubernetes.io/hostname" in spread


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_a_stream_has_one_writer_even_while_it_is_replaced(overlay: str) -> None:
    for workload in each(overlay, "Deployment"):
        if workload["metadata"]["name"] in {"gateway", *CAN_STAND_BY[overlay]}:
            continue
        assert workload["spec"]["replicas"] == 1
        assert workload["spec"]["strategy"] == {"type": "Recreate"}


# The network: who may talk to whom, worked out from the policies, against what is needed.

NEEDED = {
    *((name, "nats", 4222) for name in SERVICES if name != "teller"),
    ("bootstrap", "nats", 4222),
    ("nats", "nats", 6222),
}
DATABASE = {("projection", "postgres", 5432), ("gateway", "postgres", 5432)}
WANTED = {
    "dev": NEEDED
    | DATABASE
    | {
        ("bootstrap", "postgres", 5432),
        ("anchor", "devnet", 8000),
        ("teller", "nats", 1883),
    },
    "production": NEEDED
    | DATABASE
    | {("postgres", "postgres", 5432), ("postgres", "postgres", 8000)},
}


def ends(overlay: str) -> dict[str, dict[str, str]]:
    """Labels of every kind of pod, those that operators make included."""
    found = {one["metadata"]["name"]: labels_of(one) for one in each(overlay, *WORKLOADS)}
    for cluster in each(overlay, "Cluster"):
        found[cluster["metadata"]["name"]] = {"cnpg.io/cluster": cluster["metadata"]["name"]}
    return found


def chosen(selector: Json, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def allowed(overlay: str, direction: str) -> set[tuple[str, str, int]]:
    """Pairs within the namespace that the policies of one direction let talk: (from, to, port)."""
    found = set()
    ours, side = ends(overlay), "from" if direction == "ingress" else "to"
    for policy in each(overlay, "NetworkPolicy"):
        spec = policy["spec"]
        assert direction not in spec or direction.capitalize() in spec["policyTypes"]
        for rule in spec.get(direction, ()):
            for here in (name for name in ours if chosen(spec["podSelector"], ours[name])):
                for peer in rule.get(side, ()):
                    if "namespaceSelector" in peer or "ipBlock" in peer:
                        continue
                    for there in (name for name in ours if chosen(peer["podSelector"], ours[name])):
                        pair = (there, here) if direction == "ingress" else (here, there)
                        found |= {(*pair, port["port"]) for port in rule["ports"]}
    return found


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_nothing_may_talk_by_default(overlay: str) -> None:
    (policy,) = (
        one for one in each(overlay, "NetworkPolicy") if one["metadata"]["name"] == "default-deny"
    )
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_exactly_what_is_needed_may_talk(overlay: str, direction: str) -> None:
    assert allowed(overlay, direction) == WANTED[overlay]


@pytest.mark.parametrize("overlay", deployed.OVERLAYS)
def test_from_and_to_outside_only_what_is_listed(overlay: str) -> None:
    found = set()
    for policy in each(overlay, "NetworkPolicy"):
        spec = policy["spec"]
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, ()):
                ports = tuple(sorted({port["port"] for port in rule["ports"]}))
                for peer in rule.get(side, [{"anywhere": {}}]):
                    if set(peer) != {"podSelector"}:
                        found.add((policy["metadata"]["name"], direction, ports))
    everywhere = {
        ("names", "egress", (53,)),
        ("nats", "ingress", (1883,)),
        ("gateway", "ingress", (3000,)),
        ("watching", "ingress", (8080,)),
    }
    production = {
        ("anchor", "egress", (443,)),
        ("postgres", "ingress", (5432, 8000)),
        ("postgres", "egress", (443, 6443)),
    }
    assert found == everywhere | (production if overlay == "production" else set())


def test_the_namespace_holds_pods_to_the_strictest_standard() -> None:
    for overlay in deployed.OVERLAYS:
        (namespace,) = each(overlay, "Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        for document in deployed.manifests(overlay):
            if document["kind"] != "Namespace":
                assert document["metadata"]["namespace"] == "heliograph"
