"""What the rendered overlays must hold to, checked on the rendered objects alone."""

import tomllib
from pathlib import Path

import pytest

from rewright.service import settings as service_settings
from rewright.service.commands.pod_manifests import component
from rewright.service.ops.readiness import PROBE_TIMEOUT_S
from rewright.service.scorers.registry import BUILT_IN
from rewright.service.settings import Settings
from tests.k8s.rendered import (
    K8S,
    KEYS,
    OVERLAYS,
    Rendered,
    container,
    cores,
    everything_in,
    matches,
    mebibytes,
    name_of,
    pod,
)

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
ROOT = Path(__file__).resolve().parents[2]
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
CLOSING_S = 20
"""What a pod may need after its last answer: open batches, worker processes, the device."""


@pytest.fixture(params=OVERLAYS)
def rendered(request):
    return Rendered(request.param)


def settings_of(environment, monkeypatch) -> Settings:
    """As the pod's process would read them: from the environment, with the real loader."""
    with monkeypatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        return service_settings.load()


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_what_the_api_knows(rendered, version):
    for thing in rendered.objects:
        kubernetes_validate.validate(thing, version, strict=True)


def test_names_are_unique_and_in_one_namespace(rendered):
    names = [(o["kind"], name_of(o)) for o in rendered.objects]
    assert len(names) == len(set(names))
    assert {o["metadata"].get("namespace") for o in rendered.objects if o["kind"] != "Namespace"} == {"rewright"}
    assert name_of(rendered.named("Namespace", "rewright"))


def test_every_reference_has_its_object(rendered):
    maps = {name_of(o) for o in rendered.of("ConfigMap")}
    claims = {name_of(o) for o in rendered.of("PersistentVolumeClaim")}
    accounts = {name_of(o) for o in rendered.of("ServiceAccount")}
    for deployment in rendered.of("Deployment"):
        spec = pod(deployment)["spec"]
        assert spec["serviceAccountName"] in accounts
        for part in everything_in(spec):
            if "configMapRef" in part:
                assert part["configMapRef"]["name"] in maps
            if "configMapKeyRef" in part:
                assert part["configMapKeyRef"]["name"] in maps
            if "persistentVolumeClaim" in part:
                assert part["persistentVolumeClaim"]["claimName"] in claims
            if "secretKeyRef" in part and not part["secretKeyRef"].get("optional"):
                assert part["secretKeyRef"]["key"] in KEYS[part["secretKeyRef"]["name"]]
        volumes = {v["name"] for v in spec["volumes"]}
        assert {m["name"] for m in container(deployment)["volumeMounts"]} == volumes


def test_every_pod_has_a_service_a_budget_and_no_more_than_one_of_each(rendered):
    for deployment in rendered.of("Deployment"):
        labels = pod(deployment)["metadata"]["labels"]
        assert matches(deployment["spec"]["selector"]["matchLabels"], labels)
        for kind, selector in (
            ("Service", lambda o: o["spec"]["selector"]),
            ("PodDisruptionBudget", lambda o: o["spec"]["selector"]["matchLabels"]),
        ):
            assert len([o for o in rendered.of(kind) if matches(selector(o), labels)]) == 1, (kind, name_of(deployment))
    for service in rendered.of("Service"):
        (behind,) = rendered.services_pods(name_of(service))
        (port,) = service["spec"]["ports"]
        assert (port["targetPort"], port["port"]) == ("http", container(behind)["ports"][0]["containerPort"])


def test_autoscalers_scale_deployments_that_are_there_and_leave_replicas_to_them(rendered):
    scaled = [o["spec"]["scaleTargetRef"]["name"] for o in rendered.of("HorizontalPodAutoscaler")]
    assert len(scaled) == len(set(scaled))
    for name in scaled:
        assert "replicas" not in rendered.named("Deployment", name)["spec"]
    if rendered.overlay == "split":
        assert set(scaled) == {name_of(d) for d in rendered.of_this_service()}


def test_pods_have_no_privileges_and_write_to_volumes_only(rendered):
    for deployment in rendered.of("Deployment"):
        spec, box = pod(deployment)["spec"], container(deployment)
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        assert box["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any(key in spec for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert all({"emptyDir", "persistentVolumeClaim"} & set(volume) for volume in spec["volumes"])
        mounted = [m["mountPath"] for m in box["volumeMounts"]]
        environment = rendered.environment(deployment)
        for variable in ("HF_HOME", "TMPDIR", "XDG_CACHE_HOME", "HOME"):
            place = environment.get(variable)
            assert place is None or any(place.startswith(m) for m in mounted), (name_of(deployment), variable)


def test_resources_are_asked_for_and_capped(rendered):
    for deployment in rendered.of("Deployment"):
        resources = container(deployment)["resources"]
        for kind, read in (("cpu", cores), ("memory", mebibytes)):
            assert 0 < read(resources["requests"][kind]) <= read(resources["limits"][kind]), name_of(deployment)
        on_gpu = "cuda" in container(deployment)["image"] or "vllm" in container(deployment)["image"]
        assert ("nvidia.com/gpu" in resources["limits"]) == on_gpu
        tolerated = {t["key"] for t in pod(deployment)["spec"].get("tolerations", [])}
        assert ("nvidia.com/gpu" in tolerated) == on_gpu


def test_images_carry_the_projects_version(rendered):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for deployment in rendered.of("Deployment"):
        name, _, tag = container(deployment)["image"].partition(":")
        assert tag and tag != "latest"
        if name.startswith("rewright"):
            assert tag == version


def test_every_pod_reads_its_environment_as_real_settings(rendered, monkeypatch):
    roles = {}
    for deployment in rendered.of_this_service():
        settings = settings_of(rendered.environment(deployment), monkeypatch)
        roles[name_of(deployment)] = {
            name: getattr(settings.scorers, name).where for name in type(settings.scorers).model_fields
        }
        assert settings.port == container(deployment)["ports"][0]["containerPort"]
        assert settings.host == "0.0.0.0"  # noqa: S104
    scorers = ("verify", "judge", "nll", "diversity")
    if rendered.overlay == "single-pod":
        assert roles == {"reward": dict.fromkeys(scorers, "local")}
    else:
        assert roles.pop("reward") == dict.fromkeys(scorers, "remote")
        assert roles == {name: dict.fromkeys(scorers, "off") | {name: "local"} for name in scorers}


def test_the_gateway_reaches_each_scorer_by_the_name_of_a_headless_service(rendered, monkeypatch):
    gateway = settings_of(rendered.environment(rendered.named("Deployment", "reward")), monkeypatch)
    for name in type(gateway.scorers).model_fields:
        block = getattr(gateway.scorers, name)
        if block.where == "remote":
            service = rendered.named("Service", name)
            assert block.url == f"http://{name_of(service)}:{service['spec']['ports'][0]['port']}"
            assert service["spec"]["clusterIP"] == "None"


def test_the_judge_asks_for_the_model_that_vllm_serves(monkeypatch):
    split = Rendered("split")
    judge = settings_of(split.environment(split.named("Deployment", "judge")), monkeypatch).scorers.judge
    vllm = split.named("Deployment", "judge-model")
    arguments = split.arguments(vllm)
    assert f"--model={judge.model}" in arguments
    assert judge.api_key.get_secret_value() == split.environment(vllm)["VLLM_API_KEY"]
    (port,) = split.named("Service", "judge-model")["spec"]["ports"]
    assert judge.base_urls == [f"http://judge-model:{port['port']}/v1"]
    assert f"--port={container(vllm)['ports'][0]['containerPort']}" in arguments


def test_where_strangers_may_come_a_key_is_asked_for(rendered, monkeypatch):
    """Of every pod; only dev goes without, and says so by name."""
    for deployment in rendered.of_this_service():
        settings = settings_of(rendered.environment(deployment), monkeypatch)
        expected = (0, True) if rendered.overlay == "dev" else (2, False)
        assert (len(settings.api_keys), settings.allow_unauthenticated) == expected


def test_without_its_secret_production_does_not_start_and_dev_does():
    for overlay in OVERLAYS:
        rendered = Rendered(overlay)
        for deployment in rendered.of_this_service():
            if overlay == "dev":
                assert "REWRIGHT_API_KEYS" not in rendered.environment(deployment, secrets={})
            else:
                with pytest.raises(KeyError, match="rewright-keys"):
                    rendered.environment(deployment, secrets={})


def test_no_key_is_written_into_a_manifest(rendered):
    assert rendered.of("Secret") == []
    for config in rendered.of("ConfigMap"):
        assert not [key for key in config["data"] if "KEY" in key or "TOKEN" in key]


def test_the_times_of_a_stop_fit_each_other(rendered, monkeypatch):
    """An accepted request ends by its deadline; the pod is there until then, and its callers have stopped coming."""
    settings = {name_of(d): settings_of(rendered.environment(d), monkeypatch) for d in rendered.of_this_service()}
    for deployment in rendered.of_this_service():
        name, spec = name_of(deployment), pod(deployment)["spec"]
        drain = container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert drain >= 5
        assert spec["terminationGracePeriodSeconds"] >= drain + settings[name].deadline_s + CLOSING_S
    gateway = settings["reward"]
    for name, pods_settings in settings.items():
        if name != "reward":
            # The gateway gives up before its own caller's deadline, the pod not before the gateway.
            block = getattr(gateway.scorers, name)
            assert block.timeout_s < gateway.deadline_s
            assert block.timeout_s <= pods_settings.deadline_s
    for deployment in rendered.of("Deployment"):
        if "vllm" in container(deployment)["image"]:
            drain = container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert drain >= settings["judge"].scorers.judge.call_timeout_s
            assert pod(deployment)["spec"]["terminationGracePeriodSeconds"] > drain


def test_probes_are_patient_where_they_must_be(rendered):
    for deployment in rendered.of("Deployment"):
        box = container(deployment)
        startup, readiness, liveness = (box[f"{p}Probe"] for p in ("startup", "readiness", "liveness"))
        patience = startup["periodSeconds"] * startup["failureThreshold"]
        assert deployment["spec"]["progressDeadlineSeconds"] > patience >= 1800
        # A pod leaves the Services long before it is restarted.
        assert liveness["periodSeconds"] * liveness["failureThreshold"] > 2 * (
            readiness["periodSeconds"] * readiness["failureThreshold"]
        )
        for probe in (readiness, liveness):
            assert probe["httpGet"]["path"] != "/readyz" or probe["timeoutSeconds"] > PROBE_TIMEOUT_S


def test_verify_pods_have_room_for_their_workers(rendered, monkeypatch):
    for deployment in rendered.of_this_service():
        verify = settings_of(rendered.environment(deployment), monkeypatch).scorers.verify
        if verify.where == "local":
            limits = container(deployment)["resources"]["limits"]
            assert verify.workers == cores(limits["cpu"])
            assert mebibytes(limits["memory"]) > verify.workers * verify.memory_mb


class TestNetwork:
    """Only the ways that are needed are open. The policies are read as the API says: allowed by any, else denied."""

    def test_everything_is_shut_first(self, rendered):
        closed = rendered.named("NetworkPolicy", "closed")["spec"]
        assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_the_ways_between_pods(self, rendered):
        open_ways = {
            (name_of(a), name_of(b))
            for a in rendered.of("Deployment")
            for b in rendered.of("Deployment")
            if self._allowed(rendered, "Egress", a, b) and self._allowed(rendered, "Ingress", b, a)
        }
        if rendered.overlay == "single-pod":
            assert open_ways == set()
        else:
            wanted = {("reward", scorer) for scorer in ("verify", "judge", "nll", "diversity")}
            assert open_ways == wanted | ({("judge", "judge-model")} if rendered.overlay == "split" else set())

    def test_only_pods_with_models_reach_the_outside(self, rendered):
        outward = [
            p["spec"]["podSelector"]
            for p in rendered.of("NetworkPolicy")
            if any("ipBlock" in peer for rule in p["spec"].get("egress", []) for peer in rule["to"])
        ]
        assert outward == ([] if rendered.overlay == "dev" else [{"matchLabels": {"rewright/models": "hub"}}])

    @staticmethod
    def _allowed(rendered, direction, this, other):
        side, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        labels = pod(this)["metadata"]["labels"]
        return any(
            matches(peer["podSelector"]["matchLabels"], pod(other)["metadata"]["labels"])
            for policy in rendered.of("NetworkPolicy")
            if matches(policy["spec"]["podSelector"].get("matchLabels", {}), labels)
            for rule in policy["spec"].get(side, [])
            for peer in rule[peers]
            if "podSelector" in peer and "namespaceSelector" not in peer
        )


@pytest.mark.parametrize("name", [spec.name for spec in BUILT_IN])
def test_every_built_in_scorer_has_a_component_of_the_common_shape(name):
    """What `rewright pod-manifests` says is said once; what differs (device, size, autoscaler) is the component's."""
    folder = K8S / "components" / name
    assert {file.name for file in folder.iterdir()} == set(component(name))
    for file in ("service.yaml", "network-policies.yaml", "disruption-budget.yaml"):
        assert (folder / file).read_text(encoding="utf-8") == component(name)[file]
