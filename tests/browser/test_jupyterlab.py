"""The widget in a real JupyterLab: drawn from a real kernel, in step with Python, light and dark, without a kernel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab, jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser walk")]

NOTEBOOK, SAVED = "look_inside.ipynb", "saved.ipynb"
KERNEL = "[...jupyterapp.shell.widgets('main')].some(w => w.sessionContext?.session?.kernel?.status === 'idle')"
# Not ours: JupyterLab's own words about its own files.
OURS = ("wb-", "workbench", "widget", "anywidget", "Uncaught", "Failed to load", "Error")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(Path(__file__).parent / "notebooks" / NOTEBOOK, folder)
    with jupyterlab(folder) as running:
        yield running


@pytest.fixture
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """JupyterLab in a browser; nobody else is asked and nothing of ours complains."""
    context = browser.new_context(viewport={"width": 1360, "height": 1100})
    complaints: list[str] = []
    strangers: list[str] = []
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: strangers.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(f"Uncaught {error}"))
    page.goto(lab.address(NOTEBOOK))
    yield page
    context.close()
    own = ("data:", "blob:", f"http://{lab.host}/", f"ws://{lab.host}/")
    assert [url for url in strangers if not url.startswith(own)] == []
    complaints = [said for said in complaints if "widget model not found" not in said]  # JupyterLab's, see below
    assert [said for said in complaints if any(word in said for word in OURS)] == []


def begun(page: Page) -> None:
    """A notebook stands there and its kernel is idle."""
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function(KERNEL)


def opened(page: Page, name: str) -> None:
    """``name`` in place of what was open."""
    page.evaluate("[...jupyterapp.shell.widgets('main')].forEach(widget => widget.dispose())")
    page.evaluate("path => jupyterapp.commands.execute('docmanager:open', {path}).then(() => true)", name)
    begun(page)


def test_in_one_jupyterlab(page: Page, lab: Lab) -> None:
    """One walk: a page of JupyterLab and a kernel take longer than what is looked at in them."""
    it_looks_inside_and_python_knows(page, lab)
    a_reply_streams_and_a_grid_fills(page, lab)
    saved_it_says_that_there_is_no_kernel(page, lab)


def it_looks_inside_and_python_knows(page: Page, lab: Lab) -> None:
    begun(page)
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    both, one = page.locator(".wb-look").first, page.locator(".wb-look").nth(1)
    for widget in (both, one):
        expect(widget.locator(".wb-attention[data-drawn]")).to_be_attached()
    ids = page.evaluate("[...document.querySelectorAll('.wb-look [id]')].map(node => node.id)")
    assert len(ids) == len(set(ids)), "widgets of one page share no id"

    # A click arrives in Python, in its own widget only.
    before = lab.evaluate(NOTEBOOK, "print(inside.selection)")
    both.locator(".wb-tokens").nth(1).locator(".wb-token[data-i='7']").click()
    expect(both.locator(".wb-where")).to_contain_text("position 7 of both")
    for _ in range(40):  # the click's message and ours take different ways to the kernel
        said = lab.evaluate(NOTEBOOK, "print(look.selection['run'], look.selection['token'], look.difference)")
        if said == "twin-v0.2 7 True":
            break
        page.wait_for_timeout(250)
    assert said == "twin-v0.2 7 True"
    assert lab.evaluate(NOTEBOOK, "print(inside.selection)") == before

    # Arrow keys are the strip's own; Python moves the view, the head by its number.
    one.locator(".wb-token.wb-on").click()
    page.keyboard.press("ArrowLeft")
    expect(one.locator(".wb-where")).to_contain_text("position 368")
    lab.evaluate(NOTEBOOK, "inside.selection = {'token': 30, 'layer': 4, 'head': 5}")
    expect(one.locator(".wb-attention")).to_have_attribute("data-drawn", "wb2run0/4/5/30/false/false")
    expect(one.locator(".wb-token.wb-on")).to_have_attribute("data-i", "30")
    one.get_by_role("button", name="Code of the attention panel").click()
    expect(one.locator(".wb-panel .wb-code pre")).to_contain_text("import workbench as wb")
    with page.expect_download() as coming:
        one.get_by_role("button", name="Data of the attention panel").click()
        one.get_by_role("menuitem", name="what this token reads").click()
    assert coming.value.suggested_filename == "twin-v0.2_attention_row_layer4_token30.csv"
    lab.evaluate(NOTEBOOK, "inside.tab = 'lens'")
    one.locator(".wb-lens[data-drawn]").wait_for()

    # Dark with JupyterLab: drawn again at its full size.
    one.get_by_role("tab", name="Attention").click()
    size = one.locator(".wb-maps canvas").nth(1).evaluate("canvas => canvas.style.width")
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    expect(one.locator(".wb-attention")).to_have_attribute("data-drawn", "wb2run0/4/5/30/false/true")
    assert one.locator(".wb-maps canvas").nth(1).evaluate("canvas => canvas.style.width") == size
    assert one.locator(".wb-look-card").evaluate("card => getComputedStyle(card).backgroundColor") == "rgb(26, 29, 34)"

    page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => true)")  # with the widgets, see lab.py
    shutil.copy(lab.folder / NOTEBOOK, lab.folder / SAVED)

    # The kernel goes: what is asked of it now gets a sentence.
    page.evaluate("[...jupyterapp.shell.widgets('main')].map(w => w.sessionContext?.restartKernel())")
    page.wait_for_function(KERNEL)
    one.get_by_role("tab", name="KV cache").click()
    one.get_by_role("tab", name="Next token").click()
    expect(one.locator(".wb-next .wb-message").first).to_contain_text("No kernel holds this run")


TALK = [
    """import threading
import workbench as wb
from workbench.inspection import Run
from workbench.widgets import Chat, RetrievalGrid, Switchboard, writing
writing.TICK, go, walk = 0, threading.Event(), Run.__next__
def held(run):
    assert len(run.steps) != 3 or go.wait(120)
    return walk(run)
Run.__next__ = held
twin = wb.load("twin-v0.2")
chat = Chat(twin, sampling=wb.Sampling(max_new_tokens=30))
chat""",
    "board = Switchboard(twin)\nboard",
    "grid = RetrievalGrid(wb.needle(twin, lengths=[128, 192], depths=[0, 1], cases=1))\ngrid",
]
"""A chat whose replies wait behind their third token until ``go`` is set."""


def a_reply_streams_and_a_grid_fills(page: Page, lab: Lab) -> None:
    name = "talk.ipynb"
    cells = [nbformat.v4.new_code_cell(code) for code in TALK]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), lab.folder / name)
    page.set_viewport_size({"width": 1360, "height": 2400})
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    opened(page, name)
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")

    def python(code: str, expected: str) -> None:
        """Ask until a message of the page has arrived: it and ours take different ways to the kernel."""
        for _ in range(80):
            said = lab.evaluate(name, code)
            if said == expected:
                return
            page.wait_for_timeout(250)
        assert said == expected

    # Three tokens stand in the page while the model writes, and the kernel answers meanwhile. Stop ends the reply.
    field = page.get_by_label("Your question")
    field.fill("What is the capital of France? <b>bold</b>")
    field.press("Enter")
    live = page.locator(".wb-chat-live .wb-token.wb-generated")
    expect(live).to_have_count(3)
    expect(page.locator(".wb-chat-question")).to_have_text("What is the capital of France? <b>bold</b>")
    assert lab.evaluate(name, "print(chat.busy, chat.messages)") == "True []"
    page.locator(".wb-chat").first.get_by_role("button", name="Stop").click()
    python("print(chat._writings[0].stop.is_set())", "True")
    lab.evaluate(name, "go.set()")
    expect(page.locator(".wb-chat-foot")).to_contain_text("3 tokens")
    expect(page.locator(".wb-chat-foot")).to_contain_text("stopped")
    python("print(chat.busy, len(chat.last.steps), chat.last.record.finish_reason)", "False 3 stopped")

    # A whole reply; its tokens are clicked and Python knows; Python turns the tab.
    field.fill("And of Spain?")
    field.press("Enter")
    expect(page.locator(".wb-chat-reply")).to_have_count(2)
    expect(page.get_by_role("button", name="Look inside reply 2")).to_have_text("shown below")
    page.locator(".wb-chat-inside .wb-token[data-i='5']").click()
    python("print(chat.selection['token'], chat.turn)", "5 1")
    page.locator(".wb-chat-inside .wb-attention[data-drawn]").wait_for()
    lab.evaluate(name, "chat.tab = 'next'")
    page.locator(".wb-chat-inside .wb-next").wait_for()
    page.get_by_role("button", name="Look inside reply 1").click()
    expect(page.get_by_role("button", name="Look inside reply 1")).to_have_text("shown below")
    python("print(chat.turn)", "0")
    lab.evaluate(name, "chat.ask('again ' * 3000)")
    expect(page.locator(".wb-chat-note").first).to_contain_text("The prompt has")
    expect(field).to_have_value("again " * 3000)

    # A switch is switched, and a sentence says what cannot be.
    page.get_by_label("sliding window").check()
    python(
        "print(board.model.window == board._window.value, board.code.startswith('model.switched(window='))", "True True"
    )
    heads = page.get_by_label("silent heads")
    heads.fill("99.1")
    heads.press("Enter")
    expect(page.locator("[role=alert]").filter(has_text="no head (99, 1)")).to_be_visible()

    # The grid fills; a cell is opened by the keyboard, and asked why.
    card = page.locator(".wb-grid-card")
    card.get_by_role("button", name="Run").click()
    expect(card).to_contain_text("4 of 4 questions")
    card.locator("canvas.wb-grid").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    card.locator(".wb-question mark").first.wait_for()
    python("print(grid.selection['length'], grid.selection['depth'], grid.selection['model'])", "192 0.0 twin-v0.2")
    card.get_by_role("button", name="Why?").click()
    expect(card.locator(".wb-why .wb-finding")).to_contain_text("twin-v0.2: ")
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    expect(card).to_have_css("background-color", "rgb(26, 29, 34)")
    expect(page.locator(".wb-chat-field")).to_have_css("color", "rgb(233, 234, 236)")


def saved_it_says_that_there_is_no_kernel(page: Page, lab: Lab) -> None:
    """What a notebook keeps of its widgets is small, and opened again they say what they need."""
    notebook = nbformat.read(lab.folder / SAVED, as_version=4)
    assert 0 < len(str(notebook.metadata["widgets"])) < 40_000, "two widgets"
    NotebookNotary(data_dir=str(lab.folder / "data")).sign(notebook)  # of one that is not trusted, no widget is shown
    status, unknown = page.locator(".wb-look-status"), page.get_by_text("model not found")
    page.goto(lab.address(SAVED))  # a new document: one that has shown a widget has the views' script
    for _ in range(4):  # on a busy machine JupyterLab may draw a widget before it has read the saved ones
        begun(page)
        expect(status.or_(unknown).first).to_be_visible()
        if not unknown.count():
            break
        page.reload()
    for i in range(2):
        expect(status.nth(i)).to_have_text("No kernel holds this run: run its cell to look inside.")
