"""One module of the page's code, run by node."""

import json
import shutil
import subprocess
from importlib.resources import as_file, files
from typing import Any

import pytest

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None, reason="node, which runs the page's code, is not installed (Debian: apt install nodejs)"
)


def in_the_page(name: str, expression: str, **given: Any) -> Any:
    """expression: of the module `page/<name>.js`, called as its name says, with what is given by its names."""
    with as_file(files("rewright.clients.view") / "page") as folder:
        code = f"const {{{', '.join(given)}}} = {json.dumps(given)};\nconsole.log(JSON.stringify({expression}));"
        script = f"import * as {name} from {json.dumps((folder / f'{name}.js').as_uri())};\n{code}"
        command = [str(NODE), "--input-type=module", "-"]
        return json.loads(subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout)
