"""The house has floors: each module imports from its own floor or those below, and importing any of them does nothing.

Reads the sources with `ast`, so imports inside functions count too.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "awsdet"
LONGEST_FILE = 400  # lines

# Folder -> its floor; `awsdet` itself is the face that a notebook imports.
FLOORS = {
    "awsdet": 7,
    "awsdet.runtime": 0,
    "awsdet.config": 1,
    "awsdet.ops": 1,
    "awsdet.detection": 2,
    "awsdet.data": 3,
    "awsdet.weights": 3,
    "awsdet.models": 4,
    "awsdet.export": 5,
    "awsdet.inference": 5,
    "awsdet.analysis": 6,
    "awsdet.evaluation": 6,
    "awsdet.launch": 6,
    "awsdet.mlperf": 6,
    "awsdet.replay": 6,
    "awsdet.sagemaker": 6,
    "awsdet.serve": 6,
    "awsdet.survey": 6,
    "awsdet.training": 6,
    "awsdet.cli": 7,
}
SERIALISERS_THAT_RUN_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
MAY_PICKLE = {
    "awsdet.runtime.horovod",  # between the processes of one run, never a file
    "awsdet.weights.pickles",  # files of Detectron and PyTorch, by a reader that calls nothing but functions of its own
}


def sources():
    """Module name -> path of every file of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()


def imports(module):
    """[(imported module, line)] of one file; `from package import module` counts as the module."""
    found = []
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name if name in SOURCES else node.module, node.lineno) for name in names]
    return found


def own_imports(module):
    return [(name, line) for name, line in imports(module) if name.split(".")[0] == "awsdet"]


def listed(module):
    """The longest entry of FLOORS that is the module or holds it."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(name for name in names if name in FLOORS)


def test_every_module_has_a_floor():
    """A new file or folder directly under awsdet/ needs a floor, or the next test would not cover it."""
    homeless = [module for module in SOURCES if listed(module) == "awsdet" != module]
    assert not homeless, f"give {homeless} a floor in FLOORS"


@pytest.mark.parametrize("module", SOURCES)
def test_imports_only_from_below_or_the_same_floor(module):
    floor = FLOORS[listed(module)]
    for name, line in own_imports(module):
        assert name in SOURCES, f"{module}:{line} imports {name}, which does not exist"
        assert FLOORS[listed(name)] <= floor, f"{module} (floor {floor}) imports {name} from above, line {line}"


def test_no_circles():
    """Within a floor, too, imports go one way only."""
    below = {module: {name for name, _ in own_imports(module)} - {module} for module in SOURCES}
    # A package's __init__ gathers its own files: that is no circle, as long as the files do not import it back.
    done, path = set(), []

    def visit(module):
        assert module not in path, f"circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            path.append(module)
            for name in sorted(below[module]):
                visit(name)
            path.pop()
            done.add(module)

    for module in below:
        visit(module)


def test_nothing_depends_on_the_twins():
    """They are slow and plain, for the tests of the operators and for exported models; all else uses the operators."""
    for module in SOURCES:
        if not module.startswith(("awsdet.ops.reference", "awsdet.ops.plain")):
            twins = [(name, line) for name, line in imports(module) if name.startswith("awsdet.ops.reference")]
            assert not twins, f"{module} imports {twins}"


def test_only_the_builder_of_the_data_sees_a_config():
    """The rest of awsdet.data takes typed values (`ReaderOptions` and its parts)."""
    for module, path in SOURCES.items():
        if module.startswith("awsdet.data") and module != "awsdet.data.reader.builder":
            for name, line in imports(module):
                assert not name.startswith(("ml_collections", "awsdet.config")), f"{module}:{line} imports {name}"
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert not names & {"config", "data_config"}, f"{module} reads a config"


def test_only_one_file_imports_horovod():
    """Besides the one that runs horovodrun in its own process."""
    importers = {module for module in SOURCES for name, _ in imports(module) if name.split(".")[0] == "horovod"}
    assert importers <= {"awsdet.runtime.horovod", "awsdet.launch.horovodrun"}


def test_no_code_out_of_data():
    """No eval, exec or serialiser that runs what it reads; a config file is a program, which importlib runs."""
    for module, path in SOURCES.items():
        for name, line in imports(module):
            allowed = module in MAY_PICKLE or name.split(".")[0] not in SERIALISERS_THAT_RUN_CODE
            assert allowed, f"{module}:{line} imports {name}"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{module}:{node.lineno} calls {node.func.id}"
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and not node.value.value, f"{module} allows pickle in NumPy"


def test_only_commands_print():
    """Everything else writes to absl's log, which only rank 0 shows."""
    for module, path in SOURCES.items():
        if module.startswith("awsdet.cli"):
            continue
        assert "logging" not in {name for name, _ in imports(module)}, f"{module} uses Python's logging"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                # doctor prints in the sources it hands to other processes; those are strings, so ast sees no call.
                assert node.func.id != "print", f"{module}:{node.lineno} prints"


def test_files_can_be_read_in_one_sitting():
    for folder in ("awsdet", "tests", "configs", "benchmarks", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".sh"):
                length = len(path.read_text().splitlines())
                assert length <= LONGEST_FILE, f"{path.relative_to(ROOT)} has {length} lines"


IMPORT_ALL = """
import importlib, json, os, sys, threading
import tensorflow  # what importing it does is its own affair
directory, path, environment, threads = os.getcwd(), list(sys.path), dict(os.environ), threading.active_count()
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
from tensorflow.python.eager import context
hvd = sys.modules.get("horovod.tensorflow")
print(json.dumps({
    "environment": sorted(set(os.environ.items()) ^ set(environment.items())),
    "directory": os.getcwd() != directory,
    "path": sys.path != path,
    "threads": threading.active_count() - threads,
    "tensorflow started": context.context()._initialized,
    "horovod started": bool(hvd and hvd.is_initialized()),
    "precision changed": tensorflow.keras.mixed_precision.global_policy().name != "float32",
}))
"""


def test_importing_everything_does_nothing():
    """No GPU touched, no Horovod started, no environment changed, no thread left running."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps(list(SOURCES))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    effects = json.loads(done.stdout.splitlines()[-1])
    assert not any(effects.values()), effects
    assert done.stdout.count("\n") == 1, done.stdout


def test_config_and_command_line_need_no_tensorflow():
    """`awsdet --help` and a mistyped flag answer at once."""
    source = "import sys, awsdet.config, awsdet.runtime.errors, awsdet.cli.main; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=False).returncode == 0


def test_only_the_config_folder_knows_ml_collections():
    importers = {m for m in SOURCES for name, _ in imports(m) if name.split(".")[0] == "ml_collections"}
    assert importers <= {"awsdet.config.defaults", "awsdet.config.families", "awsdet.config.loading"}


CONFIG_WORDS = {"config", "settings", "data_config", "model_config", "rule"}
# Everything below the training loop, but for the builders, which turn a config into values.
WITHOUT_CONFIG = tuple(
    f"awsdet.{name}"
    for name in ("ops", "detection", "data", "weights", "models", "inference", "evaluation", "survey", "analysis")
)


def test_builders_alone_see_a_config():
    """No function of the networks, targets, losses or operators takes a config or a section of one."""
    for module, path in SOURCES.items():
        if not module.startswith(WITHOUT_CONFIG) or module.endswith(".builder"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                assert node.arg not in CONFIG_WORDS, f"{module}:{node.lineno} takes {node.arg}"


def test_no_method_is_there_for_a_subclass_to_fill():
    """A method whose body is nothing, or an empty return, hides where the work is done."""
    for module, path in SOURCES.items():
        if not module.startswith(("awsdet.models", "awsdet.detection")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert not all(map(_does_nothing, node.body)), f"{module}:{node.lineno} {node.name} does nothing"


def _does_nothing(statement):
    """A docstring, `pass`, or the return of a constant or of an empty container."""
    if isinstance(statement, ast.Return):
        return statement.value is None or ast.unparse(statement.value) in ("None", "{}", "[]", "()")
    return isinstance(statement, ast.Pass) or isinstance(getattr(statement, "value", None), ast.Constant)


def test_inference_knows_nothing_of_training():
    """Neither does anything that it imports, directly or indirectly."""
    seen, waiting = set(), [module for module in SOURCES if module.startswith("awsdet.inference")]
    while waiting:
        module = waiting.pop()
        assert not module.startswith(("awsdet.training", "awsdet.evaluation", "awsdet.cli")), module
        new = {name for name, _ in own_imports(module)} - seen
        seen |= new
        waiting += sorted(new)


BORN_IN_KERAS = {"train_function", "test_function"}  # by tf.keras.Model's own constructor


def test_no_attribute_is_born_outside_a_constructor():
    """Who reads a constructor knows all that an object holds."""
    for module, path in SOURCES.items():
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.ClassDef):
                methods = [part for part in found.body if isinstance(part, ast.FunctionDef)]
                born = set().union(*(_assigned(part) for part in methods if part.name == "__init__"), BORN_IN_KERAS)
                born |= set().union(*map(_declared, found.body))
                for method in methods:
                    late = _assigned(method) - born
                    assert not late, f"{module}: {found.name}.{method.name} makes {', '.join(sorted(late))}"


def _assigned(method):
    """Names of the attributes of `self` that a method assigns."""
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def _declared(statement):
    """Names that a statement of a class body assigns, or lists in __slots__."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    slots = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    return set(slots) if names == {"__slots__"} else names


def test_the_documented_floors_are_the_real_ones():
    """The table in docs/architecture.md names each folder on its floor."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d) \| ([^|]*) \|", text, re.MULTILINE)
    documented = {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    models = {path.name for path in (PACKAGE / "models").iterdir() if path.is_dir() and path.name != "__pycache__"}
    real = {name.rpartition(".")[2]: floor for name, floor in FLOORS.items()}
    assert {name: floor for name, floor in documented.items() if name in real} == real
    assert models <= set(re.findall(r"`(\w+)`", text)), "docs/architecture.md names the folders of models"
