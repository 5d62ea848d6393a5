"""What a page does that it must not do: dialogs, errors, CSP violations, requests to another origin."""

from browser.daemon import origin

# Runs before any script of the page. The browser itself reports most violations on the console, but not all.
LISTENER = """
document.addEventListener('securitypolicyviolation', event => {
  console.error(`CSP violation: ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""


class Watch:
    """Gathers what a page does wrong. `clean` fails with all of it."""

    def __init__(self, page, scripts=True):
        self.page, self.found, self.expected = page, [], []
        self.origin = None
        if scripts:
            page.add_init_script(LISTENER)
        page.on("dialog", self.dialog)
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.found.append(f"exception: {error}"))
        page.on("request", self.request)
        page.on("popup", lambda popup: self.found.append(f"popup: {popup.url}"))
        page.on("download", lambda download: None)

    def dialog(self, dialog):
        self.found.append(f"dialog: {dialog.type}: {dialog.message}")
        dialog.dismiss()

    def console(self, message):
        if message.type in ("error", "warning"):
            self.found.append(f"console: {message.type}: {message.text} ({message.location.get('url', '')})")

    def request(self, request):
        url = request.url
        self.origin = self.origin or origin(url)
        if origin(url) != self.origin and not url.startswith(("about:", "data:image/")):
            self.found.append(f"request to another origin: {url}")

    def expect(self, text):
        """Errors that contain this text are what the test is about."""
        self.expected.append(text)

    def clean(self, where=""):
        attacked = self.page.evaluate("window.__attacked") is not None
        found = [one for one in self.found if not any(text in one for text in self.expected)]
        found += ["window.__attacked is set"] * attacked
        assert not found, f"{where or self.page.url}:\n" + "\n".join(found[:20])
