"""A file of manifests with its images rewritten to mirrors, and the result for each image."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cli.input.yaml_documents import read_documents, replace_texts
from cli.rewrite.found_image import FindMatches, Found, Rules, find_images


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

    @property
    def is_pending(self) -> bool:
        """Whether an image needs an edit of another file to be pulled from its mirror."""
        return any(each.kept is not None and each.kept.is_pending for each in self.found)

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
    text: str, name: str, rules: Rules, find_matches: FindMatches = lambda _: ()
) -> RewrittenFile:
    """
    Rewrite the images in the text of a YAML or JSON file.

    Raises:
        DocumentError: It is neither.
    """
    found = tuple(
        each
        for document in read_documents(text)
        for each in find_images(document, name, rules, find_matches)
    )
    changes = {each.place: each.mirror for each in found if each.mirror}
    return RewrittenFile(name, text, replace_texts(text, changes.items()), found)


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
