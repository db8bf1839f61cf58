"""Where the loss of SFT falls on a built dataset: on the completion and its end of turn, never on the prompt.

TRL's own preparation on the embedded SmolLM2's tokenizer and on small ones with the templates of other families;
LLaMA-Factory's own code on what is exported for it, where it can be imported (`make check-llama-factory`).
"""

import json

import pytest

from rewright.trainer.build.formats import write_jsonl, write_llama_factory
from rewright.trainer.build.rows import ReferenceNll, as_line, row_of
from rewright.trainer.data.samples import Sample
from rewright.trainer.models.policy import load_tokenizer, locate
from rewright.trainer.recipes.blocks import Backbone
from tests.service.scorers.tiny_models import (
    NO_HEADER_AND_A_LEADING_SPACE,
    THINKING_IN_THE_GENERATION_PROMPT_ALONE,
    TRIMS_AND_PRINTS_THE_DATE,
    tiny_model,
    tiny_tokenizer,
)

ANSWERS = ["Six sevens are 42.\n\n$\\boxed{42}$", "It is \\boxed{7}.", "Thus x = 3,\nand $y = \\frac{1}{2}$."]
QUESTIONS = ["What is 6 times 7?", "What is 3 plus 4?\nThink well.", "Find {x} and {y}."]


@pytest.fixture
def folder(tmp_path):
    samples = [Sample(f"p{n}", q, a, None, "test") for n, (q, a) in enumerate(zip(QUESTIONS, ANSWERS, strict=True))]
    rows = [row_of(s, [], ReferenceNll(None), provenance={}, tokens_of=len) for s in samples]
    (tmp_path / "rows.jsonl").write_bytes(b"".join(map(as_line, rows)))
    write_jsonl(tmp_path / "rows.jsonl", tmp_path / "dataset.jsonl", success_only=False)
    write_llama_factory(rows, tmp_path / "llamafactory")
    return tmp_path


def smollm2():
    return load_tokenizer(locate(Backbone()))


TOKENIZERS = {
    "SmolLM2": smollm2,
    "header": lambda: tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE),
    "no header": lambda: tiny_tokenizer(NO_HEADER_AND_A_LEADING_SPACE),
    "thinking": lambda: tiny_tokenizer(THINKING_IN_THE_GENERATION_PROMPT_ALONE),
}


@pytest.mark.parametrize("which", TOKENIZERS)
def test_trl_masks_the_prompt_and_trains_on_the_completion(folder, tmp_path, which):
    import datasets
    from trl import SFTConfig, SFTTrainer

    tokenizer = TOKENIZERS[which]()
    rows = datasets.load_dataset("json", data_files=str(folder / "dataset.jsonl"), cache_dir=str(tmp_path / "cache"))
    config = SFTConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, report_to=[], max_length=None, bf16=False, eos_token=None
    )
    model = tiny_model("llama", vocab_size=len(tokenizer))
    trainer = SFTTrainer(model, args=config, train_dataset=rows["train"], processing_class=tokenizer)
    prepared = list(trainer.train_dataset)
    batch = trainer.data_collator(prepared)
    for place, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        ids, labels = batch["input_ids"][place], batch["labels"][place]
        trained = tokenizer.decode(ids[labels != -100])
        assert answer in trained and question not in trained
        beside = trained.replace(answer, "")
        for token in tokenizer.added_tokens_decoder.values():
            beside = beside.replace(token.content, "")
        assert not beside.strip()
        rest = batch["attention_mask"][place].bool() & (labels == -100)
        assert question in tokenizer.decode(ids[rest]) and answer not in tokenizer.decode(ids[rest])


def test_the_export_is_laid_out_as_llama_factory_documents_it(folder):
    info = json.loads((folder / "llamafactory" / "dataset_info.json").read_text())
    entry = info["rewright"]
    assert entry["formatting"] == "alpaca"
    lines = (folder / "llamafactory" / entry["file_name"]).read_text().splitlines()
    columns = entry["columns"]
    for line, question, answer in zip(lines, QUESTIONS, ANSWERS, strict=True):
        row = json.loads(line)
        # The documentation joins prompt and query by a line end, and takes the response as it is.
        assert "\n".join(filter(None, (row[columns["prompt"]], row[columns["query"]]))) == question
        assert row[columns["response"]] == answer


def test_llama_factory_itself_masks_the_prompt_and_trains_on_the_completion(folder):
    pytest.importorskip("llamafactory", reason="LLaMA-Factory is not here; run `make check-llama-factory`")
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.data.converter import AlpacaDatasetConverter
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
    from llamafactory.hparams import DataArguments

    tokenizer = smollm2()
    args = DataArguments(
        template="smollm2", dataset="rewright", dataset_dir=str(folder / "llamafactory"), cutoff_len=512
    )
    template = get_template_and_fix_tokenizer(tokenizer, args)
    (attributes,) = get_dataset_list(args.dataset, args.dataset_dir)
    convert = AlpacaDatasetConverter(attributes, args)
    lines = (folder / "llamafactory" / attributes.dataset_name).read_text().splitlines()
    converted = [convert(json.loads(line)) for line in lines]
    examples = {key: [row[key] for row in converted] for key in converted[0]}
    processed = SupervisedDatasetProcessor(template, tokenizer, None, args).preprocess_dataset(examples)
    for ids, labels, question, answer in zip(
        processed["input_ids"], processed["labels"], QUESTIONS, ANSWERS, strict=True
    ):
        trained = tokenizer.decode([label for label in labels if label != -100])
        assert trained.strip() == answer + "<|im_end|>"
        assert question in tokenizer.decode([i for i, label in zip(ids, labels, strict=True) if label == -100])
