"""The server's settings: where a value comes from, one sentence for what cannot be, and the table of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.server.settings import PREFIX, SHARED, Settings, SettingsError, read_settings, table
from apps.space.app import settings as space_settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "server.md"


def test_what_is_chosen_comes_before_the_environment_the_file_and_the_limits(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text('limits = "shared"\nconcurrency = 2\nqueue_length = 5\nsessions = 7\nreply_seconds = "none"\n')
    environ = {"WORKBENCH_QUEUE_LENGTH": "6", "WORKBENCH_SESSIONS": "8", "WORKBENCH_ASSETS": "/x", "HOME": "/y"}
    found = read_settings(str(file), environ, sessions=9, models=None)
    assert (found.concurrency, found.queue_length, found.sessions) == (2, 6, 9)
    assert found.reply_seconds is None
    assert found.study_seconds == SHARED["study_seconds"]
    assert read_settings(environ={}) == Settings()
    assert read_settings(environ={"WORKBENCH_LIMITS": "shared"}) == Settings.model_validate(SHARED)
    assert read_settings("none", {"WORKBENCH_LIMITS": "shared"}) == Settings()


def test_words_of_the_environment() -> None:
    said = {"MODELS": "v0.1, v0.2", "LINKS": "no", "REPLY_SECONDS": "none", "PASSWORD": "secret", "RECORDED": "/r"}
    found = read_settings("shared", {PREFIX + name: value for name, value in said.items()})
    assert (found.models, found.links, found.reply_seconds, found.recorded) == (
        ("v0.1", "v0.2"), False, None, Path("/r"),
    )  # fmt: skip
    assert found.password is not None
    assert found.password.get_secret_value() == "secret"
    assert "secret" not in repr(found)
    assert read_settings(environ={"WORKBENCH_MODE": "gpu"}).loading == {"device_map": "cuda"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WORKBENCH_CONCURRENCY": "many"}, "WORKBENCH_CONCURRENCY is 'many'; expected a valid integer"),
        ({"WORKBENCH_CONCURRENCY": "0"}, "WORKBENCH_CONCURRENCY is '0'; expected greater than or equal to 1"),
        ({"WORKBENCH_CONCURENCY": "1"}, "There is no setting WORKBENCH_CONCURENCY; expected WORKBENCH_CONCURRENCY"),
        ({"WORKBENCH_LIMITS": "lots"}, "There are no limits 'lots'; expected none, shared or a TOML file"),
        ({"WORKBENCH_MODELS": "a,b,c"}, "expected .*at most 2 items"),
        ({"WORKBENCH_MODELS": ""}, "expected .*at least 1 item"),
        ({"WORKBENCH_MODE": "tpu"}, "WORKBENCH_MODE is 'tpu'; expected 'cpu', 'gpu' or 'zerogpu'"),
        ({"WORKBENCH_LINKS": "perhaps"}, "WORKBENCH_LINKS is 'perhaps'; expected a valid boolean"),
    ],
)
def test_a_bad_value_is_one_sentence(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read_settings(environ=environ)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("concurrency = 0", "concurrency in .* is 0"), ("speed = 1", "no setting 'speed'"), ("= x", "is no TOML"),
     ('limits = "other"', "limits is 'other'"), ("models = 3", "models in .* is 3")],
)  # fmt: skip
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_settings(str(tmp_path / "limits.toml"), {})


def test_a_password_is_in_no_sentence() -> None:
    values: dict[str, Any] = {"password": 7}
    with pytest.raises(SettingsError) as caught:
        read_settings(environ={}, **values)
    assert "7" not in str(caught.value)


def test_the_space_is_shared_behind_one_proxy() -> None:
    found = space_settings({})
    assert (found.proxies, found.reply_seconds, found.links) == (1, SHARED["reply_seconds"], False)
    assert space_settings({"WORKBENCH_LIMITS": "none", "WORKBENCH_PROXIES": "2"}) == Settings(proxies=2)


def test_the_document_has_the_table() -> None:
    assert table() in DOCUMENT.read_text(encoding="utf-8")
