"""Chat templates as models ship them, through the renderer: right, refused with which message, or wrong. One table.

    python tests/bench/templates.py [--folder DIR] [--args JSON]

Every .jinja file of a folder; TRL's `_training` variants, which are TRL's own, apart. Ends with 1 where one is wrong.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rewright.service.models.rendering import DEFAULT_RENDERING, Rendering
from tests.service.models.template_checks import verdict

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "templates"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=SHARED)
    parser.add_argument("--args", type=json.loads, default=DEFAULT_RENDERING.template_args, help="of the templates")
    options = parser.parse_args()
    rendering = Rendering(template_args=options.args)
    files = sorted(options.folder.glob("*.jinja"))
    if not files:
        print(f"{options.folder} holds no .jinja file; name a folder that does: make templates TEMPLATES=DIR")
        return 2
    counts: dict[str, Counter[str]] = {"as models ship them": Counter(), "TRL's training variants": Counter()}
    for file in files:
        outcome, why, picture = verdict(file.stem, file.read_text(encoding="utf-8"), rendering)
        kind = "TRL's training variants" if file.stem.endswith("_training") else "as models ship them"
        counts[kind][outcome] += 1
        print(f"{outcome:8}{file.stem:75} {why or picture}")
    for kind, each in counts.items():
        print(f"{kind}: {each['right']} right, {each['refused']} refused, {each['wrong']} wrong of {each.total()}")
    return 1 if any(each["wrong"] for each in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
