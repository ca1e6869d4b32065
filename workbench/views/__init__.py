"""Views of an Inspection: one ES module each, drawn unchanged by the app, by notebooks and by the HTML report, and the
Python that packs its payload. `bundle()` joins the modules for hosts that load a single script."""

from workbench.views import attention, cache, lens, next, tokens
from workbench.views.bundle import bundle
from workbench.views.source import answer, open_run

__all__ = ["answer", "attention", "bundle", "cache", "lens", "next", "open_run", "tokens"]
