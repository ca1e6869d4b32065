"""The body of POST /score, in the form of the cloud card of Mistral-7B-Instruct, checked field by field.

Source of the form: Azure/azureml-assets, model cards "Mistral-7B-Instruct-v0-1" (messages, parameters) and
"mistralai-Mistral-7B-v0-1" (a list of texts; answers under "0").
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

MOST_BYTES = 2**20
"""Of a body."""
MOST_CONVERSATIONS = 16
MOST_MESSAGES = 200
MOST_NEW_TOKENS = 1024

Text = Annotated[str, Field(min_length=1)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Said(_Form):
    role: Literal["system", "user", "assistant"]
    content: str


class Parameters(_Form):
    """The card's five, and a seed. Nothing is drawn where ``do_sample`` is false or the temperature 0."""

    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    do_sample: bool = False
    max_new_tokens: Annotated[int, Field(ge=1, le=MOST_NEW_TOKENS)] = 64
    return_full_text: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


Messages = Annotated[list[Said], Field(min_length=1, max_length=MOST_MESSAGES)]


def _kind(value: Any) -> str:
    first = value[0] if isinstance(value, list) and value else None
    return "texts" if isinstance(first, str) else "conversations" if isinstance(first, list) else "messages"


class InputData(_Form):
    """``input_string``: one conversation (messages), several (lists of messages), or plain texts to go on with."""

    input_string: Annotated[
        Annotated[Messages, Tag("messages")]
        | Annotated[list[Messages], Field(max_length=MOST_CONVERSATIONS), Tag("conversations")]
        | Annotated[list[Text], Field(max_length=MOST_CONVERSATIONS), Tag("texts")],
        Discriminator(_kind),
    ]
    parameters: Parameters = Parameters()

    @property
    def kind(self) -> str:
        """ "messages", "conversations" or "texts"."""
        return _kind([one if isinstance(one, str | list) else {} for one in self.input_string])

    @property
    def prompts(self) -> list[Any]:
        """What `Model.encode` takes, one entry for each answer."""
        if self.kind == "texts":
            return list(self.input_string)
        talks: Any = [self.input_string] if self.kind == "messages" else self.input_string
        return [[one.model_dump() for one in talk] for talk in talks]

    def answer(self, replies: list[str]) -> list[dict[str, str]]:
        """The replies in the card's form: a record for each text; else one record with a key for each conversation."""
        if self.kind == "texts":
            return [{"0": reply} for reply in replies]
        return [{str(i): reply for i, reply in enumerate(replies)}]


class Body(_Form):
    input_data: InputData


Wrong = list[dict[str, Any]]
"""What FastAPI says of a bad body: [{"loc": ["body", ...], "msg": a sentence, "type"}]."""


def read(text: bytes) -> InputData | Wrong:
    """The body, or what is wrong with it."""
    try:
        return Body.model_validate_json(text).input_data
    except ValidationError as error:
        tags = ("messages", "conversations", "texts")
        return [
            wrong(one["msg"], *(at for at in one["loc"] if at not in tags), kind=one["type"])[0]
            for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]


def wrong(sentence: str, *at: str | int, kind: str = "value_error") -> Wrong:
    """One thing that is wrong, with the field it is about."""
    field = ".".join(map(str, at))
    said = sentence if sentence.endswith(".") else f"{sentence}."
    return [{"loc": ["body", *at], "msg": f"{field}: {said}" if field else said, "type": kind}]
