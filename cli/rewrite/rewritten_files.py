"""A file of manifests with its images rewritten to mirrors, and the result for each image."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.input.yaml_documents import Place, read_documents, replace_texts
from shared.domain.image_fields import find_image_fields
from shared.domain.mirror_reference import Left, Rewrite, rewrite_field
from shared.domain.proven_mirrors import Proof, PullSecrets

_EXPECTED = frozenset({Left.AT_GOOGLE, Left.NO_MIRROR, Left.OPTED_OUT})
"""Skip reasons that need no remark."""

_SHARED = "an anchor shares it with a text that must stay"


@dataclass(frozen=True, slots=True)
class Found:
    """An image in a file, and its result."""

    place: Place
    rewrite: Rewrite
    is_shared: bool = False
    """Whether an anchor shares the text with something that must stay as it is."""

    @property
    def mirror(self) -> str | None:
        """The text that takes the place of the image's."""
        return None if self.is_shared else self.rewrite.mirror

    @property
    def remark(self) -> str | None:
        """The reason why the image was not rewritten, if a person should know it."""
        if self.is_shared:
            return _SHARED
        return None if self.rewrite.left in _EXPECTED else self.rewrite.sentence

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        left = "shared" if self.is_shared else self.rewrite.left
        return {
            "line": self.place.line,
            "column": self.place.column,
            "image": self.place.value,
            "mirror": self.mirror,
            "left": left,
            "reason": _SHARED if self.is_shared else self.rewrite.sentence,
        }


@dataclass(frozen=True, slots=True)
class RewrittenFile:
    """A file before and after."""

    name: str
    before: str
    after: str
    found: tuple[Found, ...]

    @property
    def is_changed(self) -> bool:
        """Whether an image was rewritten."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            f"a/{self.name}",
            f"b/{self.name}",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def rewrite_text(
    text: str, name: str, proofs: Mapping[str, Proof], secrets: PullSecrets = "skip"
) -> RewrittenFile:
    """
    Rewrite the images in the text of a YAML or JSON file.

    Raises:
        DocumentError: It is neither.
    """
    found = tuple(_find_images(text, proofs, secrets))
    changes = {each.place: each.mirror for each in found if each.mirror}
    return RewrittenFile(name, text, replace_texts(text, changes.items()), found)


def _find_images(text: str, proofs: Mapping[str, Proof], secrets: PullSecrets) -> Iterator[Found]:
    """Yield each image once; a text that an anchor gives to several must suit all of them."""
    for document in read_documents(text):
        meanings: dict[Place, list[Rewrite]] = {}
        ways: dict[Place, int] = {}
        for field in find_image_fields(document.body):
            if isinstance(field.image, str):
                place = document.find(field.path)
                meanings.setdefault(place, []).append(rewrite_field(field, proofs, secrets))
                ways[place] = document.count_ways(field.path)
        for place, rewrites in meanings.items():
            wanted = next((each for each in rewrites if each.mirror), rewrites[0])
            is_shared = len(rewrites) < ways[place] or any(each != wanted for each in rewrites)
            yield Found(place, wanted, is_shared=is_shared and wanted.mirror is not None)


def report(files: Iterable[RewrittenFile]) -> dict[str, Any]:
    """Return the result for each image of some files, for ``--json``."""
    return {
        "files": [
            {
                "file": file.name,
                "changed": file.is_changed,
                "images": [each.as_json() for each in file.found],
            }
            for file in files
        ]
    }


def join_files(files: Iterable[RewrittenFile]) -> str:
    """Return the files as one stream of documents; one alone stays as it is, to the byte."""
    parts: list[str] = []
    for file in files:
        if parts and not parts[-1].endswith("\n"):
            parts.append("\n")
        if parts:
            parts.append("---\n")
        parts.append(file.after)
    return "".join(parts)
