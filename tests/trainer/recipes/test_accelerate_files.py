"""The shipped accelerate configurations, by accelerate's own reader and launcher."""

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

from tests.trainer.launched import CONFIGURATIONS, environment_of

KINDS = {"ddp": DistributedType.MULTI_GPU, "fsdp2": DistributedType.FSDP, "zero3": DistributedType.DEEPSPEED}


def test_all_files_are_known():
    assert {file.stem for file in CONFIGURATIONS.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_knows_every_key(name):
    config = load_config_from_file(str(CONFIGURATIONS / f"{name}.yaml"))
    assert config.distributed_type == KINDS[name] and not config.use_cpu
    # The recipe says the precision; accelerate's word would be another.
    assert config.mixed_precision == "no"


def test_fsdp_gets_its_second_version_and_checkpoints_in_shards():
    made = environment_of("fsdp2", processes=4)
    assert (made["ACCELERATE_USE_FSDP"], made["FSDP_VERSION"]) == ("true", "2")
    assert (made["FSDP_STATE_DICT_TYPE"], made["FSDP_RESHARD_AFTER_FORWARD"]) == ("SHARDED_STATE_DICT", "true")


def test_ddp_asks_for_nothing_to_be_cut():
    assert "ACCELERATE_USE_FSDP" not in environment_of("ddp", processes=2)


def test_deepspeed_gathers_the_model_at_the_end():
    config = load_config_from_file(str(CONFIGURATIONS / "zero3.yaml")).deepspeed_config
    assert (config["zero_stage"], config["zero3_save_16bit_model"]) == (3, True)
