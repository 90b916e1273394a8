"""What TensorFlow Serving would read, by protobuf's own parser."""

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from awsdet.export import contract, warm_up

# Message -> field -> its number and type, as in tensorflow_serving/apis; the map of inputs is written as the list of
# entries that it is.
MESSAGES = {
    "ModelSpec": {"name": (1, str), "signature_name": (3, str)},
    "InputsEntry": {"key": (1, str), "value": (2, "tensorflow.TensorProto")},
    "PredictRequest": {"model_spec": (1, "t.ModelSpec"), "inputs": (2, "t.InputsEntry")},
    "PredictLog": {"request": (1, "t.PredictRequest")},
    "PredictionLog": {"predict_log": (6, "t.PredictLog")},
}


def prediction_log():
    """The class of the message."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if field == "inputs" else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            added.type = kinds.TYPE_STRING if kind is str else kinds.TYPE_MESSAGE
            if kind is not str:
                added.type_name = f".{kind}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PredictionLog"))


def test_the_request_is_one_of_tensorflow_serving(tmp_path):
    warm_up.write(tmp_path, "mask_rcnn")
    (record,) = tf.data.TFRecordDataset(str(tmp_path / "assets.extra/tf_serving_warmup_requests")).as_numpy_iterator()
    log = prediction_log().FromString(record)
    assert log.SerializeToString() == record  # nothing in it that is not in the messages
    request = log.predict_log.request
    assert request.model_spec.name == "mask_rcnn" and request.model_spec.signature_name == contract.ENCODED
    (entry,) = request.inputs
    (image,) = tf.make_ndarray(entry.value)
    assert entry.key == "image_bytes" and tf.io.decode_jpeg(image).shape[2] == 3
