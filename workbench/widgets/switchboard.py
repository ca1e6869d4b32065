"""Controls for what can be switched: window, theta, silent heads, cache policy, sampling and capture."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from workbench.capture.request import Capture, LensCapture
from workbench.errors import SwitchError, WorkbenchError
from workbench.generation.sampling import Sampling
from workbench.inspection import Inspection, Run
from workbench.model import Model, Prompt, caching_of

if TYPE_CHECKING:
    from workbench.widgets.chat import Chat

CAPTURES: dict[str, Capture | None] = {
    "what a click can ask for, as far as it fits": None,
    "full: all positions": Capture.full(),
    "usual: last rows, maps, lens, cache": Capture(),
    "attention only": Capture(lens=None, kv_cache=False),
    "lens only, all positions": Capture(attention=None, lens=LensCapture(positions="all"), kv_cache=False),
    "tokens only": Capture.nothing(),
}
OTHER = "as set in Python"
POLICIES = ("sinks=4+252", "snapkv=25%", "4bit")
LABEL = {"description_width": "110px"}
WIDE = {"style": LABEL, "layout": {"width": "420px"}}


class Switchboard(ipywidgets.VBox):
    """``model`` is the model that was given, under the board's switches: no weight is copied. ``window`` (keys a query
    sees, None for all), ``theta``, ``silent`` (heads as (layer, head)), ``cache`` (a policy as `Model.generate` takes
    it, "" for the model's own), ``sampling`` and ``capture`` (None: what fits) can be set, and observed like ``model``.
    What cannot be is refused with a sentence, which the board shows for what is typed into it, and changes nothing.
    """

    window = traitlets.Int(None, allow_none=True)
    theta = traitlets.Float()
    silent: Any = traitlets.List()
    cache = traitlets.Unicode("")
    sampling = traitlets.Instance(Sampling)
    capture = traitlets.Instance(Capture, allow_none=True)
    model = traitlets.Instance(Model, read_only=True)

    def __init__(self, model: Model, sampling: Sampling | None = None, capture: Capture | None = None) -> None:
        if not isinstance(model, Model):
            raise SwitchError(f"A board of a {type(model).__name__}", expected='a model of wb.load("...")')
        self.base, self._busy, self._driven = model, False, list[tuple[Any, int]]()
        self._make()
        super().__init__([
            self._title, ipywidgets.HBox([self._windowed, self._window]), self._theta, self._silent,
            self._cache, self._temperature, self._top_p, self._new, self._seed,
            self._capture, self._reset, self._said,
        ])  # fmt: skip
        self.set_trait("model", model)
        with self.hold_trait_notifications():
            self.window, self.theta = model.window, model.theta
            self.silent = [tuple(head) for head in model.switches.get("silent", [])]
            self.sampling, self.capture = sampling or Sampling(max_new_tokens=256), capture
        self._write()
        controls = (self._windowed, self._window, self._theta, self._silent, self._cache, self._temperature,
                    self._top_p, self._new, self._seed, self._capture)  # fmt: skip
        for control in controls:
            control.observe(self._read, "value")
        self._reset.on_click(lambda _: self.reset())
        self.observe(self._set, ["window", "theta", "silent", "cache", "sampling", "capture"])

    def inspect(self, prompt: Prompt) -> Inspection:
        """`Model.inspect` of ``prompt`` by ``model``, with ``capture`` and ``cache``."""
        return self.model.inspect(prompt, self.capture or Capture(), **self._more())

    def generate(self, prompt: Prompt) -> Run:
        """`Model.generate` of a reply by ``model``, with ``sampling``, ``capture`` and ``cache``."""
        return self.model.generate(prompt, self.sampling, self.capture, **self._more())

    def drive(self, chat: Chat, side: int = 0) -> None:
        """From its next question on, ``chat`` writes with this board's model (in place of its ``side``'th one) and
        settings; `release` ends that."""
        if not 0 <= side < len(chat.models):
            raise WorkbenchError(f"The chat has no model {side}", expected=f"0 to {len(chat.models) - 1}")
        self.release(chat)
        self._driven.append((chat, side))
        self._hand_on()

    def release(self, chat: Chat) -> None:
        """Leave ``chat`` as it is."""
        self._driven = [one for one in self._driven if one[0] is not chat]

    def reset(self) -> None:
        """The model as it was given, with its own cache."""
        with self.hold_trait_notifications():
            self.window, self.theta, self.cache = self.base.window, self.base.theta, ""
            self.silent = [tuple(head) for head in self.base.switches.get("silent", [])]

    @property
    def code(self) -> str:
        """Python that gives ``model``."""
        wanted = {"window": (self.window, self.base.window), "theta": (self.theta, self.base.theta)}
        given = [f"{name}={value!r}" for name, (value, own) in wanted.items() if value != own]
        if self.silent != [tuple(head) for head in self.base.switches.get("silent", [])]:
            given.append(f"silent={[tuple(head) for head in self.silent]!r}")
        return f"model.switched({', '.join(given)})" if given else "model"

    @traitlets.validate("window", "theta", "silent")
    def _possible(self, proposal: Any) -> Any:
        """Nothing changes for what no model can have (SwitchError)."""
        value = proposal["value"]
        self.base.switched(**{proposal["trait"].name: value})
        return sorted({tuple(head) for head in value}) if proposal["trait"].name == "silent" else value

    @traitlets.validate("cache")
    def _policy(self, proposal: Any) -> str:
        if value := str(proposal["value"]).strip():
            caching_of(value)
        return value

    def _more(self) -> dict[str, Any]:
        return {"cache": self.cache} if self.cache else {}

    def _set(self, change: Any) -> None:
        """A trait has changed: the model follows, then the controls and the chats."""
        switched = self.base.switched(window=self.window, theta=self.theta, silent=self.silent)
        if switched.name != self.model.name:
            self.set_trait("model", switched)
        self._write()
        self._hand_on()

    def _hand_on(self) -> None:
        for chat, side in self._driven:
            models = list(chat.models)
            models[side] = self.model
            chat.models = models
            chat.sampling, chat.capture, chat.cache = self.sampling, self.capture, self.cache or None

    def _make(self) -> None:
        context = int(self.base.context)
        self._title, self._said = ipywidgets.HTML(), ipywidgets.HTML()
        self._windowed = ipywidgets.Checkbox(description="sliding window", style=LABEL, layout={"width": "240px"})
        self._window = ipywidgets.BoundedIntText(
            value=min(4096, context), min=1, max=2**31 - 1, layout={"width": "120px"}
        )
        self._theta = ipywidgets.FloatText(description="RoPE theta", **WIDE)
        self._silent = _text("silent heads", "layer.head, such as 3.1, 4.0")
        self._cache = ipywidgets.Combobox(
            description="cache policy", placeholder="the model's own", options=POLICIES, continuous_update=False,
            **WIDE,
        )  # fmt: skip
        self._temperature = _slider("temperature", 0, 2)
        self._top_p = _slider("top-p", 0.05, 1)
        self._new = ipywidgets.BoundedIntText(min=1, max=context, description="new tokens", **WIDE)
        self._seed = ipywidgets.BoundedIntText(min=0, max=2**31 - 1, description="seed", **WIDE)
        self._capture = ipywidgets.Dropdown(options=list(CAPTURES), description="capture", **WIDE)
        self._reset = ipywidgets.Button(description="As given", tooltip="Window, theta, heads and cache as given")

    def _write(self) -> None:
        """Show what the traits hold."""
        self._busy = True
        try:
            name = html.escape(str(self.model.name).rstrip("/").rsplit("/", 1)[-1])
            self._title.value = f"<b>{name}</b> <code>{html.escape(self.code)}</code>"
            self._windowed.value = self.window is not None
            self._window.disabled = self.window is None
            self._window.value = self._window.value if self.window is None else self.window
            self._theta.value = self.theta
            self._silent.value = ", ".join(f"{layer}.{head}" for layer, head in self.silent)
            self._cache.value = self.cache
            self._temperature.value, self._top_p.value = self.sampling.temperature, self.sampling.top_p
            self._new.value, self._seed.value = self.sampling.max_new_tokens, self.sampling.seed
            shown = next((name for name, known in CAPTURES.items() if known == self.capture), OTHER)
            self._capture.options = [*CAPTURES, *([OTHER] if shown == OTHER else [])]
            self._capture.value = shown
            self._said.value = ""
        finally:
            self._busy = False

    def _read(self, change: Any) -> None:
        """A control has changed: so does its trait, or a sentence says why not."""
        if self._busy:
            return
        try:
            control = change["owner"]
            if control in (self._windowed, self._window):
                self.window = int(self._window.value) if self._windowed.value else None
            elif control is self._theta:
                self.theta = float(self._theta.value)
            elif control is self._silent:
                self.silent = _heads(self._silent.value)
            elif control is self._cache:
                self.cache = self._cache.value
            elif control is self._capture:
                self.capture = self.capture if self._capture.value == OTHER else CAPTURES[self._capture.value]
            else:
                self.sampling = Sampling(**{
                    **vars(self.sampling), "temperature": self._temperature.value, "top_p": self._top_p.value,
                    "max_new_tokens": self._new.value, "seed": self._seed.value,
                })  # fmt: skip
        except (WorkbenchError, traitlets.TraitError) as error:
            self._write()
            self._said.value = f'<span role="alert">{html.escape(str(error))}</span>'

    def __repr__(self) -> str:
        return f"Switchboard({self.code} of {self.base.name}, {self.sampling.max_new_tokens} new tokens)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The controls, and one line for places without widgets."""
        found = super()._repr_mimebundle_(**kwargs)
        data, metadata = found if isinstance(found, tuple) else (found, {})
        plain = {"text/plain": repr(self), "text/html": f"<p>{html.escape(repr(self))}</p>"}
        return {**data, **plain}, metadata


def _heads(text: str) -> list[tuple[int, int]]:
    """ "3.1, 4.0" as [(3, 1), (4, 0)]."""
    found = []
    for part in text.replace(";", ",").replace(" ", ",").split(","):
        if not part:
            continue
        layer, dot, head = part.partition(".")
        if not (dot and layer.isdecimal() and head.isdecimal()):
            raise SwitchError(f"{part[:40]!r} is no head", expected="layer.head, such as 3.1, with commas between")
        found.append((int(layer), int(head)))
    return found


def _text(name: str, hint: str) -> ipywidgets.Text:
    return ipywidgets.Text(description=name, placeholder=hint, continuous_update=False, **WIDE)


def _slider(name: str, low: float, high: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        min=low, max=high, step=0.05, description=name, continuous_update=False, **WIDE, readout_format=".2f"
    )
