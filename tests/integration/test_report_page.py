"""
The page of a report, without a browser and in a real one.

Tests that need a browser are skipped where none is installed.
"""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from shared.domain.fact import Fact
from tests.fakes.fact_lines import CLUSTER, as_lines, pull, statement, subject, warmup
from tests.integration.browsers import Browser, find_browser, open_browser

pytestmark = pytest.mark.integration

IMAGES = ("anyscale/ray-ml:2.7.0", "vllm/vllm-openai:v0.6.3", "library/small:1")
HOSTILE = "evil.example/a:1</script><script>alert(1)</script><img src=//evil.example/x>"
VOID = {"meta", "link", "br", "img", "input", "hr"}


def some_facts(pulls: int = 24) -> Iterator[Fact]:
    """Pulls of all verdicts, warmups that ended well and not, and a name that would do harm."""
    verdicts = ("streamed", "streamed", "not_streamed", "cached_on_node", "unknown")
    for number in range(pulls):
        image = IMAGES[number % 3]
        about = subject(f"docker.io/{image}", f"r-docker.pkg.dev/p/hub/{image}")
        verdict = verdicts[number % 5]
        seconds = (200.0 if verdict == "not_streamed" else 5.0) + number % 7
        yield pull(verdict, seconds, after_s=number * 40, about=about, pod=f"p{number}")  # type: ignore[arg-type]
    yield statement(layers=9)
    yield warmup(310.0)
    yield warmup(
        None, outcome="no_node", streamed=None, target="gb200", reason="no node", hint="Add."
    )
    yield pull("not_streamed", 60.0, about=subject(HOSTILE, None), node=HOSTILE, hint=HOSTILE)


def write_page(path: Path, facts: Iterator[Fact]) -> Path:
    ended = CliRunner().invoke(
        app, ["report", "-", "--html", str(path)], input=as_lines(facts), obj={}
    )
    assert ended.exit_code == 0, ended.output
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "report.html", some_facts())


class Outline(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    parsed = Outline()
    parsed.feed(page.read_text("utf-8"))
    parsed.close()
    return parsed


def test_every_element_is_closed(outline: Outline) -> None:
    assert outline.open == []


def test_page_is_one_file_that_may_not_ask_for_anything(outline: Outline) -> None:
    policy = next(each for each in outline.all("meta") if "http-equiv" in each)

    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none'")
    assert "eval" not in str(policy["content"])
    assert not any(
        "src" in each or "href" in each for _, each in outline.tags if "#" not in str(each)
    )
    assert not outline.all("link")
    assert not outline.all("img")


def test_landmarks_and_headings_lead_through_the_page(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.tags]

    assert [tags.count(each) for each in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    ids = {each["id"] for _, each in outline.tags if "id" in each}
    sections = outline.all("section")
    assert len(sections) >= 7
    assert all(each["aria-labelledby"] in ids for each in sections)
    assert outline.all("html") == [{"lang": "en"}]


def test_tables_have_headers(outline: Outline) -> None:
    headings = outline.all("th")

    assert headings
    assert all(each.get("scope") in {"col", "row"} for each in headings)
    assert all(
        each.get("tabindex") == "0" and each.get("role") == "group" and each.get("aria-label")
        for each in outline.all("div")
        if each.get("class") == "scroll"
    )


def test_pictures_have_a_description_and_a_table_beside_them(outline: Outline) -> None:
    charts = [each for each in outline.all("div") if each.get("class") == "chart"]

    assert [each["id"] for each in charts] == ["bars", "points"]
    assert all(each["role"] == "img" and each["aria-label"] for each in charts)
    assert "By day, as a table" in outline.text


def test_page_adapts_to_color_schemes_and_small_screens(page: Path) -> None:
    text = page.read_text("utf-8")

    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion" in text
    assert 'name="viewport" content="width=device-width' in text


def test_no_name_of_an_image_becomes_part_of_the_page(page: Path, outline: Outline) -> None:
    text = page.read_text("utf-8")

    assert "<script>alert" not in text
    assert len(outline.all("script")) == 4
    assert any(HOSTILE in each for each in outline.text)


def test_verdict_can_be_traced_to_log_entries(outline: Outline) -> None:
    assert 'insertId="kubelet-1"' in outline.text
    assert sum("insertId=" in each for each in outline.text) > 20


@pytest.mark.parametrize(
    "colours",
    re.findall(
        r"\{\s*--ground.*?\}",
        (Path(__file__).parents[2] / "cli/report/page/page.css").read_text("utf-8"),
        re.DOTALL,
    ),
    ids=["light", "dark"],
)
def test_texts_have_enough_contrast(colours: str) -> None:
    known = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", colours))

    for ink in ("ink", "muted", "streamed"):
        for ground in ("ground", "card", "glow"):
            assert contrast(known[ink], known[ground]) >= 4.5, (ink, ground)
    for badge in ("not_streamed", "cached_on_node", "unknown"):
        assert contrast(known["card"], known[badge]) >= 4.5, badge
    for mark in ("cold", "likely_streamed", "warmup"):
        assert contrast(known[mark], known["card"]) >= 3.0, mark


def contrast(one: str, other: str) -> float:
    """By WCAG: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_pictures_are_specifications_that_vega_lite_takes(page: Path) -> None:
    import vl_convert

    charts = json.loads(re.findall(r'id="charts">(.*?)</script>', page.read_text("utf-8"))[0])
    text = json.dumps(charts).replace('"$columns"', "2").replace('"$ticks"', "4")
    plain = json.loads(re.sub(r'"\$\w+"', '"#123456"', text))

    for spec in plain.values():
        svg = vl_convert.vegalite_to_svg({**spec, "width": 400}, allowed_base_urls=[])
        assert svg.startswith("<svg")
        assert svg.count("<path") > 5


def test_causes_after_the_tenth_are_shown_on_demand(tmp_path: Path) -> None:
    facts = (
        pull(
            "not_streamed",
            60.0,
            about=subject(f"docker.io/team/app-{number}:1", f"r.io/app-{number}:1"),
            pod=f"p{number}",
            hint=f"Hint {number}.",
        )
        for number in range(12)
    )
    text = write_page(tmp_path / "causes.html", facts).read_text("utf-8")

    assert text.count('<li class="finding not_streamed"') == 10
    assert text.count('<li class="finding not_streamed more"') == 2
    assert "Show all 12" in text


def test_page_of_three_thousand_images_is_small(tmp_path: Path) -> None:
    page = write_page(tmp_path / "large.html", many_images(3_000))

    assert page.stat().st_size < 3_000_000


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("the page was NOT LOOKED AT IN A BROWSER: none is installed")
    with open_browser(program, tmp_path / "profile") as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_browser_draws_the_page_without_messages_and_requests(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    browser.open(page, width=width, scheme=scheme)

    assert browser.messages == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.querySelectorAll('.chart[data-drawn=yes] svg').length") == 2
    assert browser.run("document.documentElement.scrollWidth") <= width
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(13, 17, 23)")


def test_many_pulls_are_drawn_by_day(browser: Browser, tmp_path: Path) -> None:
    page = write_page(tmp_path / "many.html", some_facts(5_000))

    browser.open(page, width=1280)

    assert browser.messages == []
    assert browser.run("document.querySelectorAll('#days[data-drawn=yes] svg').length") == 1
    charts = "JSON.parse(document.getElementById('charts').textContent)"
    days = browser.run(f"{charts}.days.data.values")
    assert sum(each["pulls"] for each in days) == 5_001


def many_images(images: int = 120) -> Iterator[Fact]:
    """Slow pulls of many images for one cause, and of each tenth image in another cluster."""
    for number in range(images):
        cluster = CLUSTER.replace("gpu", "other") if number % 10 == 0 else CLUSTER
        about = subject(f"docker.io/team/app-{number}:1", f"r.io/app-{number}:1", cluster)
        yield pull("not_streamed", 60.0 + number, after_s=number, about=about, pod=f"p{number}")


def shown_rows(browser: Browser) -> int:
    rows = "[...document.querySelectorAll('#images ~ .scroll tbody tr')]"
    return int(browser.run(f"{rows}.filter(row => !row.hidden).length"))


def test_search_and_filters_find_images_that_the_page_does_not_show_at_first(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open(write_page(tmp_path / "many.html", many_images()), width=1280)
    assert shown_rows(browser) == 50

    browser.run(fill("search", "app-119"))
    assert shown_rows(browser) == 1
    assert browser.run("document.getElementById('matches').textContent") == "1 image"

    browser.run("document.getElementById('clear').click()")
    browser.run(fill("cluster", "1"))
    assert shown_rows(browser) == 12
    assert browser.run("[...document.querySelectorAll('.finding')].map(each => each.hidden)") == [
        True,
        False,
    ]


def fill(field: str, value: str) -> str:
    """Return a script that enters a value as a person does."""
    return (
        f"(() => {{ const field = document.getElementById('{field}'); field.value = '{value}';"
        " field.dispatchEvent(new Event('input', {bubbles: true})); return 1; })()"
    )


def test_all_images_are_shown_on_demand(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_page(tmp_path / "many.html", many_images()), width=1280)

    browser.run("document.querySelector('.show-all[data-shows=images]').click()")

    assert shown_rows(browser) == 120


def test_table_is_sorted_from_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page, width=1280)
    heading = "document.querySelectorAll('#images ~ .scroll thead th')[7]"
    browser.run(f"{heading}.querySelector('button').focus()")

    browser.press("Enter")

    assert browser.run(f"{heading}.getAttribute('aria-sort')") == "descending"
    down = pulls_column(browser)
    assert down == sorted(down, reverse=True)
    browser.press("Enter")
    assert browser.run(f"{heading}.getAttribute('aria-sort')") == "ascending"
    assert pulls_column(browser) == sorted(down)
    assert browser.run("document.querySelectorAll('th[aria-sort]').length") == 1
    said = browser.run("document.getElementById('sorted').textContent")
    assert said == "Sorted by pulls, ascending."


def pulls_column(browser: Browser) -> list[int]:
    rows = "[...document.querySelectorAll('#images ~ .scroll tbody tr')]"
    return [int(each) for each in browser.run(f"{rows}.map(row => row.cells[7].dataset.value)")]


def test_unmeasured_rows_sort_last_in_both_directions(browser: Browser, page: Path) -> None:
    browser.open(page, width=1280)
    column = (
        "[...document.querySelectorAll('#images ~ .scroll tbody tr')]"
        ".map(row => row.cells[9].dataset.value)"
    )
    button = "document.querySelectorAll('#images ~ .scroll thead button')[9]"

    for _ in range(2):
        browser.run(f"{button}.click()")
        assert browser.run(column)[-1] == ""


def test_page_follows_the_color_scheme_of_the_system(browser: Browser, page: Path) -> None:
    browser.open(page, width=1280)
    bars = "document.querySelector('#bars svg').outerHTML"
    light = browser.run(bars)

    browser.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )

    dark = browser.run(
        "new Promise(done => { const look = () => {"
        " const svg = document.querySelector('#bars svg'); svg && svg.outerHTML.includes('#ff9a5c')"
        " ? done(svg.outerHTML)"
        " : requestAnimationFrame(look); }; look(); })"
    )
    assert "#d9621f" in light
    assert "#d9621f" not in dark
    assert browser.messages == []
