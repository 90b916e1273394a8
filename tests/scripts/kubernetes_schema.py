"""Compares a manifest with the schemas in tests/fixtures/kubernetes; make.py and mpijob.yaml there name the sources."""

import json
import pathlib

import yaml

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "kubernetes"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
UNDERSTOOD = {"$ref", "additionalProperties", "enum", "format", "items", "oneOf", "properties", "required", "type"}


def schemas():
    """Name of a type -> its schema."""
    operator = yaml.safe_load((FIXTURES / "mpijob.yaml").read_text())
    return {**json.loads((FIXTURES / "pod_template.json").read_text()), **operator}


def faults(value, schema, known, path="manifest"):
    """What is wrong with a value, each as "path: fault"; empty if it follows the schema."""
    assert set(schema) <= UNDERSTOOD, f"{path}: {set(schema) - UNDERSTOOD} of the schema is not understood here"
    if "$ref" in schema:
        return faults(value, known[schema["$ref"]], known, path)
    if "oneOf" in schema:
        each = [faults(value, part, known, path) for part in schema["oneOf"]]
        return [] if any(not found for found in each) else each[0]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    # The published schemas let a field be null; in a manifest that is a forgotten value.
    if kinds and not any(_is_of(value, kind) for kind in kinds if kind != "null"):
        return [f"{path}: {value!r} is not of type {' or '.join(kind for kind in kinds if kind != 'null')}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is not one of {', '.join(schema['enum'])}"]
    found = []
    if isinstance(value, dict):
        found += [f"{path}: {name} is missing" for name in schema.get("required", []) if name not in value]
        others = schema.get("additionalProperties", True)
        for name, part in value.items():
            own = schema.get("properties", {}).get(name)
            if own is None and others is False:
                found.append(f"{path}: {name} does not exist")
            elif own is not None or isinstance(others, dict):
                found += faults(part, own if own is not None else others, known, f"{path}.{name}")
    if isinstance(value, list):
        for index, part in enumerate(value):
            found += faults(part, schema.get("items", {}), known, f"{path}[{index}]")
    return found


def _is_of(value, kind):
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])
