# Everything a newcomer types; `make` alone lists it.

SHAPES := data/shapes
RUN := runs/shapes
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup ops train test test-sanitize test-cuda lint format benchmark-overfit benchmark-peers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with the pinned packages, Horovod and awsdet (at once when it is there)
	@PYTHON="$(PYTHON)" scripts/setup.sh

ops: setup ## the compiled operators, built anew where their sources changed
	python setup.py -q build_ext --inplace

# A run that was interrupted goes on; one that is done shows its table again (`rm -rf runs/shapes` begins anew).
train: setup $(SHAPES)/records/val.manifest.json ## a small Mask R-CNN on the built-in shapes, about 4 minutes on two cores
	awsdet train --config=configs/shapes_mask_rcnn.py --output=$(RUN) $(if $(wildcard $(RUN)/checkpoints/step-*),--resume) $(ARGS)
	@echo
	@echo "checkpoints        $(RUN)/checkpoints   (best: $(RUN)/checkpoints/best)"
	@echo "detections (COCO)  $(RUN)/results.json"
	@echo "picture            $(RUN)/examples.png   (predictions beside ground truth)"
	@echo "metrics, settings  $(RUN)/metrics.jsonl, $(RUN)/config.json, $(RUN)/versions.json"
	@echo "TensorBoard        .venv/bin/tensorboard --logdir $(RUN)/tensorboard"
	@echo "predict            .venv/bin/awsdet predict --checkpoint=$(RUN) --input=$(SHAPES)/images/val --output=predictions.json"

# Made once; a later `make train` takes it as it is.
$(SHAPES)/records/val.manifest.json: | setup
	awsdet shapes --output=$(SHAPES)
	for split in train val; do awsdet convert --annotations=$(SHAPES)/annotations/instances_$$split.json \
	    --images=$(SHAPES)/images/$$split --output=$(SHAPES)/records --split=$$split --shards=2 || exit; done

test: lint ## style checks and all tests
	python -m pytest -q -n 2 -rs --durations=15 $(ARGS)

test-sanitize: setup ## the operators built under AddressSanitizer and UBSan, and their tests against that build
	scripts/test_sanitize.sh $(ARGS)

test-cuda: ## the CUDA launchers built with nvcc and tested on this machine's GPU, where there are such
	scripts/test_cuda.sh $(ARGS)

lint: setup ## style checks
	ruff check .
	ruff format --check .

format: setup ## the code rewritten in the project's style
	ruff check --fix .
	ruff format .

benchmark-overfit: setup ## a narrow Mask R-CNN learns 8 real images by heart
	python benchmarks/overfit_coco.py $(ARGS)

benchmark-peers: setup ## .venv-peers with the systems that benchmarks/ measures ours beside (about 3 GB)
	[ -e .venv-peers/bin/python ] || .venv/bin/python -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q -r benchmarks/requirements-peers.txt

clean: ## takes away .venv and what was built, but neither data nor runs
	rm -rf .venv build dist .pytest_cache .ruff_cache *.egg-info awsdet/ops/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
