"""The seeds and findings of fuzzing run through the same targets again."""

import pytest

from tools.fuzz.fuzz_target import TARGETS
from tools.fuzz.seeds import CORPUS, list_seeds


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_fuzzing_found_is_a_bug_any_more(target: str) -> None:
    found = [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]

    for data in [*list_seeds(target), *found]:
        TARGETS[target](data)


def test_no_folder_of_the_corpus_is_forgotten() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_corpus_stays_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.glob("*/*")]

    assert 0 < len(sizes) <= 300
    assert sum(sizes) < 1_000_000
