"""What a failed run says of its cause."""

import pytest
import tensorflow as tf

from awsdet import config as config_module
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training.failure import explain


def said(caplog, error):
    """What `explain` logs."""
    with caplog.at_level("ERROR", logger="absl"):
        explain(error, config_module.mask_rcnn(), World(), 16)
    return caplog.records[-1].getMessage()


def test_lack_of_memory(caplog):
    text = said(caplog, tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))
    assert "rank 0 is out of memory" in text and "data.batch_size" in text


@pytest.mark.parametrize("reason", ["No space left on device", "Disk quota exceeded"])
def test_full_disk_is_no_lack_of_memory(caplog, reason):
    text = said(caplog, tf.errors.ResourceExhaustedError(None, None, f"/runs/x/events; {reason}"))
    assert text == f"rank 0 cannot write (/runs/x/events; {reason}); make room, and go on with --resume"


def test_a_record_that_cannot_be_read_is_the_users_to_mend():
    error = tf.errors.InvalidArgumentError(None, None, "Invalid PNG data, size 5")
    with pytest.raises(UserError, match="record 3 of a shard"):
        explain(error, config_module.mask_rcnn(), World(), 16, lambda: "record 3 of a shard")


@pytest.mark.parametrize("text", ["Horovod has been shut down", "OOM"])
def test_records_are_not_read_again_if_the_cause_is_known(text):
    kind = tf.errors.ResourceExhaustedError if text == "OOM" else tf.errors.UnknownError
    explain(kind(None, None, text), config_module.mask_rcnn(), World(), 16, lambda: pytest.fail("records were read"))


def test_unknown_error_is_raised_again():
    error = tf.errors.InternalError(None, None, "something else")
    with pytest.raises(tf.errors.InternalError) as raised:
        explain(error, config_module.mask_rcnn(), World(), 16)
    assert raised.value is error
