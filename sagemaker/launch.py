"""`awsdet sagemaker launch` for a machine without TensorFlow, such as a laptop: starts and follows a training job.

    pip install boto3 absl-py ml_collections
    python sagemaker/launch.py --config=configs/mask_rcnn_r50_fpn_1x.py --train=s3://… --role=… --image=… --type=…

`--help` lists the flags. Where awsdet is installed, `awsdet sagemaker` does the same and more.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from awsdet.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["sagemaker", "launch", *sys.argv[1:]]))
