"""The user's name, told in one turn and asked for in a later one."""

from .base import Chat, Source, Task, Turn
from .greetings import Greetings
from .words import NAMES
from .world import World


class Names(Task):
    """Two to four turns; held out by the name and the wordings."""

    name = "names"
    tell = (
        "My name is {n}.",
        "I am {n}.",
        "Hello, my name is {n}.",
        "Hi, I am {n}.",
        "Call me {n}.",
        "Hello! I am {n}.",
    )
    ask = ("What is my name?", "Who am I?", "Do you know my name?", "Tell me my name.", "What's my name?")

    def draw(self, source: Source) -> Chat:
        rng = source.rng
        name, tell, ask = rng.choice(NAMES), rng.choice(self.tell), rng.choice(self.ask)
        told = Turn(source.relaxed(tell.format(n=name)), f"Nice to meet you, {name}.", name)
        asked = Turn(source.casual(ask), f"Your name is {name}.", name)
        between: list[Turn] = []
        for _ in range(rng.choice((0, 1, 1, 2))):
            example = (Greetings() if rng.random() < 0.4 else World()).sample(source)
            assert isinstance(example, Chat)
            between += example.turns
        return Chat((told, *between, asked), f"{name}|{tell}|{ask}")
