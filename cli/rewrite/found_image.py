"""The images in a document, each with its mirror or the reason to keep it."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from cli.input.yaml_documents import Document, Place
from cli.rewrite.custom_resources import (
    IMAGE_PATHS,
    KUSTOMIZATION,
    find_listed_fields,
    find_possible_images,
    format_path,
    kind_of,
    objects_in,
)
from cli.rewrite.name_matches import KUSTOMIZATIONS, NameMatch
from shared.domain.image_fields import ImageField, Path, find_image_fields
from shared.domain.mirror_reference import Left, Rewrite, rewrite_field, rewrite_image
from shared.domain.proven_mirrors import Proof, PullSecrets

FindMatches = Callable[[str], Sequence[NameMatch]]
"""Returns the places that match an image of the file by its name."""

_EXPECTED = frozenset({Left.AT_GOOGLE, Left.NO_MIRROR, Left.OPTED_OUT})
"""Skip reasons that need no remark."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A reason of the file, or of files around it, to keep an image that has a mirror."""

    left: Literal["shared", "kustomize", "skaffold", "unknown_field"]
    sentence: str
    is_pending: bool = False
    """Whether an edit elsewhere is needed to pull from the mirror."""
    is_expected: bool = False
    """Whether the reason needs no remark."""


_SHARED = Kept("shared", "an anchor shares it with a text that must stay")


@dataclass(frozen=True, slots=True)
class Found:
    """An image in a file, and its result."""

    place: Place
    rewrite: Rewrite
    kept: Kept | None = None

    @property
    def mirror(self) -> str | None:
        """The text that takes the place of the image's."""
        return None if self.kept else self.rewrite.mirror

    @property
    def remark(self) -> str | None:
        """The reason why the image was not rewritten, if a person should know it."""
        if self.kept:
            return None if self.kept.is_expected else self.kept.sentence
        return None if self.rewrite.left in _EXPECTED else self.rewrite.sentence

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "line": self.place.line,
            "column": self.place.column,
            "image": self.place.value,
            "mirror": self.mirror,
            "left": self.kept.left if self.kept else self.rewrite.left,
            "reason": self.kept.sentence if self.kept else self.rewrite.sentence,
        }


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which the images of files are rewritten."""

    proofs: Mapping[str, Proof]
    secrets: PullSecrets = "skip"
    image_paths: Mapping[str, Sequence[str]] = field(default_factory=lambda: IMAGE_PATHS)
    """Paths of image fields outside pod specs, by KIND.GROUP."""


def find_images(
    document: Document, name: str, rules: Rules, find_matches: FindMatches
) -> Iterator[Found]:
    """Yield each image once; a text that an anchor gives to several must suit all of them."""
    meanings: dict[Place, list[Rewrite]] = {}
    ways: dict[Place, int] = {}
    seen: set[Path] = set()
    for each in _find_fields(document.body, name, rules):
        if isinstance(each.image, str) and each.path not in seen:
            seen.add(each.path)
            place = document.find(each.path)
            meanings.setdefault(place, []).append(rewrite_field(each, rules.proofs, rules.secrets))
            ways[place] = document.count_ways(each.path)
    for place, rewrites in meanings.items():
        wanted = next((each for each in rewrites if each.mirror), rewrites[0])
        is_shared = len(rewrites) < ways[place] or any(each != wanted for each in rewrites)
        kept = None
        if wanted.mirror is not None:
            kept = _SHARED if is_shared else _keep_matched(wanted, find_matches, rules)
        yield Found(place, wanted, kept)
    yield from _find_possible(document, meanings, rules)


def _find_fields(body: Any, name: str, rules: Rules) -> Iterator[ImageField]:
    yield from find_image_fields(body)
    for root, each in objects_in(body):
        kind = kind_of(each)
        if not kind and PurePath(name).name in KUSTOMIZATIONS:
            kind = KUSTOMIZATION
        yield from find_listed_fields(each, rules.image_paths.get(kind, ()), root)


def _keep_matched(rewrite: Rewrite, find_matches: FindMatches, rules: Rules) -> Kept | None:
    """Return the reason to keep an image that another tool replaces by its name."""
    matches = find_matches(rewrite.image)
    if not matches:
        return None
    first = matches[0]
    if first.tool == "skaffold":
        return Kept("skaffold", f"{first} builds it")
    pending = next((each for each in matches if _is_pending(each, rules.proofs)), None)
    if pending is None:
        return Kept("kustomize", f"{first} replaces it by {first.new_name}", is_expected=True)
    if pending.new_name is not None:
        sentence = f"{pending} replaces it by {pending.new_name}: rewrite that file"
        return Kept("kustomize", sentence, is_pending=True)
    mirror = rewrite_image(pending.name, rules.proofs).mirror
    sentence = (
        f"{pending} matches it by name, so a new name would not match: set newName: {mirror} there,"
        f" or render first (kubectl kustomize {pending.folder} | prestream rewrite -)"
    )
    return Kept("kustomize", sentence, is_pending=True)


def _is_pending(match: NameMatch, proofs: Mapping[str, Proof]) -> bool:
    """Whether the image that a kustomization makes of a name could be pulled from a mirror."""
    return rewrite_image(match.new_name or match.name, proofs).mirror is not None


def _find_possible(document: Document, known: Container[Place], rules: Rules) -> Iterator[Found]:
    """Yield the texts of unknown kinds that may be images with a mirror; they stay as they are."""
    for root, body in objects_in(document.body):
        for at, text in find_possible_images(body, root):
            rewrite = rewrite_image(text, rules.proofs)
            if rewrite.mirror is not None and (place := document.find(at)) not in known:
                yield Found(place, rewrite, _keep_unknown(body, at[len(root) :]))


def _keep_unknown(body: Mapping[str, Any], at: Path) -> Kept:
    kind, path = kind_of(body), format_path(at)
    if not kind:
        return Kept("unknown_field", "it may be an image, but the file is not a Kubernetes object")
    sentence = f"it may be an image, but this field of {kind} is not known as one"
    if path is not None:
        sentence += f"; if it is: image_paths: {{{kind}: [{path!r}]}} in prestream.yaml"
    return Kept("unknown_field", sentence)
