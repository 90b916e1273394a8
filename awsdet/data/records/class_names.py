"""Class names that look like mistakes: two spellings of one name, and names that are only numbers."""

import re
from typing import NamedTuple

_LEAST_LETTERS = 4  # shorter words that differ in one letter, such as cat and car, are seldom typing errors
_LARGEST_GROUP = 20  # names alike, up to which each pair of them is named


class NamePair(NamedTuple):
    """Two classes with names that may mean the same; `why` says in a few words how they differ."""

    first: int
    second: int
    why: str


def similar_names(names):
    """NamePairs of classes whose names are equal but for case, spaces or signs, a plural s, or one letter.

    Names that differ in a digit, or in a word of one letter (type A, type B), are meant to differ. Of more than 20
    names that are alike, each makes a pair with the next one only.
    """
    pairs, taken = [], set()
    for why, key in _SPELLINGS:
        groups = {}
        for number, name in enumerate(names):
            groups.setdefault(key(name), []).append(number)
        for first, second in _pairs(groups.values()):
            if (first, second) not in taken:
                taken.add((first, second))
                pairs.append(NamePair(first, second, why))
    plain = [_words(name) for name in names]
    nearly = {}
    for number, name in enumerate(plain):
        if len(name) < _LEAST_LETTERS:
            continue
        letters = (i for i, letter in enumerate(name) if not letter.isdigit())  # digits are meant to differ
        for variant in {name, *(name[:i] + name[i + 1 :] for i in letters)}:
            nearly.setdefault(variant, []).append(number)
    for first, second in sorted(set(_pairs(nearly.values())) - taken):
        if _is_typing_error(plain[first], plain[second]):
            pairs.append(NamePair(first, second, "differ in one letter"))
    return pairs


def number_names(names):
    """Positions of the names that are only numbers, which are often ids that took the place of names."""
    return [i for i, name in enumerate(names) if re.fullmatch(r"\s*[+-]?\d+([.,]\d*)?\s*", name)]


def blank_names(names):
    """Positions of the names in which nothing can be seen."""
    return [i for i, name in enumerate(names) if not name.strip()]


def _words(name):
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _singular(name):
    """A key that is the same for the singular and the regular plural of English words."""
    key = re.sub(r"(?<=\w\w)ies?\b", "y", _words(name))
    return re.sub(r"(?<=\w)s\b", "", re.sub(r"(s|x|z|ch|sh)es\b", r"\1", key))


def _has_letters(name):
    return any(map(str.isalpha, name))


# In this order, a pair is named by the first that makes its names equal.
_SPELLINGS = (
    ("are equal", str),
    ("differ in case", str.casefold),
    ("differ in spaces or signs", lambda name: _words(name).replace(" ", "") if _has_letters(name) else name),
    ("differ in a plural s", lambda name: _singular(name) if _has_letters(name) else name),
)


def _pairs(groups):
    """Pairs (first, second) of the members of each group, first < second; of large groups, only neighbours."""
    for group in groups:
        members = sorted(set(group))
        near = 1 if len(members) > _LARGEST_GROUP else len(members)
        yield from ((a, b) for i, a in enumerate(members) for b in members[i + 1 : i + 1 + near])


def _is_typing_error(first, second):
    """Whether one letter more, less, other, or two swapped ones make two names equal, and nothing hints at purpose."""
    if min(len(first), len(second)) < _LEAST_LETTERS:
        return False
    start = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
    a, b = first[start:], second[start:]
    swapped = a[:2] == b[:2][::-1] and a[2:] == b[2:]
    if not (swapped or a[1:] == b[1:] or a[1:] == b or a == b[1:]):
        return False
    differing = (a[:1], b[:1])
    if any(letter.isdigit() for letter in differing):
        return False
    return not any(len(_word_at(name, start)) <= 1 for name in (first, second))


def _word_at(name, place):
    """The word of `name` that holds or ends at the place."""
    start = name.rfind(" ", 0, place) + 1
    return name[start:].partition(" ")[0]
