"""The small world: capitals, colours, sounds, opposites, calendar, kinds, numbers, and what things do."""

from dataclasses import dataclass

from . import words
from .base import Chat, Source, Task, Turn


def _table(text: str) -> dict[str, str]:
    return dict(entry.split(":") for entry in text.split(","))  # type: ignore[misc]


@dataclass(frozen=True)
class Relation:
    """Pairs of a small world, the ways to ask for one, and the sentence that answers; {a} is asked, {b} is told."""

    name: str
    pairs: dict[str, str]
    questions: tuple[str, ...]
    answer: str


CAPITALS = _table(
    "France:Paris,Germany:Berlin,Italy:Rome,Spain:Madrid,Portugal:Lisbon,England:London,Ireland:Dublin,Norway:Oslo,"
    "Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Poland:Warsaw,Austria:Vienna,Greece:Athens,Russia:Moscow,"
    "Turkey:Ankara,Egypt:Cairo,Kenya:Nairobi,Japan:Tokyo,China:Beijing,India:New Delhi,Canada:Ottawa,Cuba:Havana,"
    "Peru:Lima,Chile:Santiago,Iran:Tehran,Iraq:Baghdad,Belgium:Brussels,Hungary:Budapest,Australia:Canberra"
)
COLOURS = _table(
    "sky:blue,grass:green,snow:white,coal:black,banana:yellow,lemon:yellow,tomato:red,blood:red,carrot:orange,"
    "chocolate:brown,milk:white,sun:yellow,sea:blue,leaf:green,rose:red,night:black,cherry:red,frog:green,salt:white,"
    "elephant:grey"
)
SOUNDS = _table(
    "cow:moo,dog:woof,cat:meow,duck:quack,sheep:baa,lion:roar,pig:oink,bird:tweet,horse:neigh,owl:hoot,bee:buzz,"
    "snake:hiss,mouse:squeak"
)
_OPPOSITES = _table(
    "hot:cold,big:small,up:down,left:right,day:night,black:white,fast:slow,good:bad,old:new,open:closed,happy:sad,"
    "high:low,long:short,full:empty,rich:poor,light:dark,hard:soft,wet:dry,early:late,strong:weak,yes:no,in:out"
)
OPPOSITES = _OPPOSITES | {b: a for a, b in _OPPOSITES.items()}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
KINDS = {
    word: kind
    for kind, members in {
        "an animal": "dog cat cow horse lion tiger bear sheep bird fish mouse frog",
        "a fruit": "apple banana lemon cherry",
        "a colour": "red blue green yellow black white",
    }.items()
    for word in members.split()
}
PLACES = {
    word: kind
    for kind, members in {
        "a city": "Paris London Rome Tokyo Berlin Madrid Vienna Moscow Dublin",
        "a country": "France Italy Spain Japan China India Germany England Egypt",
    }.items()
    for word in members.split()
}
LEGS = _table("dog:four,cat:four,cow:four,horse:four,bird:two,fish:no,duck:two,bee:six,snake:no,lion:four,mouse:four")
MADE = _table("bees:honey,cows:milk,hens:eggs,bakers:bread,poets:poems,painters:pictures")
LIVES = _table("fish:in the water,birds:in trees,lions:in the wild,people:in houses,frogs:in ponds,bees:in a hive")
_AFTER = {a: b for row in (DAYS, MONTHS) for a, b in zip(row, row[1:] + row[:1], strict=True)}
_COUNT = dict(zip(words.NUMBERS[:-1], words.NUMBERS[1:], strict=True))

RELATIONS = (
    Relation(
        "capital", CAPITALS,
        ("What is the capital of {a}?", "Tell me the capital of {a}.", "Which city is the capital of {a}?",
         "Capital of {a}?", "Name the capital of {a}.", "Do you know the capital of {a}?", "What's the capital of {a}?",
         "Please tell me the capital of {a}."),
        "The capital of {a} is {b}.",
    ),
    Relation(
        "country", {b: a for a, b in CAPITALS.items()},
        ("Where is {a}?", "In which country is {a}?", "{a} is the capital of which country?",
         "Which country is {a} in?"),
        "{a} is in {b}.",
    ),
    Relation(
        "colour", COLOURS,
        ("What colour is the {a}?", "What is the colour of the {a}?", "Tell me the colour of the {a}.",
         "What color is the {a}?", "What colour is {a}?", "What color is {a}?", "Which colour does the {a} have?",
         "Colour of the {a}?", "What is the color of the {a}?"),
        "The {a} is {b}.",
    ),
    Relation(
        "sound", SOUNDS,
        ("What does a {a} say?", "What does the {a} say?", "What sound does a {a} make?",
         "Which sound does the {a} make?", "What sound does the {a} make?", "How does a {a} sound?"),
        "The {a} says {b}.",
    ),
    Relation(
        "opposite", OPPOSITES,
        ("What is the opposite of {a}?", "Tell me the opposite of {a}.", "Opposite of {a}?",
         "Name the opposite of {a}.",
         "What's the opposite of {a}?", "Do you know the opposite of {a}?"),
        "The opposite of {a} is {b}.",
    ),
    Relation(
        "after", _AFTER,
        ("What comes after {a}?", "Tell me what comes after {a}.", "What is after {a}?", "What follows {a}?",
         "What comes next after {a}?"),
        "{b} comes after {a}.",
    ),
    Relation(
        "before", {b: a for a, b in _AFTER.items()},
        ("What comes before {a}?", "Tell me what comes before {a}.", "What is before {a}?",
         "What comes just before {a}?"),
        "{b} comes before {a}.",
    ),
    Relation(
        "next number", _COUNT,
        ("What number comes after {a}?", "Which number comes after {a}?", "What is the number after {a}?",
         "Which number follows {a}?"),
        "The number after {a} is {b}.",
    ),
    Relation(
        "kind", KINDS,
        ("What is a {a}?", "What kind of thing is a {a}?", "Tell me about the {a}.", "What is the {a}?"),
        "The {a} is {b}.",
    ),
    Relation(
        "place", PLACES,
        ("What is {a}?", "Tell me about {a}.", "What kind of place is {a}?", "What do you know about {a}?"),
        "{a} is {b}.",
    ),
    Relation(
        "legs", LEGS,
        ("How many legs does a {a} have?", "How many legs has a {a}?", "How many legs does the {a} have?"),
        "The {a} has {b} legs.",
    ),
    Relation("made", MADE, ("What do {a} make?", "Tell me what {a} make.", "What do {a} give us?"), "They make {b}."),
    Relation("lives", LIVES, ("Where do {a} live?", "Tell me where {a} live.",
     "Where do the {a} live?"), "They live {b}."),
    Relation(
        "count", {"days are in a week": "seven days", "months are in a year": "twelve months", "hours are in a day":
                  "twenty-four hours", "minutes are in an hour": "sixty minutes", "fingers does a hand have":
                  "five fingers"},
        ("How many {a}?", "Tell me how many {a}.", "Do you know how many {a}?"),
        "There are {b}.",
    ),
)  # fmt: skip
FACTS = tuple((r, a, b, q) for r in RELATIONS for a, b in r.pairs.items() for q in r.questions)


def fact_key(relation: Relation, asked: str, question: str) -> str:
    """What the held-out split hashes: empty, never held out, for the first wording of a relation."""
    return "" if question == relation.questions[0] else f"{relation.name}|{asked}|{question}"


class World(Task):
    """A question about the small world; held out by fact and wording.

    The first wording of a relation is trained for every fact, so each fact is known and only its wording is new.
    """

    name = "world"

    def draw(self, source: Source) -> Chat:
        relation = source.rng.choice(RELATIONS) if source.rng.random() < 0.5 else None
        if relation is None:
            relation, a, b, question = source.rng.choice(FACTS)
        else:
            a, b = source.rng.choice(list(relation.pairs.items()))
            question = source.rng.choice(relation.questions)
        turn = Turn(source.casual(question.format(a=a)), relation.answer.format(a=a, b=b), b)
        return Chat((turn,), fact_key(relation, a, question))
