"""report.html in a real browser without a network: it requests only the page, refuses nothing, and its controls work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import HOSTILE

pytestmark = pytest.mark.browser

COUNTS = {"converted": 2, "unchanged": 1, "failed": 3}  # distilbert and one made by hand; bert; roberta, ./gone and one by hand


@pytest.fixture
def said() -> list[str]:
    """The requests of a page beyond itself, and the browser's messages."""
    return []


def opened(context: BrowserContext, path: Path, said: list[str]) -> Page:
    page = context.new_page()
    page.on("console", lambda message: said.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: said.append(f"request: {request.url}") if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(browser: Browser, written: Path, said: list[str]) -> Iterator[Page]:
    """The page; a test with it fails after any message of the browser."""
    context = browser.new_context(offline=True)
    yield opened(context, written, said)
    context.close()
    assert said == []


def shown(page: Page) -> list[str]:
    """The names of the jobs that are seen, in order."""
    return [header.inner_text() for header in page.locator("#jobs > tbody:visible th[role=rowheader]").all()]


def test_the_counts_and_the_summary_are_there_to_see(page: Page) -> None:
    glance = page.locator(".glance > div")
    for state, count in COUNTS.items():
        expect(glance.filter(has=page.get_by_text(state, exact=True)).locator("dd")).to_have_text(str(count))
    expect(page.locator(".summary")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("6 of 6 jobs")


def test_no_name_or_message_of_a_checkpoint_turns_into_markup(page: Page) -> None:
    assert HOSTILE in shown(page)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator("a[href^='javascript']").count() == 0
    assert "49" not in page.locator("#jobs > tbody").nth(4).inner_text()


def test_the_filter_by_state_hides_the_rows_of_all_others(page: Page) -> None:
    page.get_by_role("radio", name="failed").check(force=True)
    assert len(shown(page)) == COUNTS["failed"]
    assert page.locator("#jobs > tbody:not([data-state=failed]):visible").count() == 0
    expect(page.get_by_role("status")).to_have_text("3 of 6 jobs")
    page.get_by_role("searchbox").fill("GONE")
    assert shown(page) == ["./gone"]
    page.get_by_role("radio", name="all").check(force=True)
    page.get_by_role("searchbox").fill("")
    assert len(shown(page)) == 6


@pytest.mark.parametrize(("column", "direction"), [("Time", "descending"), ("Model", "ascending"), ("Size", "descending")])
def test_a_column_sorts_one_way_then_the_other_then_as_the_manifest_has_it(page: Page, column: str, direction: str) -> None:
    before = shown(page)
    head = page.get_by_role("columnheader", name=column)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", direction)
    once = shown(page)
    place = [title.rstrip(" ↓↑") for title in page.locator("#jobs > thead th").all_inner_texts()].index(column)
    cells = page.locator(f"#jobs > tbody > tr:first-child > :nth-child({place + 1})")
    values = cells.evaluate_all("all => all.map(each => each.dataset.value ?? (each.textContent.trim() || null))")
    figures = [value for value in values if value is not None]
    if column != "Model":
        assert [float(value) for value in figures] == sorted(map(float, figures), reverse=True)
        assert values[: len(figures)] == figures  # rows without a figure come last
    head.get_by_role("button").click()
    assert shown(page) != once
    head.get_by_role("button").click()
    assert shown(page) == before
    assert page.locator("[aria-sort]").count() == 0


def test_the_details_of_a_job_open_and_tell_every_case(page: Page) -> None:
    job = page.locator("#jobs > tbody[data-state=converted]").first
    expect(job.get_by_text("documented sample")).to_be_hidden()
    job.locator("summary").click()
    expect(job.get_by_role("columnheader", name="documented sample")).to_be_visible()
    expect(job.get_by_text("PyTorch")).to_be_visible()
    rejected = page.locator("#jobs > tbody[data-state=failed]").first
    expect(rejected.locator(".failure")).to_contain_text("does not match the checkpoint")
    rejected.locator("summary").click()
    expect(rejected.locator(".wrong")).to_contain_text("atol: 1e-30")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, written: Path, tmp_path: Path, said: list[str], width: int, scheme: str
) -> None:
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = opened(context, written, said)
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true })")
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    )
    context.close()
    assert said == []


def test_without_javascript_all_is_there_but_the_filter(browser: Browser, written: Path) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(written.as_uri())
    assert len(shown(page)) == 6
    expect(page.locator("#filter")).to_be_hidden()
    page.locator("#jobs summary").first.click()
    expect(page.get_by_role("columnheader", name="documented sample").first).to_be_visible()
    context.close()


def test_a_script_that_got_into_the_page_would_not_run_nor_load_anything(browser: Browser, written: Path, said: list[str]) -> None:
    """The policy is in force, and the other tests' listeners work."""
    context = browser.new_context(offline=True)
    page = opened(context, written, said)
    added = """() => { const script = document.createElement("script"); script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" })) }"""
    page.evaluate(added)
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert len([message for message in said if "Content Security Policy" in message]) >= 2
    context.close()
