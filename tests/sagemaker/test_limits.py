"""The limits of a request: what botocore lets through is refused here, and what is valid is not."""

import copy

import pytest
from botocore import loaders, model
from botocore.validate import ParamValidator

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import limits
from awsdet.sagemaker.request import create_training_job
from tests.sagemaker.job import job


def full_request():
    """A valid request that uses every field that a job can set."""
    return create_training_job(
        job(
            val="s3://bucket/val",
            weights="s3://bucket/w.npz",
            settings={"data.batch_size": "4"},
            tensorboard="s3://bucket/tensorboard",
            subnets=("subnet-1",),
            security_groups=("sg-1",),
            environment={"NAME": "value"},
            keep_alive_minutes=10,
        )
    )


def changed(path, value):
    """`full_request()` with the value at a path such as "ResourceConfig.InstanceType" replaced."""
    request = copy.deepcopy(full_request())
    *parents, last = path.split(".")
    node = request
    for name in parents:
        node = node[int(name) if name.isdecimal() else name]
    node[last] = value
    return request


def test_a_full_request_is_within_all_limits():
    assert limits.faults(full_request()) == []


METRIC = {"Name": "loss", "Regex": "loss=(.*)"}
# Path, value, and what the message must say. botocore itself lets all of these through.
ONLY_HERE = [
    ("TrainingJobName", "a" * 64, "64 characters, the maximum is 63"),
    ("TrainingJobName", "a_b", "does not match"),
    ("TrainingJobName", "-a", "does not match"),
    ("RoleArn", "arn:aws:iam::1:user/somebody", "does not match"),
    ("AlgorithmSpecification.MetricDefinitions", [METRIC] * 41, "41 entries, the maximum is 40"),
    ("AlgorithmSpecification.MetricDefinitions", [{**METRIC, "Regex": "x" * 501}], "501 characters"),
    ("AlgorithmSpecification.TrainingInputMode", "Files", "none of the 3 allowed; near it are File"),
    ("HyperParameters", {f"key{k}": "1" for k in range(101)}, "101 entries, the maximum is 100"),
    ("HyperParameters.long", "x" * 2501, "HyperParameters.long: 2501 characters, the maximum is 2500"),
    ("HyperParameters.lines", "a\nb", "does not match"),
    ("HyperParameters", {"k" * 257: "1"}, "257 characters, the maximum is 256"),
    ("ResourceConfig.InstanceType", "ml.p4d.24xlrage", "near it are ml.p4d.24xlarge"),
    ("ResourceConfig.KeepAlivePeriodInSeconds", 21601, "the maximum is 21600"),
    ("Environment", {"1NAME": "x"}, "does not match"),
    ("Environment.NAME", "x" * 513, "the maximum is 512"),
    ("Environment", {f"K{k}": "1" for k in range(101)}, "101 entries"),
    ("OutputDataConfig.S3OutputPath", "bucket/out", "does not match"),
    ("InputDataConfig.0.ChannelName", "a b", "does not match"),
    ("VpcConfig.Subnets", [f"subnet-{k}" for k in range(17)], "17 entries, the maximum is 16"),
    ("CheckpointConfig.S3Uri", "s3://bucket/" + "x" * 1024, "the maximum is 1024"),
    ("Tags", [{"Key": "a;b", "Value": ""}], "Tags[0].Key: 'a;b' does not match"),
]


@pytest.mark.parametrize("path, value, text", ONLY_HERE)
def test_refuses_what_botocore_lets_through(path, value, text):
    request = changed(path, value)
    assert not ParamValidator().validate(request, limits.input_shape("CreateTrainingJob")).has_errors()
    found = limits.faults(request)
    assert any(text in fault for fault in found), found
    assert all(fault.startswith(path.split(".")[0]) for fault in found)


@pytest.mark.parametrize(
    "path, value, text",
    [
        ("HyperParameters.number", 4, "HyperParameters.number: expected a string, got 4"),
        ("HyperParameters.flag", True, "expected a string, got True"),
        ("ResourceConfig.InstanceCount", "4", "expected a whole number, got '4'"),
        ("ResourceConfig.InstanceCount", True, "expected a whole number, got True"),
        ("ResourceConfig.InstanceCount", 1.5, "expected a whole number, got 1.5"),
        ("EnableManagedSpotTraining", "true", "expected true or false"),
        ("InputDataConfig", {}, "expected a list"),
        ("InputDataConfig", [], "0 entries, the minimum is 1"),
        ("ResourceConfig.Instances", 2, "ResourceConfig.Instances: there is no member of this name"),
        ("VpcConfig", {"Subnets": ["a"]}, "VpcConfig.SecurityGroupIds is missing"),
        ("StoppingCondition.MaxRuntimeInSeconds", 0, "the minimum is 1"),
    ],
)
def test_refuses_what_botocore_refuses_too(path, value, text):
    request = changed(path, value)
    found = limits.faults(request)
    assert any(text in fault for fault in found), found
    botocore_refuses = ParamValidator().validate(request, limits.input_shape("CreateTrainingJob")).has_errors()
    assert botocore_refuses or path == "ResourceConfig.InstanceCount"  # for which it takes True


def test_nothing_at_all():
    assert limits.faults({}) == [f"{name} is missing" for name in ("TrainingJobName", "RoleArn", "OutputDataConfig")]
    assert limits.faults(None) == ["the request: expected a structure, got None"]


def test_all_faults_are_in_one_line():
    request = changed("ResourceConfig.InstanceType", "ml.nothing")
    request["TrainingJobName"] = "a_b"
    with pytest.raises(UserError, match=r"TrainingJobName.*\(and 1 more: ResourceConfig.InstanceType") as caught:
        limits.check(request)
    assert "\n" not in str(caught.value)


def shapes_of(shape, seen):
    """All shapes that a shape is made of."""
    if shape.name in seen:
        return
    seen[shape.name] = shape
    inner = list(getattr(shape, "members", {}).values()) if shape.type_name == "structure" else []
    inner += [shape.member] if shape.type_name == "list" else []
    inner += [shape.key, shape.value] if shape.type_name == "map" else []
    for other in inner:
        shapes_of(other, seen)


def test_every_pattern_of_a_request_is_understood():
    """A pattern that Python cannot express would not be checked, without a word."""
    seen = {}
    shapes_of(limits.input_shape("CreateTrainingJob"), seen)
    patterns = [shape for shape in seen.values() if "pattern" in shape.metadata]
    assert len(patterns) > 40
    assert [shape.name for shape in patterns if limits.pattern_of(shape) is None] == []


def test_every_kind_of_limit_in_the_model_is_known():
    """All shapes of SageMaker: no type and no restriction that the walk does not know."""
    shapes = loaders.Loader().load_service_model("sagemaker", "service-2")["shapes"]
    resolver = model.ShapeResolver(shapes)
    known = {*limits._TYPES, "timestamp", "blob"}
    assert {resolver.get_shape_by_name(name).type_name for name in shapes} <= known
    words = {"type", "members", "member", "key", "value", "required", "documentation", "box", "exception", "enum"}
    words |= {"min", "max", "pattern", "union", "sensitive", "event", "eventstream", "error", "fault", "synthetic"}
    words |= {"deprecated", "deprecatedMessage", "deprecatedSince", "flattened", "internal", "document", "eventpayload"}
    assert {word for shape in shapes.values() for word in shape} <= words


def test_patterns_of_other_scripts_are_wider_never_narrower():
    seen = {}
    shapes_of(limits.input_shape("CreateTrainingJob"), seen)
    pattern = limits.pattern_of(seen["TagKey"])
    for valid in ("team", "Größe", "команда 7", "a:b/c=d+e-f@g"):
        assert pattern.fullmatch(valid)
    assert not pattern.fullmatch("a;b")


@pytest.mark.parametrize("value", [{}, {"S3DataSource": {}, "Other": {}}])
def test_union_takes_exactly_one(value):
    """CreateTrainingJob has none, so the walk is given a small model with one."""
    shapes = {
        "Union": {"type": "structure", "union": True, "members": {"A": {"shape": "Text"}, "B": {"shape": "Text"}}},
        "Text": {"type": "string"},
    }
    shape = model.ShapeResolver(shapes).get_shape_by_name("Union")
    given = dict.fromkeys(list("AB")[: len(value)], "x")
    assert list(limits._walk(shape, given, "here"))[0] == "here: exactly one of A, B must be given"
    assert list(limits._walk(shape, {"A": "x"}, "here")) == []
