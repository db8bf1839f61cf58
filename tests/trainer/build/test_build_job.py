"""The manifests of the sharded build say what the commands understand."""

from pathlib import Path

import yaml

from rewright.trainer.recipes.build import Shard, load_build_recipe

JOB = Path(__file__).resolve().parents[3] / "k8s" / "build-job"


def manifest(name):
    return yaml.safe_load((JOB / name).read_text(encoding="utf-8"))


def test_every_pod_builds_its_own_shard_of_as_many_as_there_are_pods():
    spec = manifest("build.yaml")["spec"]
    (build,) = spec["template"]["spec"]["containers"]
    (shards,) = (int(v["value"]) for v in build["env"] if v["name"] == "SHARDS")
    assert spec["completionMode"] == "Indexed" and spec["completions"] == shards
    (script,) = build["args"]
    for index in range(spec["completions"]):
        shell = script.replace("$JOB_COMPLETION_INDEX", str(index)).replace("$SHARDS", str(shards))
        assert Shard.parse(shell.split()[-1].strip('"')) == (index, shards)


def test_the_recipe_parses_and_all_pods_and_the_merge_work_on_the_shared_volume():
    recipe = load_build_recipe(JOB / "recipe.yaml")
    build, merge = (manifest(name)["spec"]["template"]["spec"] for name in ("build.yaml", "merge.yaml"))
    claim = manifest("storage.yaml")["metadata"]["name"]
    for pod in (build, merge):
        volumes = {v["name"]: v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["volumes"]}
        (mounted,) = (m["mountPath"] for m in pod["containers"][0]["volumeMounts"] if volumes[m["name"]] == claim)
        assert recipe.keeping.output.startswith(mounted + "/")
    assert merge["containers"][0]["command"] == ["rewright", "merge", recipe.keeping.output]
    assert manifest("storage.yaml")["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_mistake_of_the_user_ends_the_job_and_a_service_that_stayed_away_does_not():
    from rewright.trainer.commands.exit_status import MISTAKE, NO_SCORES

    rules = manifest("build.yaml")["spec"]["podFailurePolicy"]["rules"]
    ending = [rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailJob"]
    assert ending == [[MISTAKE]] and NO_SCORES not in ending[0]
