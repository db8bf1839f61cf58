"""`rewright pod-manifests NAME`: a kustomize component that puts one scorer into pods of its own.

The component has the shape of those under k8s/components: Deployment, headless Service, disruption budget, network
policies, an autoscaler by CPU, and the settings that send the gateway there. It is meant for plug-in scorers; devices,
model volumes and sizes are the reader's to add.
"""

import argparse
from importlib import resources
from pathlib import Path
from string import Template

from rewright.service.errors import InvalidRequest
from rewright.service.scorers.registry import specs_of

TEMPLATES = "pod_component"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command (the protocol of `rewright.clients.cli.main`)."""
    parser = commands.add_parser(
        "pod-manifests",
        help="write a kustomize component that runs one scorer in pods of its own",
        description="Write the folder of a kustomize component for a scorer, a plug-in's too. Name the folder under "
        "`components:` of an overlay beside those of k8s/components; the image must have the plug-in installed.",
    )
    parser.add_argument("name", help="the scorer, as in /v1/NAME")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="k8s/components/NAME, say")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Raises `SettingsError` for a name that is no scorer, `InvalidRequest` where the folder holds files already."""
    names = [spec.name for spec in specs_of([options.name]) if spec.name == options.name]
    folder: Path = options.out
    if folder.exists() and any(folder.iterdir()):
        raise InvalidRequest(f"--out: {folder} is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in component(names[0]).items():
        (folder / file).write_text(text, encoding="utf-8")
    print(f"wrote {folder}; name it under `components:` of your overlay")
    return 0


def component(name: str) -> dict[str, str]:
    """File name → YAML of the component for the scorer of that name."""
    # A Kubernetes name holds no underscore, an environment variable no hyphen.
    words = {"name": name, "host": name.replace("_", "-"), "variable": name.upper()}
    templates = resources.files("rewright.service.commands").joinpath(TEMPLATES)
    return {
        file.name: Template(file.read_text(encoding="utf-8")).substitute(words)
        for file in sorted(templates.iterdir(), key=lambda file: file.name)
    }
