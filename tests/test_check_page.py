"""The search page in a real browser: searching with the mouse, with the keyboard alone, offline, with a token."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PEOPLE, Server, image_bytes, make_gallery, server

from unrealperson.serve.catalogue import entry_id

pytestmark = pytest.mark.check

TOKEN = "a-token-of-some-length"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def running(gallery: Path) -> Iterator[Server]:
    with server(gallery) as own:
        yield own


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; 'apt-get install chromium' brings it")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield own
        own.close()


@pytest.fixture
def page(browser: Any, running: Server) -> Iterator[Any]:
    """The page, in a browser that reaches nothing but the server; complaints fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    own, complaints, foreign = context.new_page(), [], []
    own.on("pageerror", lambda error: complaints.append(str(error)))
    # The browser itself logs each request that is refused.
    own.on("console", lambda line: complaints.append(line.text) if "Security" in line.text else None)
    own.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((running.address, "blob:")) else None)
    own.goto(running.address)
    own.locator(".match").first.wait_for()
    yield own
    assert complaints == [] and foreign == []
    context.close()


def found(page: Any) -> list[str]:
    """Ids of the matches, once a search is answered."""
    page.locator("#status", has_text=" ms").wait_for()
    page.locator("body:not(.busy)").wait_for()
    return [match.get_attribute("data-entry") for match in page.locator("#hits .match").all()]


def upload(page: Any, number: int) -> list[str]:
    page.locator("#file").set_input_files(
        {"name": "somebody.png", "mimeType": "image/png", "buffer": image_bytes(number)}
    )
    page.locator("#query-about", has_text="somebody.png").wait_for()
    return found(page)


def test_somebody_of_the_gallery_is_looked_for(page: Any) -> None:
    assert page.locator(".match").count() == PEOPLE
    page.get_by_title("Search for this person").nth(2).click()
    matches = found(page)
    assert len(matches) == 20 and page.url.split("#")[1] not in matches
    card = page.locator("#hits .match").first
    assert "camera" in card.inner_text() and "0:00:" in card.inner_text() and card.locator(".score").inner_text()
    assert page.locator("#query-image").evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator("#timeline .track").count() == 3  # two cameras and the axis
    assert page.locator("#timeline button").count() == 20 and page.locator("#timeline i").count() == 1

    card.click()  # search on from a match, and back
    page.wait_for_url(f"**/#{matches[0]}")
    onward = found(page)
    assert matches[0] not in onward and onward != matches
    page.go_back()
    page.locator("#query-about", has_text="#2").wait_for()
    page.locator(f'#hits li:first-child [data-entry="{matches[0]}"]').wait_for()


def test_a_picture_from_outside_and_every_filter(page: Any) -> None:
    upload(page, 4)
    assert page.locator("#query-image").get_attribute("src").startswith("blob:")

    def after(action: Any) -> list[str]:
        with page.expect_response(lambda answer: "/search" in answer.url):
            action()
        return found(page)

    everything = after(lambda: page.locator("#own-camera").select_option("1"))
    assert everything[0] == entry_id("0001_c1_0.png")
    ranked = after(page.locator("#rerank").check)
    assert ranked != everything
    assert "common neighbours" in page.locator("#status").inner_text()
    after(page.locator("#rerank").uncheck)
    one = after(lambda: page.locator("#cameras input").nth(1).check())
    assert len(one) == 12 and all("camera 2" in text for text in page.locator("#hits .match").all_inner_texts())
    page.locator("#from").fill("0:10")
    window = after(lambda: page.locator("#from").press("Enter"))
    assert 0 < len(window) < len(one)
    page.locator("#attribute").select_option("gender")
    looks = after(lambda: page.locator("#value").select_option("male"))
    assert 0 < len(looks) < len(window)
    people = after(lambda: page.locator("#group").select_option("identity"))
    assert len(people) == 2 < len(looks)
    after(lambda: page.locator("#group").select_option("none"))
    cleared = after(lambda: page.locator("#clear").click())
    assert cleared == everything
    page.locator("#from").fill("soon")
    after(lambda: page.locator("#from").press("Enter"))
    assert page.locator("#from").get_attribute("aria-invalid") == "true"
    page.locator("#from").fill("99999")
    page.locator("#from").press("Enter")
    page.locator("#status", has_text="No image passes the filters").wait_for()


def test_dropping_a_file(page: Any) -> None:
    page.evaluate(
        """async (numbers) => {
             const transfer = new DataTransfer();
             transfer.items.add(new File([new Uint8Array(numbers)], "dropped.png", { type: "image/png" }));
             document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
           }""",
        list(image_bytes(9)),
    )  # fmt: skip
    page.locator("#query-about", has_text="dropped.png").wait_for()
    page.locator("#own-camera").select_option("2")
    page.locator(f'#hits li:first-child [data-entry="{entry_id("0002_c2_0.png")}"]').wait_for()


def test_a_file_that_is_no_image_is_explained(page: Any) -> None:
    page.locator("#file").set_input_files({"name": "words.png", "mimeType": "image/png", "buffer": b"words"})
    page.locator("#status.bad", has_text="is not a readable image").wait_for()


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    def focused(what: str = "document.activeElement.id") -> Any:
        return page.evaluate(f"() => {what}")

    page.keyboard.press("Tab")
    assert focused("document.activeElement.textContent") == "Skip to the matches"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused("document.activeElement.className") == "match"
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", PEOPLE - 1), ("Home", 0)):
        page.keyboard.press(key)
        assert focused("[...document.querySelectorAll('.match')].indexOf(document.activeElement)") == place
    page.keyboard.press("Enter")
    matches = found(page)
    page.locator("#hits .match").first.focus()
    page.keyboard.press("ArrowDown")
    below = focused("[...document.querySelectorAll('.match')].indexOf(document.activeElement)")
    assert below > 1
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/#{matches[below]}")
    found(page)

    seen = []
    page.locator("#file").focus()
    for _ in range(60):
        seen.append(focused("document.activeElement.id || document.activeElement.value || ''"))
        page.keyboard.press("Tab")
        if focused("document.activeElement.className") == "match":
            break
    assert {"file", "rerank", "group", "k", "1", "2", "from", "to", "attribute", "clear"} <= set(seen)
    page.locator("#rerank").focus()
    with page.expect_response(lambda answer: "rerank=true" in answer.url):
        page.keyboard.press("Space")
    found(page)  # the timeline is made anew
    page.locator("#timeline button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")  # from a dot to its match
    assert "match" in focused("document.activeElement.className")


def test_a_narrow_screen_shows_the_matches_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    page.locator(".match").first.click()
    found(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert not page.locator("#cameras").is_visible()  # filters are folded away
    page.locator("#filters summary").click()
    assert page.locator("#cameras").is_visible()


def test_a_page_for_whoever_has_the_token(browser: Any, gallery: Path) -> None:
    with server(gallery, UNREALPERSON_TOKEN=TOKEN) as own:
        page = browser.new_page()
        page.goto(own.address)
        page.locator("#token").fill("not the token at all")
        page.keyboard.press("Enter")
        page.locator("#token-dialog[open]").wait_for()
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator(".match").first.click()
        assert len(found(page)) == 20
        picture = page.locator(".match img").first
        picture.evaluate("image => image.decode()")
        assert picture.evaluate("image => image.naturalWidth") > 0
        page.close()
