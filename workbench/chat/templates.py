"""Chat templates A, B and C beside the reference: what each makes of a conversation, and where that first differs.

The published Instruct checkpoints carried three Jinja templates in turn (FORMS). A template writes the whole
conversation as one text, which is then encoded in one go: every control token's name in it is read as the control
token, also one that a user typed. The texts below are written anew from those forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from tokenizers import Tokenizer as BackendTokenizer

from workbench.chat.conversation import Message
from workbench.chat.encoding import encode_conversation
from workbench.errors import PromptError
from workbench.models import Tokenizer, v1_tokenizer
from workbench.models.checkpoint import first_line

FORMS = {
    "A": "<s>[INST] u [/INST]a</s> [INST] u [/INST]",
    "B": "<s>[INST] u [/INST]a</s>[INST] u [/INST]",
    "C": "<s> [INST] s\n\nu [/INST] a</s> [INST] u [/INST]",
}
_HEAD = "{{ bos_token }}"
_SYSTEM = "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}"  # noqa: E501
_TURNS = (
    "{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) or m['role'] == 'system' %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_END = "{% endif %}{% endfor %}"
_PLAIN = (
    _HEAD + "{% set turns = messages %}" + _TURNS
    + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}"
)  # fmt: skip
TEMPLATES = {
    "A": _PLAIN + "{{ m['content'] + eos_token + ' ' }}" + _END,
    "B": _PLAIN + "{{ m['content'] + eos_token }}" + _END,
    "C": _HEAD + _SYSTEM + _TURNS
    + "{% if m['role'] == 'user' %}{{ ' [INST] ' + (first if loop.first else '') + m['content'] + ' [/INST]' }}"
    + "{% else %}{{ ' ' + m['content'] + eos_token }}" + _END,
}  # fmt: skip
WAYS = {
    "prepend": "the exact v1 tokenizer on the rendered text: a ▁ before every stretch between control tokens",
    "metaspace": "the same pieces behind a Metaspace pre-tokenizer: a ▁ only where a stretch begins without a space",
}


@dataclass(frozen=True)
class PromptForm:
    """What one form makes of a conversation. ``way`` is "message by message", "prepend" or "metaspace" (`WAYS`).

    ``ids`` and ``pieces`` have one entry a token, none where it ``refused`` with that sentence. ``answers`` are, for
    each assistant message that is found in what the template wrote, its place and the token range of its text and EOS,
    [start, stop). A token that straddles the control text and the answer is the answer's, whole: behind template A's
    ``[/INST]`` the answer "(a)" begins with the piece "](", whose bracket is the template's. So is a space that the
    template writes before or behind the answer. ``agrees``: whether the ids are the reference's; None where there is
    no reference or nothing to compare. ``first_difference`` is a token position, ``there`` the two pieces at it, this
    form's and the reference's ("" past the end of one).
    """

    name: str
    way: str
    ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    answers: tuple[tuple[int, int, int], ...] = ()
    refused: str = ""
    agrees: bool | None = None
    first_difference: int | None = None
    there: tuple[str, str] = ("", "")

    def __repr__(self) -> str:
        return f"PromptForm({self.name}: {self.refused or f'{len(self.ids)} tokens, agrees {self.agrees}'})"


def prompt_forms(tokenizer: Tokenizer, messages: Iterable[Message | Mapping[str, Any]]) -> tuple[PromptForm, ...]:
    """The conversation as the reference, each template and the checkpoint's own template encode it, in that order.

    A tokenizer that is not v1 has no reference and no A, B or C: its own template stands alone. Raises PromptError for
    a conversation that the reference (or, without one, the own template) refuses.
    """
    made = [Message.of(message) for message in messages]
    if not tokenizer.is_v1:
        own = encode_conversation(tokenizer, made)
        return (_form(tokenizer, "own", "prepend", "", made, list(own.ids), None),)
    right = encode_conversation(tokenizer.with_template(None), made)
    answers = []
    for place, message in enumerate(made):
        if message.role == "assistant":
            held = [token for token, owner in enumerate(right.message) if owner == place]
            answers.append((place, held[0], held[-1] + 1))
    found = [PromptForm("reference", "message by message", right.ids, right.tokens, tuple(answers), agrees=True)]
    asked = [(name, way, TEMPLATES[name]) for way in WAYS for name in TEMPLATES]
    if tokenizer.chat_template is not None:
        asked.append(("own", "prepend", tokenizer.chat_template))
    for name, way, template in asked:
        title = f"{name}, Metaspace" if way == "metaspace" else name
        try:
            found.append(_form(tokenizer, title, way, template, made, None, found[0]))
        except PromptError as error:
            found.append(PromptForm(title, way, refused=str(error)))
    return tuple(found)


def rendered(tokenizer: Tokenizer, template: str, messages: list[Message]) -> str:
    """The text that ``template`` ("" for the checkpoint's own) writes, in transformers' sandbox. PromptError with the
    template's words where it refuses."""
    try:
        return str(
            tokenizer.hf.apply_chat_template(
                [message.as_dict() for message in messages],
                chat_template=template or tokenizer.chat_template,
                tokenize=False,
                add_generation_prompt=messages[-1].role != "assistant",
            )
        )
    except Exception as error:  # Jinja's errors, and whatever a template raises
        said = first_line(error)
        told = "system" in {message.role for message in messages} and "alternate" in said
        remedy = "What it does not take is the system message; put its text into the first question" if told else ""
        raise PromptError(f"The template refuses this conversation ({said})", remedy=remedy) from None


def _form(
    tokenizer: Tokenizer, title: str, way: str, template: str, messages: list[Message], ids: list[int] | None,
    right: PromptForm | None,
) -> PromptForm:  # fmt: skip
    text = rendered(tokenizer, template, messages)
    encoded, ranges = tokenizer.encode_rendered(text) if way == "prepend" else _metaspace_ids(text)
    ids = encoded if ids is None else ids
    answers = []
    for place, start, end in _written(tokenizer, template, messages, text):
        while start and text[start - 1] == " ":
            start -= 1
        held = [token for token, (low, high) in enumerate(ranges) if high > start and low < end]
        if not held:
            continue
        stop = held[-1] + 1
        while stop < len(ids) and ids[stop] != tokenizer.eos_id and text[end : ranges[stop][1]].isspace():
            stop += 1
        answers.append((place, held[0], stop + (stop < len(ids) and ids[stop] == tokenizer.eos_id)))
    form = PromptForm(title, way, tuple(ids), tuple(tokenizer.pieces(ids)), tuple(answers))
    if right is None:
        return form
    for place, (mine, other) in enumerate(zip_longest(ids, right.ids)):
        if mine != other:
            there = tuple("" if one is None else tokenizer.pieces([one])[0] for one in (mine, other))
            return PromptForm(
                title, way, form.ids, form.pieces, form.answers, "", False, place, (there[0], there[1])
            )  # fmt: skip
    return PromptForm(title, way, form.ids, form.pieces, form.answers, "", True)


def _written(
    tokenizer: Tokenizer, template: str, messages: list[Message], text: str
) -> list[tuple[int, int, int]]:  # fmt: skip
    """Place and character range in ``text`` of each answer that the template wrote whole, or stripped.

    Searching alone would find the question "INST" in the control text; so the control text is taken from the same
    conversation with marks for its messages. Where the template writes that one differently, the texts are searched.
    """
    marks = [f"\ue000{place}\ue001" for place in range(len(messages))]
    try:
        marked = rendered(tokenizer, template, [Message(m.role, k) for m, k in zip(messages, marks, strict=True)])
    except PromptError:  # it looks into the texts
        marked = ""
    found, cursor = [], 0
    for place, message in enumerate(messages):
        control, mark, rest = marked.partition(marks[place])
        start = cursor + len(control)
        exact = mark and text.startswith(control, cursor)
        contents = (message.content, message.content.strip())
        content = next((one for one in contents if exact and text.startswith(one, start)), None)
        if content is None:
            marked, content = "", contents[1]
            start = text.find(content, cursor) if content else -1
            if start < 0:
                continue
        else:
            marked = rest
        cursor = start + len(content)
        if message.role == "assistant":
            found.append((place, start, cursor))
    return found


def _metaspace_ids(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = _metaspace().encode(text, add_special_tokens=False)
    return list(encoding.ids), list(encoding.offsets)


@lru_cache(maxsize=1)
def _metaspace() -> BackendTokenizer:
    """v1's vocabulary and merges, with Metaspace in place of Prepend and Replace."""
    described = json.loads(v1_tokenizer().hf.backend_tokenizer.to_str())
    described["normalizer"] = None
    described["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False
    }  # fmt: skip
    return BackendTokenizer.from_str(json.dumps(described))


def injections(tokenizer: Tokenizer, messages: Iterable[Message | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What in the messages' texts a form would read as format: {"message", "position" (character), "text",
    "sentence"}, in order."""
    found = []
    names = [name for name in tokenizer.special_texts if name]
    for place, message in enumerate(Message.of(one) for one in messages):
        for name in [*names, *(("[INST]", "[/INST]") if tokenizer.is_v1 else ())]:
            at = message.content.find(name)
            while at >= 0:
                if name in names:
                    token = tokenizer.encode_rendered(name)[0][-1]
                    said = f"{name} becomes the control token {token} where a template's text is encoded in one go"
                    said += "; it stays text in the reference" if tokenizer.is_v1 else ""
                else:
                    said = f"{name} is plain text in v1: on every path it cannot be told from the format itself"
                found.append({"message": place, "position": at, "text": name, "sentence": f"Message {place}: {said}."})
                at = message.content.find(name, at + len(name))
    return sorted(found, key=lambda one: (one["message"], one["position"]))
