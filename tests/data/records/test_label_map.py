"""Label maps of the Object Detection API, in the text format of protocol buffers."""

import pytest

from awsdet.data.records import label_map
from awsdet.runtime.errors import UserError

TWO = {1: ("cat", ""), 2: ("dog", "")}


def read(folder, text, name="map.pbtxt"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = label_map.read(folder / name)
    return found and {number: (label.name, label.display_name) for number, label in found.labels.items()}


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("item {\n  id: 1\n  name: 'cat'\n}\n\nitem {\n  id: 2\n  name: 'dog'\n}\n", TWO),
        ('item{id:1 name:"cat"}item{name:"dog" id:2}', TWO),
        ("# classes\nitem: < id: 2, name: 'dog'; > # the dog\nitem { id: 1 name: \"cat\" },", TWO),
        ("\ufeffitem { id: 1 name: 'cat' } item { id: 2 name: 'd' 'og' }", TWO),  # strings side by side are one
        ("item { id: 0 name: 'background' } item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }", TWO),
        ("item { name: '/m/01' id: 90 display_name: \"it's # a {dog}\" }", {90: ("/m/01", "it's # a {dog}")}),
        ("item { id: 3 display_name: 'cat' }", {3: ("", "cat")}),
        (r"item { id: 1 name: 'a\'b\"\\ \303\244' }", {1: ("a'b\"\\ ä", "")}),
        ("item { id: 1 name: 'größe 猫' }", {1: ("größe 猫", "")}),
        (
            "item { id: 1 name: 'cat' keypoints { id: 7 label: 'nose' } keypoints: { id: 8 label: '}' }\n"
            "  ancestor_ids: [2, 3] frequency: FREQUENT instance_count: 12 }",
            {1: ("cat", "")},
        ),
    ],
)
def test_items_are_read(tmp_path, text, wanted):
    assert read(tmp_path, text) == wanted


@pytest.mark.parametrize("text", ["", "node { name: 'x' }", "items { id: 1 }", "model {\n}", "\x00\xff", "# item {"])
def test_other_files_are_no_label_maps(tmp_path, text):
    assert read(tmp_path, text) is None and label_map.find(tmp_path) is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "line 1: id 1 is used twice"),
        ("item {\n  id: 1\n}", "line 1: item 1 has no name"),
        ("item { name: 'a' }", "with id None; each needs a whole number"),
        ("item { id: -1 name: 'a' }", "with id -1"),
        ("item { id: 1.5 name: 'a' }", "with id 1.5"),
        ("item { id: 0 name: 'cat' }", "id 0 is the background; count from 1"),
        ("item { id: 0 name: 'background' }", "has no classes"),
        ("item { id: 1\n name: cat }", "line 2: name must be in quotes"),
        ("item { id: 1 name: 'a' name: 'b' }", "name is given twice in one item"),
        ("item { id: 1 name: 'a'\n", "line 1: .*ends within an item|expected a field"),
        ("item { id: 1 name: 'a\n' }", "line 1: cannot read"),
        ("item { id: 1 name: 'a' }\nnode { }", r"line 2: expected: item \{"),
        ("item 1", r"expected: item \{"),
        ("item { id 1 }", "expected ':' after id"),
        ("item { keypoints { id: [1} }", "closes nothing"),
        (r"item { id: 1 name: '\x' }", "a string that cannot be read"),
        (b"item { id: 1 name: 'caf\xe9' }", r"its byte 23 is no UTF-8; save it as UTF-8"),
    ],
)
def test_what_is_not_right_is_told_with_its_line(tmp_path, text, words):
    with pytest.raises(UserError, match=rf"label map .*map\.pbtxt.*({words})") as error:
        read(tmp_path, text)
    assert len(str(error.value).splitlines()) == 1


def test_one_label_map_or_several_equal_ones_count(tmp_path):
    assert label_map.find(tmp_path) is None
    read(tmp_path, "node { name: 'graph' }", "graph.pbtxt")
    read(tmp_path, "item { id: 1 name: 'cat' }", "a.pbtxt")
    read(tmp_path, "item { name: 'cat', id: 1 } # again", "b.pbtxt")
    assert label_map.find(tmp_path).path.name == "a.pbtxt"
    read(tmp_path, "item { id: 1 name: 'dog' }", "c.pbtxt")
    with pytest.raises(UserError, match=r"label maps that differ \(a.pbtxt, b.pbtxt, c.pbtxt\); leave only that"):
        label_map.find(tmp_path)
