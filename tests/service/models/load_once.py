"""python -m tests.service.models.load_once MODEL: load it in float32 and end."""

import sys

from rewright.service.models.backbone import load_backbone

if __name__ == "__main__":
    load_backbone(sys.argv[1], precision="float32", device="cpu")
