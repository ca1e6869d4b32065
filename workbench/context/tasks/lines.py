"""LongEval's lines: a number in one of many named lines (protocol: DachengLi1/LongChat, longeval).

The form of a line is that protocol's; names are an adjective and a noun. There 200 to 1350 lines are given, here as
many as the length takes.
"""

from __future__ import annotations

import random

from workbench.context.draft import Draft
from workbench.context.task import Task

ADJECTIVES = (
    "amber bitter brave bright calm clever cold crisp curly deep dusty early empty faint fierce gentle giddy grand "
    "happy heavy honest humble icy jolly keen kind lazy light lively loud lucky mellow merry mild misty narrow noble "
    "odd old pale plain proud quick quiet rapid rare rich rough round rusty sandy shy silent silver simple slim slow "
    "small smooth soft solid sour steep still stormy strong sunny sweet swift tall tame thick tidy tiny vivid warm "
    "weary wide wild wise wooden young"
).split()
NOUNS = (
    "acorn anchor apple arrow badge barn basin beacon berry blade bottle branch brick bridge brook brush bucket cabin "
    "candle canoe castle cellar chain chalk cliff clock cloud clover coast comet copper coral cradle crown desert "
    "drum eagle ember engine falcon feather fence ferry field flame flute forest fountain garden gate glacier grove "
    "hammer harbor hill island ivory jacket kettle ladder lagoon lantern lemon maple marble meadow mirror mountain "
    "needle ocean orchard otter paddle pebble pepper pillow planet pocket quarry raven ribbon river saddle sail "
    "shadow shell shore spoon stable star stone storm table thread tiger tower trail valley velvet village violin "
    "wagon walnut whistle willow window winter wolf"
).split()


class Lines(Task):
    """The number registered in a named line."""

    name = "lines"
    prose = False
    title = "Lines"
    budget = 40

    def draft(self, rng: random.Random, depth: float, seed: int, case: int, tokens: int) -> Draft:
        mine = rng.choice(ADJECTIVES) + "-" + rng.choice(NOUNS)
        number = str(rng.randint(1, 50_000))
        more = f"{self.name}/filler/{seed}/{case}"

        def others(count: int) -> list[str]:
            drawn = random.Random(more)
            names = [name for name in _names(drawn) if name != mine]
            found = [_line(_name(names, i), str(drawn.randint(1, 50_000))) for i in range(count)]
            return found

        return Draft(
            head=(
                "Below is a record of lines I want you to remember. Each line begins with 'line <line index>' and "
                "contains a '<REGISTER_CONTENT>' at the end of the line as a numerical value. For each line index, "
                "memorize its corresponding <REGISTER_CONTENT>. At the end of the record, I will ask you to retrieve "
                "the corresponding <REGISTER_CONTENT> of a certain line index. Now the record start:\n\n"
            ),
            tail=f"\nNow the record is over. Tell me what is the <REGISTER_CONTENT> in line {mine}? I need the number.",
            units=others, needles=(_line(mine, number),), depths=(depth,), references=(number,),
            expected=f"The <REGISTER_CONTENT> in line {mine} is {number}.",
            lead=f" The <REGISTER_CONTENT> in line {mine} is", joiner="\n", padded="start",
        )  # fmt: skip


def _names(rng: random.Random) -> list[str]:
    """All names, in an order of the seed's."""
    found = [f"{adjective}-{noun}" for adjective in ADJECTIVES for noun in NOUNS]
    rng.shuffle(found)
    return found


def _name(names: list[str], i: int) -> str:
    """Name number i; they repeat with a number behind when the text is longer than all of them."""
    again, place = divmod(i, len(names))
    return f"{names[place]}-{again + 1}" if again else names[place]


def _line(name: str, number: str) -> str:
    return f"line {name}: REGISTER_CONTENT is <{number}>"
