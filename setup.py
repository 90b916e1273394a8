"""Packaging of awsdet; the tools' settings are in pyproject.toml, the pinned machine set-up in scripts/setup.sh."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "awsdet" / "runtime" / "version.py").read_text()).group(1)


class BuildOps(build_ext):
    """Builds the TensorFlow operators with CMake; `pip install` and `make ops` end up here.

    TensorFlow must be installed already (pip: --no-build-isolation), since the library is built against it.
    """

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, extension):
        """Runs CMake in build/ops; unchanged sources are not compiled again."""
        cmake = shutil.which("cmake", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
        if cmake is None:
            sys.exit("cmake is missing; it builds the operators. Install it with:  pip install cmake")
        folder = ROOT / "build" / "ops"
        python = f"-DAWSDET_PYTHON={sys.executable}"
        subprocess.run([cmake, "-S", ROOT / "custom_ops", "-B", folder, python], check=True)
        subprocess.run([cmake, "--build", folder, "--parallel", str(os.cpu_count())], check=True)
        target = pathlib.Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed: a process that has the old library open keeps it whole.
        shutil.copyfile(folder / target.name, target.with_suffix(".new"))
        os.replace(target.with_suffix(".new"), target)


setup(
    name="awsdet",
    version=VERSION,
    description="Object detectors and instance segmenters in TensorFlow 2 / Keras, trained with Horovod",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="awsdet contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="object-detection instance-segmentation mask-rcnn retinanet cascade-rcnn tensorflow keras horovod",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C++",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    packages=find_packages(include=["awsdet", "awsdet.*"]),
    package_data={"awsdet.serve": ["page.html"]},
    ext_modules=[Extension("awsdet.ops.libawsdet_ops", sources=[])],
    cmdclass={"build_ext": BuildOps},
    python_requires=">=3.10,<3.12",
    install_requires=[
        "absl-py",
        "ml_collections",
        "numpy<2",  # TensorFlow 2.15's ABI
        "pillow",
        "pycocotools",
        "pyyaml",
        "safetensors",
        "tensorflow-addons==0.23.0",
        "psutil",
        "tqdm",
    ],
    # TensorFlow comes in two builds of one module, and pip cannot choose by machine: name one. Horovod is in no list,
    # since it has to be built after TensorFlow and against it (scripts/setup.sh does that).
    extras_require={
        "cpu": ["tensorflow-cpu==2.15.1"],
        "gpu": ["tensorflow[and-cuda]==2.15.1"],
        "sagemaker": ["boto3"],  # starts jobs there; scripts/setup.sh installs it in any case
        "mlflow": ["mlflow-skinny<3"],  # for train.mlflow
        "onnx": ["tf2onnx==1.17.0", "onnx==1.17.0", "onnxruntime"],  # for awsdet export --target=onnx
        "mlperf": ["mlperf-logging==4.1.68"],  # its checkers, for awsdet mlperf
        "dev": ["pytest", "pytest-xdist", "ruff"],
    },
    entry_points={"console_scripts": ["awsdet = awsdet.cli.main:main"]},
)
