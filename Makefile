# Everything a newcomer needs to type; `make` alone lists it.

SHAPES := data/shapes
RUN := runs/shapes
CONVERT = awsdet convert --annotations=$(SHAPES)/annotations/instances_$(1).json --images=$(SHAPES)/images/$(1) \
    --output=$(SHAPES)/records --split=$(1) --shards=2
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup ops train test test-sanitize test-cuda test-gpu test-gpu-counts test-mutilated lint format benchmark-overfit benchmark-peers benchmark-torch clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create .venv with the pinned packages, Horovod and awsdet (does nothing if it is up to date)
	@PYTHON="$(PYTHON)" scripts/setup.sh

ops: setup ## rebuild the compiled operators whose sources changed
	python setup.py -q build_ext --inplace

# Continues an interrupted run; a complete run shows its tables again (`rm -rf runs/shapes` starts over). Checkpoints are
# chosen on val, so the figures to report are those of test, on which nothing is chosen.
train: setup $(SHAPES)/records/test.manifest.json ## train a small Mask R-CNN on the built-in shapes, about 4 minutes on two cores
	awsdet train --config=configs/shapes_mask_rcnn.py --output=$(RUN) $(if $(wildcard $(RUN)/checkpoints/step-*),--resume) $(ARGS)
	@echo
	@echo "The best checkpoint on the test images, which had no part in the training and in the choice of the checkpoint:"
	@echo
	awsdet evaluate --checkpoint=$(RUN) --records=$(SHAPES)/records --split=test --output=$(RUN)/test_results.json
	@echo
	@echo "checkpoints        $(RUN)/checkpoints   (best: $(RUN)/checkpoints/best)"
	@echo "detections (COCO)  $(RUN)/results.json (val), $(RUN)/test_results.json (test)"
	@echo "picture            $(RUN)/examples.png   (predictions beside ground truth)"
	@echo "metrics, settings  $(RUN)/metrics.jsonl, $(RUN)/config.json, $(RUN)/versions.json"
	@echo "TensorBoard        .venv/bin/tensorboard --logdir $(RUN)/tensorboard"
	@echo "predict            .venv/bin/awsdet predict --checkpoint=$(RUN) --input=$(SHAPES)/images/test --output=predictions.json"

# Made once; a later `make train` reuses it.
$(SHAPES)/records/val.manifest.json: | setup
	awsdet shapes --output=$(SHAPES)
	for split in train val; do $(call CONVERT,$$split) || exit; done

# A rule of its own, for data made when there were two splits: it draws all again, byte for byte as before, and converts what
# is new.
$(SHAPES)/records/test.manifest.json: | $(SHAPES)/records/val.manifest.json
	[ -e $(SHAPES)/annotations/instances_test.json ] || awsdet shapes --output=$(SHAPES)
	$(call CONVERT,test)

test: lint ## run the style checks and all tests
	python -m pytest -q -n 4 --dist worksteal -rs --durations=40 $(ARGS)

test-sanitize: setup ## build the operators with AddressSanitizer and UBSan and run their tests
	scripts/test_sanitize.sh $(ARGS)

test-cuda: ## build the CUDA launchers with nvcc and test them on this machine's GPU, if it has both
	scripts/test_cuda.sh $(ARGS)

test-gpu: ## prove on this machine's GPU that it computes what a CPU does, and how fast, about 5 minutes
	@scripts/test_gpu.sh $(ARGS)

test-gpu-counts: setup ## count what a GPU would launch, copy and wait for, on a machine without one
	scripts/gpu_counts.sh $(ARGS)

test-mutilated: setup ## mutilate 1,000 annotation files and 1,000 images, and show what became of them
	@status=0; for part in annotations images; do python -m tests.mutilated.$$part $(ARGS) || status=1; done; exit $$status

lint: setup ## run the style checks
	ruff check .
	ruff format --check .

format: setup ## rewrite the code in the project's style
	ruff check --fix .
	ruff format .

benchmark-overfit: setup ## train a narrow Mask R-CNN until it knows 8 real images by heart
	python benchmarks/overfit_coco.py $(ARGS)

benchmark-peers: setup ## create .venv-peers with the systems that benchmarks/ compares ours with (about 3 GB)
	[ -e .venv-peers/bin/python ] || .venv/bin/python -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q -r benchmarks/requirements-peers.txt

benchmark-torch: setup ## create .venv-torch with torchvision, which benchmarks/learning.py compares ours with (about 6 GB)
	[ -e .venv-torch/bin/python ] || .venv/bin/python -m venv .venv-torch
	.venv-torch/bin/python -m pip install -q -r benchmarks/requirements-torch.txt

clean: ## remove .venv and everything built; keep data and runs
	rm -rf .venv .venv-mpi build dist .pytest_cache .ruff_cache *.egg-info awsdet/ops/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
