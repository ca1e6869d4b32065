"""Facts, Claims and Memory of Compare & facts in the browser: cards, probes, tensors, filter, calculator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import workbench as wb
from tests.browser.axe import violations
from tests.browser.talking import becomes
from workbench.planning import ModelShape

pytestmark = pytest.mark.browser


def test_facts_claims_and_memory(watched: Callable, address: str, models: list[str]) -> None:
    page = watched(f"{address}compare#facts", width=390, height=844).page
    facts = page.locator("#wb-section-facts")
    expect(facts.get_by_role("row", name="window")).to_contain_text("24")
    expect(facts).to_contain_text("No conflict between what is stated")
    rows = facts.locator("tbody tr")
    every = rows.count()
    facts.get_by_label("Only what differs between the two").check()
    becomes(page, True, lambda: 0 < rows.count() < every)
    facts.get_by_label("Only what differs between the two").uncheck()

    hostile = "<img src=x onerror=alert(1)> & text to read. " * 4
    facts.get_by_label("Texts to read").fill(f"{hostile}\n---\nAnother one. And more of it.")
    facts.get_by_role("button", name="Probe theta and window").click()
    expect(facts.locator(".wb-curve")).to_have_count(2)
    expect(facts.get_by_role("row", name="theta")).to_contain_text("probed theta 1e4: loss")

    facts.get_by_label("Compared with").select_option(models[1])
    facts.get_by_role("button", name="Check every tensor").click()
    expect(facts.locator(".wb-tensors-said")).to_contain_text("ltered: lm_head.weight")
    expect(facts).to_contain_text("In conflict")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.get_by_role("tab", name="Claims").click()
    claims = page.locator("#wb-section-claims")
    claims.get_by_label("Verdict").select_option("impossible")
    expect(claims.locator("table").first.locator("tbody tr")).to_have_count(1)
    expect(claims).to_contain_text("1.09e+22")
    expect(claims).to_contain_text("Scores: published, not measured here")
    assert violations(page) == []

    page.get_by_role("tab", name="Memory").click()
    memory = page.locator("#wb-section-memory")
    expect(memory.locator("h3").first).to_have_text("v0.2, 32\u202f768 tokens: 19 GB (17.7 GiB)")
    memory.get_by_role("combobox", name="Weights").select_option("4bit")
    expect(memory.locator("h3").first).not_to_contain_text("17.7 GiB")
    memory.get_by_role("combobox", name="Model").select_option("own")
    expect(memory.get_by_role("alert")).to_contain_text("No config was pasted")
    config = json.loads((Path(models[0]) / "config.json").read_text())
    memory.get_by_label("config.json, pasted").fill(json.dumps(config | {"num_hidden_layers": 5}))
    expect(memory.locator("h3").first).to_contain_text("own config, 2\u202f048 tokens")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    with page.expect_download() as download:
        memory.get_by_role("button", name="JSON").first.click()
    saved = json.loads(Path(download.value.path()).read_text())
    expected = wb.memory(ModelShape.of_config("own", config | {"num_hidden_layers": 5}), None, "4bit")
    assert [row["kv_cache"] for row in saved] == expected.by_length()["kv_cache"].tolist()
