"""Logs as a run of a config of configs/mlperf would write them, without the run."""

import json
import pathlib

from awsdet import config as configuration
from awsdet.runtime import mllog

CONFIGS = pathlib.Path(__file__).parents[2] / "configs/mlperf"
SYSTEM = (
    *("submitter", "division", "status", "system_name", "number_of_nodes", "host_processors_per_node"),
    *("host_processor_model_name", "host_processor_core_count", "host_processor_vcpu_count"),
    *("host_processor_frequency", "host_processor_caches", "host_processor_interconnect", "host_memory_capacity"),
    *("host_storage_type", "host_storage_capacity", "host_networking", "host_networking_topology"),
    *("host_memory_configuration", "accelerators_per_node", "accelerator_model_name"),
    *("accelerator_host_interconnect", "accelerator_frequency", "accelerator_on-chip_memories"),
    *("accelerator_memory_configuration", "accelerator_memory_capacity", "accelerator_interconnect"),
    *("accelerator_interconnect_topology", "cooling", "hw_notes", "framework", "other_software_stack"),
    *("operating_system", "sw_notes"),
)


def write_log(path, images=96, seed=1, epochs=14, minutes=90.0, met=True, without=(), **changed):
    """A log of a run of so many images per update. without: keys to leave out; changed: key -> other value."""
    config = configuration.load(CONFIGS / f"mask_rcnn_b{images}.py")
    schedule, rate = config.schedule, config.optimizer.learning_rate
    values = {
        "submission_benchmark": "maskrcnn",
        "submission_org": config.train.mlperf_org,
        "submission_division": config.train.mlperf_division,
        "submission_status": config.train.mlperf_status,
        "submission_platform": config.train.mlperf_platform,
        "seed": seed,
        "global_batch_size": config.data.global_batch_size,
        "gradient_accumulation_steps": 1,
        "opt_base_learning_rate": rate,
        "opt_learning_rate_warmup_steps": schedule.warmup_steps,
        "opt_learning_rate_warmup_factor": rate * (1 - schedule.warmup_ratio) / schedule.warmup_steps,
        "opt_learning_rate_decay_factor": schedule.decay_factor,
        "opt_learning_rate_decay_steps": schedule.decay_updates,
        "num_image_candidates": config.model.rpn.post_nms_batch,
        "min_image_size": config.data.short_sides[0],
        "max_image_size": config.data.max_long_side,
        "train_samples": 117266,
        "eval_samples": 5000,
        **changed,
    }

    def say(key, value=None, second=0.0, **metadata):
        if key not in without:
            mllog.append(path, key, value, time_ms=round(1000 * (1e9 + second)), **metadata)

    say("cache_clear", True)
    say("init_start")
    for key, value in values.items():
        say(key, value)
    say("init_stop", second=60)
    say("run_start", second=60)
    for epoch in range(1, epochs + 1):
        now = 60 * (1 + minutes * epoch / epochs)
        good = met and epoch == epochs
        say("block_start", second=now, first_epoch_num=epoch, epoch_count=1)
        say("eval_accuracy", {"BBOX": 0.378 if good else 0.3, "SEGM": 0.341 if good else 0.3}, now, epoch_num=epoch)
        say("block_stop", second=now, first_epoch_num=epoch)
    say("run_stop", second=60 * (1 + minutes), status="success" if met else "aborted")


def write_five(folder, epochs=(14, 14, 13, 14, 14), minutes=(90, 91, 100, 92, 80), **options):
    """result_0.txt to result_4.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (done, took) in enumerate(zip(epochs, minutes)):
        write_log(folder / f"result_{number}.txt", seed=number + 1, epochs=done, minutes=took, **options)


def write_package(folder):
    """A folder as it is submitted."""
    write_five(folder / "results/box/maskrcnn")
    (folder / "benchmarks/maskrcnn").mkdir(parents=True)
    (folder / "systems").mkdir()
    system = {**dict.fromkeys(SYSTEM, "none"), "division": "closed", "system_name": "box"}
    (folder / "systems/box.json").write_text(json.dumps(system))
