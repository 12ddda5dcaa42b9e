"""Lists what the miniature SHP world knows: topics with their things and problems, and what askers and answers say.

All of it is made up for this project and harmless. In a goal `{o}` stands for the owner ("my", "their") and `{x}`
for the thing with its trait ("old bike"). No step names another thing of its topic, a tool, a person or a place, so
that these words in an answer can only come from its prompt.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that can be asked, and the two steps of a right answer."""

    goal: str
    first: str
    second: str


class Topic(NamedTuple):
    """Things of one kind and three problems that any of them can have."""

    name: str
    things: tuple[str, ...]
    problems: tuple[Problem, ...]


class Condition(NamedTuple):
    """A limit of the asker: its values, how it is told, how an answer respects it, who else had another value."""

    name: str
    values: tuple[str, ...]
    told: tuple[str, ...]
    fits: tuple[str, ...]
    others: tuple[str, ...]


def _topic(name: str, things: str, *problems: str) -> Topic:
    return Topic(name, tuple(things.split()), tuple(Problem(*p.split("; ")) for p in problems))


TOPICS: tuple[Topic, ...] = (
    _topic("cooking", "soup stew sauce curry",
        "make {o} {x} thicker; stir flour into the {x}; cook it without a lid",
        "make {o} {x} less salty; drop raw potatoes in the {x}; add a cup of water",
        "keep {o} {x} warm; pour the {x} in a thick pot; wrap it in foil",
    ),
    _topic("baking", "bread cake pie muffin",
        "get {o} {x} to rise; add fresh yeast to the {x}; leave it near the fire",
        "keep {o} {x} soft; cover the {x} with milk; bake it over hot water",
        "stop {o} {x} from burning; move the {x} to the lower shelf; cover the top with foil",
    ),
    _topic("cars", "car van truck taxi",
        "start {o} {x} in winter; charge the battery of the {x}; warm up the engine",
        "make {o} {x} smell fresh; wash the seats of the {x}; swap the air filter",
        "fix a scratch on {o} {x}; sand the side of the {x}; paint two thin coats",
    ),
    _topic("bikes", "bike scooter tricycle unicycle",
        "stop {o} {x} from squeaking; put oil on the chain of the {x}; wipe off the rest",
        "fix a flat tyre on {o} {x}; take the wheel off the {x}; glue a patch on the hole",
        "make {o} {x} brake better; tighten the cable of the {x}; swap the worn pads",
    ),
    _topic("physics", "magnet pendulum lens prism",
        "test {o} {x}; measure the {x} three times; draw the numbers on a chart",
        "find the weight of {o} {x}; hang the {x} on a spring; read the scale",
        "show {o} {x} to a class; put the {x} on a glass plate; dim all the lights",
    ),
    _topic("gardening", "rose tomato lettuce fern",
        "save {o} {x} from frost; cover the {x} with leaves; water it at noon",
        "keep slugs off {o} {x}; spread ash around the {x}; pick them off at dusk",
        "make {o} {x} grow faster; feed the {x} with compost; move it to the sun",
    ),
    _topic("pets", "dog cat parrot rabbit",
        "stop {o} {x} from biting; hand the {x} a chew toy; praise every gentle touch",
        "bathe {o} {x}; comb the {x} while dry; use warm water and soap",
        "get {o} {x} to eat; feed the {x} small meals; take the bowl away early",
    ),
    _topic("travel", "flight hotel cruise safari",
        "get money back for {o} {x}; cancel the {x} online; send in the receipt",
        "find a better price for {o} {x}; compare the {x} on three sites; book it late",
        "change the date of {o} {x}; call the desk of the {x}; pay the small fee",
    ),
    _topic("law", "lease contract permit licence",
        "end {o} {x} early; write a notice about the {x}; keep a signed copy",
        "prove that {o} {x} is real; show the {x} to a clerk; ask for a stamp",
        "change a name in {o} {x}; cross out the name in the {x}; sign beside it",
    ),
    _topic("furniture", "shelf table chair desk",
        "stop {o} {x} from shaking; tighten the screws of the {x}; glue felt under the legs",
        "hide a stain on {o} {x}; sand the top of the {x}; rub in dark wax",
        "make {o} {x} stronger; screw a board across the {x}; clamp it for two days",
    ),
    _topic("sewing", "dress skirt shirt coat",
        "make {o} {x} shorter; fold the hem of the {x}; pin it before you sew",
        "fix a hole in {o} {x}; lay a patch behind the {x}; sew around the edge",
        "make {o} {x} wider; open the side seam of the {x}; add a strip of cloth",
    ),
    _topic("running", "marathon sprint relay race",
        "train for {o} {x}; run slowly before the {x}; rest every third day",
        "avoid cramps in {o} {x}; drink salt water before the {x}; breathe in deeply",
        "finish {o} {x}; start the {x} behind the others; save power for the end",
    ),
    _topic("devices", "phone tablet laptop watch",
        "make {o} {x} last longer; dim the screen of the {x}; close the other apps",
        "dry {o} {x}; lay the {x} in rice; wait for two days",
        "free space on {o} {x}; delete videos from the {x}; empty the trash",
    ),
    _topic("cleaning", "sofa carpet rug mattress",
        "get wine out of {o} {x}; press salt on the {x}; pour soda on it",
        "get hair off {o} {x}; rub the {x} with a wet glove; vacuum it two times",
        "make {o} {x} smell fresh; spread soap powder on the {x}; leave it in the sun",
    ),
    _topic("art", "portrait landscape mural sketch",
        "add depth to {o} {x}; paint shadows on the {x}; blur the far parts",
        "make {o} {x} brighter; put yellow paint on the {x}; leave white gaps",
        "protect {o} {x}; spray varnish on the {x}; keep it behind glass",
    ),
    _topic("music", "guitar violin cello banjo",
        "tune {o} {x}; turn the pegs of the {x}; test each note",
        "play {o} {x} quietly; put a cloth in the {x}; play with soft fingers",
        "pack {o} {x}; loosen the strings of the {x}; lay it in a hard case",
    ),
    _topic("school", "essay thesis report speech",
        "start {o} {x}; list three points for the {x}; write the end first",
        "make {o} {x} shorter; cut half of the {x}; join the last parts",
        "remember {o} {x}; read the {x} aloud; repeat it before bed",
    ),
    _topic("camping", "tent hammock cabin camper",
        "keep {o} {x} dry; dig a ditch around the {x}; hang a sheet above it",
        "keep {o} {x} warm; line the {x} with blankets; heat stones by the fire",
        "keep bugs out of {o} {x}; close every gap of the {x}; burn dry leaves",
    ),
    _topic("water", "tank pond pool fountain",
        "clean {o} {x}; drain a third of the {x}; scrub off the green slime",
        "stop a leak in {o} {x}; dry the edge of the {x}; spread glue on the crack",
        "stop {o} {x} from freezing; float a ball on the {x}; lower the pump",
    ),
    _topic("drinks", "coffee tea cocoa cider",
        "make {o} {x} less bitter; add salt to the {x}; lower the heat",
        "make {o} {x} stronger; let the {x} stand longer; use half of the water",
        "cool {o} {x}; pour the {x} over ice; stir it for long",
    ),
    _topic("shoes", "boot shoe sandal slipper",
        "stop {o} {x} from slipping; scrape the sole of the {x}; stick on rubber dots",
        "stretch {o} {x}; fill the {x} with wet paper; freeze it for a day",
        "polish {o} {x}; wipe the {x} with cream; rub it with a sock",
    ),
    _topic("fires", "stove oven grill fireplace",
        "light {o} {x}; stack dry sticks in the {x}; hold a match to the paper",
        "clean {o} {x}; scrape the ash from the {x}; wash it with vinegar",
        "stop smoke from {o} {x}; sweep the pipe of the {x}; open the lower flap",
    ),
    _topic("doors", "window door gate shutter",
        "stop a draft at {o} {x}; stick foam around the {x}; lay a blanket below it",
        "stop {o} {x} from sticking; rub soap along the {x}; sand the tight edge",
        "lock {o} {x}; fit a bolt to the {x}; hide the spare key",
    ),
    _topic("software", "website database program spreadsheet",
        "make {o} {x} faster; find the slow part of the {x}; store the results",
        "fix a bug in {o} {x}; print each number in the {x}; undo the last change",
        "back up {o} {x}; copy the {x} to a disk; test it each month",
    ),
    _topic("money", "loan mortgage debt bill",
        "pay off {o} {x} early; round up each payment on the {x}; skip one treat a week",
        "lower the cost of {o} {x}; compare the {x} with other banks; ask for a better rate",
        "understand {o} {x}; read the {x} line by line; mark each hard word",
    ),
    _topic("birds", "hen duck goose turkey",
        "protect {o} {x} from foxes; build a fence around the {x}; close the coop at dusk",
        "get {o} {x} to lay eggs; feed the {x} crushed shells; leave a lamp on",
        "catch {o} {x}; lead the {x} with corn; throw a net slowly",
    ),
    _topic("lawns", "lawn hedge meadow orchard",
        "get moss out of {o} {x}; rake the {x} very hard; spread lime powder",
        "fill a gap in {o} {x}; drop seeds on the {x}; keep birds away",
        "trim {o} {x}; hang a string along the {x}; cut below the line",
    ),
    _topic("pictures", "photo album poster postcard",
        "copy {o} {x}; lay the {x} under a lamp; scan it in full colour",
        "make {o} {x} flat; press the {x} between books; wait for one week",
        "hang up {o} {x}; hold the {x} on the wall; use four small pins",
    ),
    _topic("horses", "horse pony donkey mule",
        "lead {o} {x} over a bridge; walk ahead of the {x}; talk in a calm voice",
        "clean {o} {x}; comb the {x} from the neck down; scrape the hooves",
        "cool {o} {x}; walk the {x} in circles; pour water on the legs",
    ),
    _topic("boats", "boat canoe raft kayak",
        "stop {o} {x} from sinking; pump water out of the {x}; fill the leak with tar",
        "turn {o} {x} around; paddle on one side of the {x}; lean back slowly",
        "tie up {o} {x}; loop a rope on the {x}; knot it to the pier",
    ),
    _topic("jewels", "ring necklace bracelet crown",
        "clean {o} {x}; soak the {x} in warm soap; scrub it with a toothbrush",
        "sell {o} {x}; put the {x} on a scale; get three offers",
        "polish {o} {x}; rub the {x} with chalk; finish it with silk",
    ),
    _topic("winter", "sled ski snowboard skate",
        "make {o} {x} faster; melt wax on the {x}; wipe off the rest",
        "stop {o} {x} on ice; turn the {x} to the side; bend both knees",
        "store {o} {x}; dry the {x} with a cloth; hang it off the floor",
    ),
)  # fmt: skip
TRAITS = ("old", "new", "small", "big", "cheap", "fancy", "second", "favourite")
_NUMBERS = tuple(str(n) for n in range(12, 99))
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

CONDITIONS: tuple[Condition, ...] = (
    Condition(
        "time", tuple(f"{n} minutes" for n in _NUMBERS),
        ("I only have {v}.", "I have {v} for it.", "It must not take more than {v}.", "All my time is {v}."),
        ("It fits into {v}.", "You will be done in {v}.", "That takes {v} at most.", "You only need {v}."),
        ("Last time it took me {v}.", "My {p} once needed {v}.", "I waited {v} for an answer from my {p}."),
    ),
    Condition(
        "money", tuple(f"{n} dollars" for n in _NUMBERS),
        ("I can only spend {v}.", "I have {v} for it.", "It must not cost more than {v}.", "All my money is {v}."),
        ("It costs less than {v}.", "You can do it for {v}.", "That takes {v} at most.", "You only need {v}."),
        ("Last time it cost me {v}.", "My {p} once spent {v}.", "I lost {v} to my {p}."),
    ),
    Condition(
        "tool",
        tuple(
            "hammer spoon ladder bucket pencil knife fork needle ruler candle broom basket wrench drill saw razor "
            "sponge crayon kettle funnel torch bottle belt coin mirror shovel lantern mug".split()
        ),
        ("All I own is a {v}.", "I only have a {v} for it.", "My one tool is a {v}.", "I have nothing but a {v}."),
        ("Your {v} will do.", "You can do it with your {v}.", "You only need the {v}.", "Use your {v} for it."),
        ("Last time I used a {v}.", "My {p} once used a {v}.", "I lost a {v} at work."),
    ),
    Condition(
        "helper",
        tuple(
            "uncle aunt cousin sister brother father mother grandpa grandma nephew niece husband wife roommate doctor "
            "plumber dentist gardener baker painter".split()
        ),
        ("Only my {v} can help me.", "I will do it with my {v}.", "My {v} has time to help.", "I have just my {v}."),
        ("Your {v} can help you.", "You can do it with your {v}.", "You only need your {v}.", "Let your {v} help you."),
        ("Last time my {v} laughed at me.", "My {v} is away now.", "I lost a bet to my {v}."),
    ),
    Condition(
        "day", tuple(f"{d} {t}" for d in _DAYS for t in ("morning", "noon", "evening", "night")),
        ("I have time until {v}.", "It must be done by {v}.", "I need it by {v}.", "My last chance is {v}."),
        ("It is done by {v}.", "You will be done by {v}.", "That works until {v}.", "You have enough time until {v}."),
        ("I first saw it on {v}.", "My {p} saw it on {v}.", "I was ill on {v}."),
    ),
    Condition(
        "place",
        tuple(
            "attic kitchen garage cellar bathroom hallway office barn shed bedroom studio library cottage tunnel "
            "closet basement".split()
        ),
        ("I must do it in the {v}.", "I have room in the {v}.", "It must stay in the {v}.", "I can use just the {v}."),
        ("It works in the {v}.", "You can do it in the {v}.", "You only need the {v}.", "Stay in the {v} for it."),
        ("Last time it was in the {v}.", "My {p} once slept in the {v}.", "I lost my keys in the {v}."),
    ),
)  # fmt: skip

# Who and what is mentioned beside the point.
PEOPLE = ("friend", "boss", "neighbour", "teacher")
ASIDES: Mapping[str, tuple[str, ...]] = {
    "thing": ("My {p} has {a} {x}.", "I also own {a} {x}.", "I saw {a} {x} at work.", "My {p} once sold {a} {x}."),
    "problem": ("My {p} had to {g}.", "Last year my {p} tried to {g}.", "I already helped my {p} to {g}."),
    "number": (
        "Last week it was {n} degrees.", "I am {n} years old.", "My {p} lives {n} miles away.",
        "My {p} has {n} books about it.",
    ),
}  # fmt: skip
FRAMES = (
    "How do I {g}?", "How can I {g}?", "What is the best way to {g}?", "I want to {g}. What should I do?",
    "Is there a way to {g}?", "I need to {g}. Where do I begin?", "Does anyone know how to {g}?",
    "I have to {g}. Any ideas?",
)  # fmt: skip
OPENINGS = ("", "", "", "Hello all.", "First post here.", "I have never done this.", "Please help.", "A simple one.")
TWO_STEPS = (
    "First, {1}. Then {2}.", "You can {1} and {2}.", "Begin like this: {1}. Then {2}.", "Just {1}, then {2}.",
    "I would {1} and then {2}.",
)  # fmt: skip
ONE_STEP = ("Just {1}.", "You can {1}.", "First, {1}.", "Try to {1}.", "I would {1}.")
CLOSINGS = ("", "", "", "", " Good luck!", " Hope that helps.")

# What is no answer, by what it is.
VAGUE = (
    "Just look it up.", "You should see an expert.", "It depends on many things.", "There are many ways to do that.",
    "Search for it online.", "Ask somebody who knows.", "Everyone does it in another way.", "It is hard to say.",
)  # fmt: skip
JOKES = (
    "Buy a clown and cry together.", "Have you tried magic?", "Call it modern and charge more.",
    "Teach it to sing.", "Step one: become a king.", "Move to the moon.", "Blame the moon, it works.",
)  # fmt: skip
ANECDOTES = (
    "My grandfather had one of these.", "I once knew a man who never slept.", "That makes me think of my first summer.",
    "We had so much fun back then.", "My school had a blue roof.", "I still laugh about that summer.",
    "Trains were slower in the old days.", "Nobody in my family ever tried.",
)  # fmt: skip
SCOLDS = (
    "What is wrong with you?", "Only a fool would ask that.", "That is a stupid question.", "You should be ashamed.",
    "Stop wasting our time.",
)  # fmt: skip
OFF_TOPIC = VAGUE + JOKES + ANECDOTES + SCOLDS
