"""Everything can be reached by the keyboard."""

import pytest
from browser.views import LISTS
from playwright.sync_api import expect


@pytest.mark.parametrize("key, path", [("a", "/"), ("r", "/rules"), ("q", "/queue"), ("p", "/problems")])
def test_g_and_a_letter_go_to_a_view(url, open_page, key, path):
    page = open_page(url + ("/rules" if path == "/" else "/"))
    page.keyboard.press("g")
    page.keyboard.press(key)
    page.wait_for_url(url + path)


def test_rows_are_moved_through_and_opened(url, open_page):
    page = open_page(url)
    links = [link.get_attribute("href") for link in page.locator("#arrivals a.open").all()]

    def focused():
        return page.evaluate("document.activeElement.getAttribute('href')")

    for key, at in [("j", 0), ("j", 1), ("j", 2), ("k", 1)]:
        page.keyboard.press(key)
        assert focused() == links[at]
    page.keyboard.press("Enter")
    page.wait_for_url(url + links[1])


def test_a_slash_goes_to_the_filter_and_escape_leaves_it(url, open_page):
    page = open_page(url)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("g r j ?")
    expect(page.locator("#filter")).to_have_value("g r j ?")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).not_to_be_focused()


def test_a_slash_on_another_view_goes_to_the_filter_of_the_arrivals(url, open_page):
    page = open_page(f"{url}/queue")
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()


def test_a_question_mark_shows_the_keys_in_a_dialog_that_keeps_the_focus(url, open_page):
    page = open_page(url)
    page.keyboard.press("?")
    dialog = page.locator("#help")
    expect(dialog).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#help')")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("path", LISTS.values())
def test_the_first_tab_offers_to_skip_the_navigation(url, open_page, path):
    page = open_page(url + path)
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
