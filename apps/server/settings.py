"""Everything that can be set of the served app, in one class: limits, models, password, what visitors may do.

A value comes from the command line, else from the environment (``WORKBENCH_`` and the name in capitals), else from a
TOML file, else from the limits it starts with: none for one's own machine, shared for a host that many strangers use.
`python -m apps.server.settings` prints the table of docs/server.md.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from workbench.errors import WorkbenchError

PREFIX = "WORKBENCH_"
OTHERS = frozenset({"WORKBENCH_ASSETS", "WORKBENCH_NATIVE"})
"""Variables with the same prefix that the library reads."""
LIMITS = "limits"
"""Names what is set before a file's or the environment's own values: none or shared."""
UNLIMITED = ("", "none")
_SECRETS = ("password", "metrics_token", "opinions_token")


class SettingsError(WorkbenchError, ValueError):
    """A setting of the server that cannot be."""


def _limit(default: int | None, text: str, least: int = 1) -> Any:
    return Field(default, ge=least, description=text)


class Settings(BaseModel):
    """The settings of one served app, checked. None where there is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(
        default=("twin-v0.1", "twin-v0.2"), min_length=1, max_length=2,
        description="One or two models: names, hub ids or folders, parted by commas",
    )  # fmt: skip
    mode: Literal["cpu", "gpu", "zerogpu"] = Field(
        default="cpu", description="Where replies are computed: cpu, gpu, or zerogpu (a GPU lent for a reply at a time)"
    )
    recorded: Path | None = Field(default=None, description="Folder of recorded exchanges, not the shipped ones")
    new_tokens: int = _limit(64, "Longest reply that the page starts with, in tokens")
    max_new_tokens: int | None = _limit(None, "Longest reply that can be asked for, in tokens")
    max_prompt_tokens: int | None = _limit(None, "Longest prompt, and longest text of a study, in tokens", 16)
    concurrency: int = _limit(1, "Requests for a reply that are answered at once; the others wait in line")
    studies: int = _limit(1, "Computations of the other pages that run at once")
    queue_length: int = _limit(16, "Requests that may wait in each of the two lines", 0)
    per_visitor: int = _limit(8, "Requests of one tab, or of all programs of one address, that run or wait in a line")
    requests_per_minute: int | None = _limit(None, "Requests to a model from one address in a minute")
    calls_per_minute: int | None = _limit(None, "Calls of any kind from one address in a minute", 30)
    sessions: int = _limit(64, "Tabs that are kept")
    sessions_per_client: int | None = _limit(None, "Tabs that are kept of one address")
    session_runs: int = _limit(24, "Runs that are kept of one tab")
    session_mib: int | None = _limit(None, "MiB of runs that are kept of one tab")
    stored_mib: int = _limit(2048, "MiB of runs that are kept of all tabs together")
    prefix_mib: int = _limit(2048, "MiB of caches of earlier turns of all tabs together")
    import_mib: int = _limit(512, "MiB of a file that a visitor may open; 0: none", 0)
    reply_seconds: int | None = _limit(None, "Seconds that a reply may take once it is its turn")
    study_seconds: int | None = _limit(None, "Seconds that a computation of the other pages may take")
    forget_seconds: int | None = _limit(None, "Seconds without a click after which all of a tab is forgotten", 60)
    name_models: bool = Field(default=True, description="Visitors may name registered models that are not served here")
    links: bool = Field(default=True, description="A link opens a run for whoever has it; no: its own tab only")
    password: SecretStr | None = Field(default=None, description="Password of the whole server, with any user name")
    metrics_token: SecretStr | None = Field(
        default=None, description="Bearer token of /metrics; without one it is open to this machine alone"
    )
    opinions: Path | None = Field(
        default=None, description="Folder where votes and feedback are kept; without one they are not asked for"
    )
    opinions_repo: str | None = Field(
        default=None, pattern=r"^[\w.-]{1,96}/[\w.-]{1,96}$",
        description="Dataset repository of the hub that they also go to: owner/name",
    )  # fmt: skip
    opinions_token: SecretStr | None = Field(default=None, description="Token that may write to it")
    proxies: int = _limit(0, "Proxies before the server whose X-Forwarded-For is believed", 0)

    @property
    def loading(self) -> dict[str, Any]:
        """Keywords of `wb.load`."""
        return {"device_map": "cuda"} if self.mode == "gpu" else {}


SHARED: Mapping[str, Any] = {
    "new_tokens": 32, "max_new_tokens": 256, "max_prompt_tokens": 2048, "queue_length": 24, "per_visitor": 1,
    "requests_per_minute": 20, "calls_per_minute": 1200, "sessions_per_client": 8, "session_runs": 12,
    "session_mib": 192, "stored_mib": 1024, "prefix_mib": 1024, "import_mib": 32, "reply_seconds": 120,
    "study_seconds": 300, "forget_seconds": 3600, "name_models": False, "links": False,
}  # fmt: skip
PRESETS: Mapping[str, Mapping[str, Any]] = {"none": {}, "shared": SHARED}


def read_settings(
    limits: str | None = None, environ: Mapping[str, str] = os.environ, **chosen: Any
) -> Settings:  # fmt: skip
    """The settings of ``limits`` (none, shared, or a TOML file, whose own ``limits`` names what lies beneath), then of
    the environment, then those ``chosen`` (None: not chosen). SettingsError, in one sentence, for what cannot be."""
    said = _of_environment(environ)
    limits = limits or said.pop(LIMITS, None) or "none"
    said.pop(LIMITS, None)
    file: dict[str, Any] = {}
    where = ""
    if limits not in PRESETS:
        where, file = limits, _of_file(Path(limits))
        limits = str(file.pop(LIMITS, "none"))
        if limits not in PRESETS:
            raise SettingsError(f"limits is {limits[:40]!r} in {where}", expected=" or ".join(PRESETS))
    picked = {name: value for name, value in chosen.items() if value is not None}
    values = {**PRESETS[limits], **file, **said, **picked}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        source = "" if name in picked else _variable(name) if name in said else f"{name} in {where}" if where else name
        shown = "" if name in _SECRETS else f" is {repr(values.get(name))[:60]}"
        expected = str(first["msg"]).removeprefix("Input should be ").removeprefix("Value should be ")
        if first["type"] == "extra_forbidden":
            raise SettingsError(f"There is no setting {name[:60]!r}", expected=_nearest(name)) from None
        raise SettingsError(f"{source or name}{shown}", expected=expected) from None


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHERS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name != LIMITS and name not in Settings.model_fields:
            raise SettingsError(
                f"There is no setting {variable[:60]}", expected=_variable(_nearest(name)),
                remedy="Correct it or unset it: a limit with a typing error would be no limit",
            )  # fmt: skip
        text = environ[variable].strip()
        found[name] = _parted(text) if name == "models" else None if _free(name) and text in UNLIMITED else text
    return found


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SettingsError(f"There are no limits {str(path)[:80]!r}", expected="none, shared or a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML ({error})", expected="lines like concurrency = 2") from None
    return {name: None if _free(name) and value in UNLIMITED else value for name, value in found.items()}


def _parted(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _free(name: str) -> bool:
    """Whether a setting can be without a limit."""
    return name in Settings.model_fields and Settings.model_fields[name].default is None


def _nearest(name: str) -> str:
    near = get_close_matches(name, [*Settings.model_fields, LIMITS], 1, 0.0)
    return near[0]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def table() -> str:
    """All settings as a Markdown table: variable, meaning, what none and shared have."""
    own, shared = Settings(), Settings.model_validate(SHARED)
    lines = ["| variable | what it sets | `none` | `shared` |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        values = [_word(getattr(one, name)) for one in (own, shared)]
        lines.append(f"| `{_variable(name)}` | {field.description} | {values[0]} | {values[1]} |")
    return "\n".join(lines) + "\n"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else "none" if value is None else str(value)


if __name__ == "__main__":
    print(table(), end="")
