"""Packaging of awsdet; the tools' settings are in pyproject.toml, the pinned machine set-up in scripts/setup.sh."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "awsdet" / "__init__.py").read_text(), re.MULTILINE).group(1)

setup(
    name="awsdet",
    version=VERSION,
    description="Object detectors and instance segmenters in TensorFlow 2 / Keras, trained with Horovod",
    packages=find_packages(include=["awsdet", "awsdet.*"]),
    python_requires=">=3.9,<3.12",
    install_requires=[
        "absl-py",
        "ml_collections",
        "numpy<2",  # TensorFlow 2.15's ABI
        "pillow",
        "pycocotools",
        "tensorflow-addons==0.23.0",
    ],
    # TensorFlow comes in two builds of one module, and pip cannot choose by the machine: name one. Horovod is in no
    # list, since it has to be built after TensorFlow and against it (scripts/setup.sh does it).
    extras_require={
        "cpu": ["tensorflow-cpu==2.15.1"],
        "gpu": ["tensorflow[and-cuda]==2.15.1"],
        "dev": ["pytest", "pytest-xdist", "ruff"],
    },
    entry_points={"console_scripts": ["awsdet = awsdet.cli.main:main"]},
)
