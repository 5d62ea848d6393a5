"""How every view looks: light and dark, on a desktop and on a phone, without JavaScript, and to a screen reader.

Screenshots are written to `target/screenshots`, to be looked at by a person.
"""

import struct

import pytest
from browser.conftest import DESKTOP, PHONE
from browser.images import IMAGES, MOST_BYTES, PICTURES, SIZE, draw
from browser.views import LISTS, views, violations
from paths import TARGET

SCREENSHOTS = TARGET / "screenshots"


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_and_has_no_barrier(daemon, url, open_page, scheme, device, measured):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
    page = open_page(color_scheme=scheme, **(phone if device == "phone" else {"viewport": DESKTOP}))
    page.watch.expect("status of 404")
    wrong = []
    for name, path in views(daemon).items():
        page.goto(url + path)
        page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{device}.png", full_page=True)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        wrong += [f"{path}: {too_wide} px wider than the window"] if too_wide > 0 else []
        # The colours of a scheme are the same on both devices.
        if (scheme, device) != ("dark", "phone"):
            wrong += [f"{path}: {line}" for line in violations(page)]
    measured(f"{len(views(daemon))} views")
    assert not wrong, "\n".join(wrong)


def test_dark_is_dark_and_light_is_light(url, open_page):
    def brightness(scheme):
        page = open_page(url, color_scheme=scheme)
        color = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in color.strip("rgb()").split(","))

    assert brightness("dark") < 150 < 600 < brightness("light")


def test_every_view_can_be_read_without_javascript(daemon, url, open_page):
    plain, scripted = open_page(java_script_enabled=False), open_page()
    for path in list(LISTS.values()) + [views(daemon)["arrival"], views(daemon)["delivery-dead"]]:
        texts = []
        for page in (plain, scripted):
            page.goto(url + path)
            # Times go on, and the script adds what it does.
            texts.append(page.locator("main h1, main h2, main td bdi, main pre:not(.output)").all_inner_texts())
        assert texts[0] == texts[1], path
        assert not plain.locator("button[data-action]:visible").count(), f"{path}: an action that cannot work"


def test_without_javascript_links_and_the_filter_work(daemon, url, open_page):
    page = open_page(url, java_script_enabled=False)
    page.fill("#filter", "outcome:stale")
    page.click("form.filter button")
    rows = page.locator("#arrivals tbody tr")
    assert rows.count() == 1
    page.click("#arrivals a.open")
    assert "/arrivals/" in page.url
    page.click("nav a:has-text('Rules')")
    page.click("main a:has-text('deploy-site')")
    assert page.locator("h1", has_text="deploy-site").count() == 1


def test_the_focus_is_visible_on_everything_that_can_have_it(daemon, url, open_page):
    page = open_page()
    page.watch.expect("status of 404")
    for path in views(daemon).values():
        page.goto(url + path)
        seen = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            at, outlined = page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                    return [e === document.body ? '' : e.outerHTML.slice(0, 120),
                            s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0] }"""
            )
            if not at or at in seen:
                break
            seen.add(at)
            assert outlined, f"{path}: no visible focus on {at}"
        assert len(seen) > 5


def test_the_pictures_of_the_manual_can_be_made_again(daemon, url, open_page):
    page = open_page(viewport=SIZE, color_scheme="light")
    draw(daemon, url, page, SCREENSHOTS / "manual")
    assert {path.stem for path in IMAGES.glob("*.png")} == set(PICTURES)
    guide = (IMAGES.parent / "operators-page.md").read_text()
    for name in PICTURES:
        assert f"(images/{name}.png)" in guide, name
        assert (IMAGES / f"{name}.png").stat().st_size < MOST_BYTES, name
        assert size_of(IMAGES / f"{name}.png") == (SIZE["width"], SIZE["height"])


def size_of(path):
    """Width and height of a PNG file."""
    return struct.unpack(">II", path.read_bytes()[16:24])
