"""A nested dict of options, each of which must be read. An option that nobody reads is an error."""

_REQUIRED = object()


class Options:
    """One section of the reference's `model_config`. `path` tells its place in messages."""

    def __init__(self, values, path="model_config"):
        self._values, self._path, self._read, self._sections = dict(values), path, set(), {}

    def __contains__(self, name):
        return self._values.get(name) is not None

    def get(self, name, default=_REQUIRED):
        """The value of an option. `default` is the reference's own; without one, a missing option is a ValueError."""
        self._read.add(name)
        if name not in self._values and default is _REQUIRED:
            raise ValueError(f"{self._path} has no {name}")
        return self._values.get(name, default)

    def one_of(self, name, *choices):
        """The value of an option that must be one of `choices`, the first of which is the reference's default."""
        value = self.get(name, choices[0])
        if value not in choices:
            raise ValueError(f"{self._path}.{name} is {value!r}; we have {' or '.join(map(repr, choices))} only")
        return value

    def section(self, name):
        """A nested section as Options, empty if there is none."""
        self._read.add(name)
        if name not in self._sections:
            self._sections[name] = [Options(self._values.get(name) or {}, f"{self._path}.{name}")]
        return self._sections[name][0]

    def sections(self, name, count):
        """A list of `count` nested sections; a single section serves for all of them."""
        value = self.get(name)
        values = value if isinstance(value, list) else [value] * count
        if len(values) != count:
            raise ValueError(f"{self._path}.{name} has {len(values)} entries for {count} stages")
        if name not in self._sections:
            self._sections[name] = [Options(entry, f"{self._path}.{name}[{i}]") for i, entry in enumerate(values)]
        return self._sections[name]

    def skip(self, *names):
        """Marks options as read that do not affect the compared numbers."""
        self._read.update(names)

    def check_all_read(self):
        """Raises a ValueError that names all options, here and in nested sections, that nobody has read."""
        unread = sorted(self._unread())
        if unread:
            raise ValueError(f"the comparison does not know these options: {', '.join(unread)}")

    def _unread(self):
        for name, value in self._values.items():
            if name not in self._read:
                yield f"{self._path}.{name} = {value!r}"
        for sections in self._sections.values():
            for section in sections:
                yield from section._unread()


def alike(values, what):
    """The value that all of `values` share. Raises ValueError if they differ."""
    if any(value != values[0] for value in values):
        raise ValueError(f"{what} differs from stage to stage ({values}); ours has one for all")
    return values[0]
