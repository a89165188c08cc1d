"""An environment that records the variables that are read."""

from collections.abc import Iterator, Mapping


class Environ(Mapping[str, str]):
    """Records the name of each variable that is read; nobody may list them."""

    def __init__(self, **variables: str) -> None:
        self._variables = variables
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the environment is read by name")

    def __len__(self) -> int:
        return 1
