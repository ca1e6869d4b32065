"""One rule for several texts in a field, and every section that takes texts keeps it."""

from __future__ import annotations

import pytest

from apps.studio import difference_events, fact_events, loss_events, which_events
from apps.studio.parted import joined, parted

FIELD = "---\r\nOne cat.\r\n\r\nStill the first.\r\n --- \r\n---\n\u2028Two -- cats.\n----\n---"
TEXTS = ["One cat.\n\nStill the first.", "Two -- cats.\n----"]


def test_only_a_line_of_dashes_parts() -> None:
    assert parted(FIELD) == TEXTS
    assert parted(joined(TEXTS)) == TEXTS
    assert parted(" \n---\n\n") == parted("") == []


@pytest.mark.parametrize(
    "section",
    [difference_events.texts_of_form, fact_events._own, loss_events.parted_texts,
     lambda field: which_events.read({"measures": ["loss"], "texts": field})["texts"]],
)  # fmt: skip
def test_every_section_keeps_it(section: object) -> None:
    assert section(FIELD) == TEXTS  # type: ignore[operator]
