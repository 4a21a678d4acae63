"""The page in a real browser: search, play at the moment, curve, keyboard, hostile words, phone, dark."""

import re
import shutil
import time
from pathlib import Path

import pytest

from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.server.app import build_app
from mmpt.server.settings import Settings
from mmpt.video.writer import write_video
from tests.search.making import FPS, frames
from tests.server.conftest import MARKUP, NAMED, running
from tests.server.test_proxy import PREFIX, WAYS, Proxy
from tests.server.test_security import TOKEN

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it drives the browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium on this machine, which the tests of the page need", allow_module_level=True)

FLAGS = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
WAIT = 20.0  # seconds
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
CONTRAST = """() => {
  const part = (c) => { const v = c / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = numbers(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] > 0.8) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const seen = element.checkVisibility({ opacityProperty: true });
    if (!own || !seen || element.closest(".hidden, svg, video, :disabled")) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, site: tuple[str, Path]):
    """Opens pages; in the end none may have asked a foreign host, broken a policy or failed in its script."""
    faults: list[str] = []
    contexts = []

    def go(path: str = "/", size: dict = DESK, **options):
        context = browser.new_context(viewport=size, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
        page.on("dialog", lambda dialog: (faults.append("a dialog opened"), dialog.dismiss()))
        page.on("request", lambda sent: None if sent.url.startswith(site[0]) else faults.append(f"asked {sent.url}"))
        page.goto(site[0] + path)
        settled(page)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not faults, faults


def until(page, condition: str) -> None:
    """Wait until an expression is true; playwright's own way evaluates in the page, which its policy forbids."""
    end = time.monotonic() + WAIT
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {WAIT} s: {condition}"
        time.sleep(0.05)


def settled(page) -> None:
    """Wait until what was asked for is shown."""
    until(page, "document.querySelector('#headline').textContent && !document.querySelector('.skeleton')")


def search(page, words: str) -> None:
    page.locator("#q").fill(words)
    page.keyboard.press("Enter")
    page.locator("#headline", has_text=words).wait_for()
    settled(page)


def playing(page) -> float:
    """Wait until the player plays, and say where."""
    until(page, "document.querySelector('#video').readyState >= 2 && !document.querySelector('#video').seeking")
    return page.evaluate("document.querySelector('#video').currentTime")


def test_a_search_gives_moments_and_a_click_plays_at_the_moment(visit):
    page = visit()
    assert "Your videos" in page.locator("#headline").inner_text()
    assert page.locator(".card").count() == 3
    page.get_by_role("radio", name="Said", exact=True).check()
    search(page, "flip the pancake")
    card = page.locator(".card").first
    assert "Now flip the pancake." in card.inner_text()
    assert re.search(r"0:0[34] . 0:0\d", card.inner_text())
    assert page.evaluate("document.querySelector('.card img').decode().then(() => true)")
    card.locator("a").click()
    assert 4 <= playing(page) < 10
    assert page.evaluate("document.querySelector('#video').videoWidth") == 128
    until(page, "document.querySelector('#video').currentTime > 4.2")  # it does play
    assert "q=flip" in page.url and "video=" in page.url and "mode=said" in page.url


def test_a_click_on_the_curve_seeks(visit):
    page = visit("/?q=flip+the+pancake&mode=said")
    page.locator(".card a").first.click()
    playing(page)
    page.locator("#curve-line[d^=M]").wait_for(state="attached")
    assert page.locator(".band.current").count() == 1
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    until(page, "Math.abs(document.querySelector('#video').currentTime - 15) < 1.5")
    assert int(page.locator("#curve").get_attribute("aria-valuenow")) in (14, 15, 16)
    assert "of 0:20" in page.locator("#curve").get_attribute("aria-valuetext")


def test_the_keyboard_alone_is_enough(visit):
    page = visit()
    focus = "document.activeElement.id || document.activeElement.closest('[id]').id"
    page.locator("body").press("Tab")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate(focus) == "q"
    page.keyboard.type("boil the water")
    page.keyboard.press("Enter")
    page.locator("#headline", has_text="water").wait_for()
    until(page, "document.activeElement.matches('.card a')")  # the first result has the focus
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    playing(page)
    assert page.locator("#stage-title").inner_text() in second
    page.keyboard.press("Space")
    until(page, "document.querySelector('#video').paused")
    page.locator("#curve").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('#video').currentTime < 0.5")
    page.keyboard.press("ArrowRight")
    until(page, "Math.abs(document.querySelector('#video').currentTime - 1) < 0.5")
    page.keyboard.press("n")
    until(page, "document.activeElement.closest('.current')")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#stage").is_visible()
    page.keyboard.press("3")
    until(page, "location.search.includes('mode=said')")


def test_markup_in_captions_and_names_is_text(visit):
    page = visit("/?q=carrot&mode=said")
    card = page.locator(".card", has_text=NAMED)
    assert MARKUP in card.inner_text()
    card.locator("a").click()
    playing(page)
    page.locator("#lines button").first.wait_for(state="attached")
    assert page.locator("#stage-title").inner_text() == NAMED
    assert MARKUP in page.locator("#lines").text_content()
    cue = "document.querySelector('#video').textTracks[0]"
    page.evaluate(f"{cue}.mode = 'showing'")
    until(page, f"{cue}.cues && {cue}.cues.length === 1")
    assert page.evaluate(f"{cue}.cues[0].getCueAsHTML().textContent") == f"A carrot {MARKUP}"
    search(page, MARKUP)
    assert page.evaluate("document.body.id") == ""
    assert page.locator("main img[src=x], main script").count() == 0


def test_a_search_can_be_shared_reloaded_and_gone_back_from(visit):
    page = visit("/?q=boil+the+water&mode=said")
    page.locator(".card a").first.click()
    at = playing(page)
    page.reload()
    page.locator("#stage").wait_for()
    assert playing(page) == pytest.approx(at, abs=1.5)
    assert page.locator("#q").input_value() == "boil the water"
    page.go_back()
    page.locator("#stage").wait_for(state="hidden")
    assert page.locator(".card").count()


def test_no_match_says_what_may_help(visit):
    page = visit("/?q=zebra&mode=said")
    assert "No match" in page.locator("#headline").inner_text()
    page.get_by_role("button", name="Search what is seen and said").click()
    until(page, "!location.search.includes('mode=said')")
    page.locator("#headline", has_text="zebra").wait_for()


def test_filters_narrow_and_are_cleared(visit):
    page = visit("/?q=boil+the+water&all=1&mode=seen")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Length").select_option("0-60")
    page.get_by_label("Changed before").fill("2001-01-01")
    page.locator("#headline", has_text="No match").wait_for()
    assert page.locator("#filters-count").inner_text() == "2"
    page.locator("#message").get_by_role("button", name="Clear filters").click()
    page.locator(".card").first.wait_for()


def test_more_like_this_searches_by_the_moment(visit):
    page = visit("/?q=pancake&mode=said")
    page.locator(".card").first.hover()
    page.locator(".card .like").first.click()
    page.locator("#headline", has_text="this moment").wait_for()
    assert "like=" in page.url
    assert page.locator("#q").input_value() == ""


def test_a_server_that_is_gone_or_busy_is_told_and_tried_again(visit):
    page = visit()
    page.route("**/api/search*", lambda route: route.abort())
    search_failed = page.locator("#headline", has_text="That did not work")
    page.locator("#q").fill("boil the water")
    page.keyboard.press("Enter")
    search_failed.wait_for()
    assert "mmpt serve" in page.locator("#message").inner_text()
    page.unroute("**/api/search*")
    answers = iter([429, 200])

    def busy(route):
        if next(answers) == 429:
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "busy", "detail": "", "hint": ""})
        else:
            route.continue_()

    page.route("**/api/search*", busy)
    page.get_by_role("button", name="Try again").click()
    page.locator("#headline", has_text="water").wait_for()


def test_a_video_that_the_browser_cannot_play_is_shown_in_stills(visit):
    page = visit("/?q=flip+the+pancake&mode=said")
    page.route("**/stream", lambda route: route.fulfill(status=200, content_type="video/mp4", body=b"no codec"))
    page.locator(".card a").first.click()
    page.locator("#still").wait_for()
    assert "cannot play" in page.locator("#screen-note").inner_text()
    until(page, "document.querySelector('#still').naturalWidth > 0")
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 10)
    until(page, "document.querySelector('#still').src.includes('second=10')")


def test_a_phone_and_the_dark_are_readable(visit):
    for size, dark in ((PHONE, False), (PHONE, True), (DESK, False), (DESK, True)):
        page = visit("/?q=boil+the+water", size=size, color_scheme="dark" if dark else "light", has_touch=size is PHONE)
        page.locator(".card a").first.click()
        playing(page)
        page.locator("#curve-line[d^=M]").wait_for(state="attached")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (size, dark)
        assert page.evaluate(CONTRAST) == [], (size, dark)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (light == "rgb(16, 17, 22)") is dark
        page.locator("#theme").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_everything_that_is_used_has_a_name(visit, size: dict):
    page = visit("/?q=boil+the+water", size=size)
    page.locator(".card a").first.click()
    page.get_by_role("button", name="Filters").click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, [role=slider]")]
          .filter((e) => e.checkVisibility())
          .filter((e) => !(e.getAttribute("aria-label") || e.innerText.trim() || (e.labels && e.labels.length)))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.get_by_role("button", name="Add video").is_visible()
    assert page.locator("h1").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('main :is(h1,h2,h3,h4)')].map((e) => Number(e.tagName[1]))")
    assert levels == [1, *[2] * page.locator(".card").count()]  # no level is left out
    assert page.locator("[role=status]").count() >= 1


def test_single_keys_can_be_turned_off_and_stay_so(visit):
    page = visit("/?q=boil+the+water&mode=said")
    page.keyboard.press("Escape")  # out of the search box
    page.keyboard.press("?")
    page.get_by_label("Letters, digits and signs").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    settled(page)
    page.locator(".card a").first.click()
    playing(page)
    for key in ("2", "f", "/", "?"):
        page.keyboard.press(key)
    assert "mode=said" in page.url
    assert not page.locator("#filters").is_visible() and not page.locator("#help").is_visible()
    page.keyboard.press("Space")  # what is no letter works
    until(page, "document.querySelector('#video').paused")
    page.keyboard.press("Escape")
    assert not page.locator("#stage").is_visible()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Letters, digits and signs").check()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    until(page, "!location.search.includes('mode=said')")


def test_what_comes_closest_says_how_much_of_it_matches(visit):
    page = visit("/?q=boil+the+water&mode=said&all=1")
    assert re.search(r"; 1 match$", page.locator("#subline").inner_text())
    page = visit("/?q=boil+zebras+and+lions&mode=said&all=1")
    assert re.search(r"; 0 matches$", page.locator("#subline").inner_text())


def test_filters_of_an_address_are_shown_and_what_they_leave_is_told(visit):
    page = visit("/?q=boil+the+water&folder=/nowhere")
    assert "No video passes the filters" in page.locator("#message").inner_text()
    assert page.get_by_label("Folder").is_visible()
    assert page.evaluate("document.activeElement.id") != "folder"  # nobody asked to go there


def test_videos_that_others_add_show_up_by_themselves(visit, site: tuple[str, Path], scorer: Scorer, tmp_path: Path):
    page = visit()
    number = page.locator(".card").count()
    write_video(tmp_path / "brand new.mp4", frames(3, seed=33), fps=FPS)
    VideoLibrary(site[1], scorer).add([tmp_path / "brand new.mp4"])
    page.locator(".card", has_text="brand new.mp4").wait_for()
    assert page.locator(".card").count() == number + 1
    VideoLibrary(site[1], scorer).remove(tmp_path / "brand new.mp4")


def test_an_upload_is_shown_to_its_end(visit, tmp_path: Path):
    write_video(tmp_path / "holiday.mp4", frames(3, seed=34), fps=FPS)
    (tmp_path / "notes.mp4").write_text("this is no video at all, and long enough to be looked at as one: " * 3)
    page = visit()
    page.get_by_role("button", name="Add video").click()
    page.locator("#files").set_input_files([tmp_path / "notes.mp4", tmp_path / "holiday.mp4"])
    page.locator("#jobs li", has_text="notes.mp4").locator("text=does not begin like a video").wait_for()
    page.locator("#jobs [data-state]", has_text="holiday.mp4").wait_for(timeout=90_000)
    assert "can be searched now" in page.locator("#jobs li", has_text="holiday.mp4").inner_text()
    page.keyboard.press("Escape")
    page.locator(".card", has_text="holiday.mp4").wait_for()


def test_a_warm_search_is_fast(visit):
    """Not a benchmark: only that nothing is loaded anew for each query."""
    page = visit("/?q=boil+the+water")
    begin = time.perf_counter()
    search(page, "boys")
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize("way", ["off", "kept"])
def test_behind_a_proxy_below_a_path_one_logs_in_searches_plays_and_uploads(
    browser, shared_library: Path, scorer: Scorer, tmp_path: Path, way: str
):
    settings = Settings(token=TOKEN, root_path=WAYS[way], uploads=tmp_path / "up", per_second=1000, burst=1000)
    app = build_app(VideoLibrary(shared_library, scorer), settings)
    with running(Proxy(app, way)) as address:
        page = browser.new_context(viewport=DESK).new_page()
        page.set_default_timeout(20_000)
        failed: list[str] = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{address}{PREFIX}/?q=flip+the+pancake")
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator(".card").first.wait_for()
        assert page.url == f"{address}{PREFIX}/?q=flip+the+pancake"
        search(page, "pour the water")
        page.locator(".card .name a").first.click()
        playing(page)
        assert page.url.startswith(f"{address}{PREFIX}/?q=pour+the+water&video=")
        until(page, "document.querySelector('.card img').naturalWidth > 0")
        assert not failed, failed
        page.locator("#upload-open").click()
        page.locator("#files").set_input_files({"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"no video" * 20})
        page.locator("#jobs li", has_text="does not begin like a video").wait_for()
        page.goto(f"{address}{PREFIX}/docs")
        page.locator("h2", has_text=f"GET {PREFIX}/api/search").wait_for()
        page.context.close()
