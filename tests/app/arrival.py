"""When a page has arrived in a browser, as expressions for Playwright's `wait_for_function`."""

IDLE = "() => window.Bokeh?.documents.length && Bokeh.documents[0].is_idle"
"""Its parts are there."""
READY = f"{IDLE} && document.documentElement.dataset.hears"
"""It hears keys too; pages without a `Browser` component (the gallery) never do."""
