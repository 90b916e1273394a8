"""Operations are counted for the part of the step that they belong to."""

import pytest

from tests.gpu_counts import parts


@pytest.mark.parametrize(
    "operation, part",
    [
        ("backbone/chain/backbone.layer1.0/backbone.layer1.0.conv1/Conv2D:Conv2D", "stem, layer1"),
        ("backbone/backbone.conv1/Cast:Cast", "stem, layer1"),
        ("gradient_tape/backbone/chain/backbone.layer3.0/backbone.layer3.0.conv1/ReluGrad:ReluGrad", "layer3"),
        ("neck/neck.fpn_convs.0.conv/Conv2D:Conv2D", "neck"),
        ("rpn_head/rpn_head.rpn_conv/Conv2D:Conv2D", "rpn head, proposals"),
        ("proposals/AwsdetNms:AwsdetNms", "rpn head, proposals"),
        ("gradient_tape/rpn_samples/MatMul:MatMul", "rpn at samples"),
        ("rpn_targets/AwsdetMatch/_1:_HostRecv#from=rpn_targets/AwsdetMatch,to=losses/Less,key=x", "rpn targets"),
        ("gradient_tape/AwsdetRoiAlignGrad:AwsdetRoiAlignGrad", "box head"),
        ("gradient_tape/AwsdetRoiAlignGrad_1:AwsdetRoiAlignGrad", "mask head"),
        ("roi_head.mask_head/roi_head.mask_head.convs.0.conv/Conv2D:Conv2D", "mask head"),
        ("update/AdamW/AwsdetAdamwUpdate:AwsdetAdamwUpdate", "update"),
        ("AdamW/AdamW/AssignAddVariableOp:AssignAddVariableOp", "update"),
        ("AddN_3:AddN", parts.OTHER),
    ],
)
def test_part_of_an_operation(operation, part):
    assert parts.part_of(operation) == part


def test_every_part_has_a_name_of_its_own():
    assert len(set(parts.NAMES)) == len(parts.NAMES)
