"""Lists what the miniature stories are made of: names, days, places, amounts, topics with things, events and wishes.

All of it is made up. Every thing belongs to one topic only, and no thing, place or name is a word of a wish or of the
sentences around the facts: so a summary that names one of them claims a fact.
"""

from collections.abc import Mapping
from typing import NamedTuple

UNSEEN_TOPICS = 8  # the last topics of the list: no reward model and no PPO run ever trains on them

NAMES = tuple(
    "Sam Amy Ben Lisa Tom Kate Max Nina Paul Emma Leo Ruth Carl Jane Oscar Helen Ivan Clara Hugo Laura Peter Sara "
    "Victor Zoe".split()
)
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
PLACES = tuple("kitchen garage basement attic garden office hallway park library hotel station church".split())
AMOUNTS = tuple(str(n) for n in range(20, 1000, 10))


class Kind(NamedTuple):
    """One kind of detail: how it is said behind a thing, and its values."""

    phrase: str
    values: tuple[str, ...]


DETAILS: Mapping[str, Kind] = {
    "day": Kind("on {}", DAYS),
    "place": Kind("in the {}", PLACES),
    "price": Kind("worth {} dollars", AMOUNTS),
}

# What may happen to a thing, and the other words that say so in a summary.
EVENTS: Mapping[str, tuple[str, ...]] = {
    event: tuple(others.split())
    for event, others in {
        "adopted": "adopt adopts adopting adoption",
        "bent": "bend bends bending",
        "borrowed": "borrow borrows borrowing",
        "broke": "broken break breaks breaking",
        "buried": "bury buries burying",
        "burned": "burnt burn burns burning",
        "cancelled": "canceled cancels cancelling canceling",
        "chased": "chase chases chasing",
        "copied": "copy copies copying",
        "cracked": "cracks cracking",
        "crashed": "crash crashes crashing wrecked",
        "damaged": "damage damages damaging",
        "dropped": "drops dropping",
        "flooded": "flood floods flooding",
        "forged": "forge forges forging faked",
        "forgot": "forgotten forget forgets forgetting",
        "hid": "hidden hide hides hiding",
        "kept": "keep keeps keeping",
        "lost": "lose loses losing misplaced",
        "melted": "melt melts melting",
        "painted": "paints",
        "removed": "remove removes removing",
        "ruined": "ruin ruins ruining",
        "scratched": "scratch scratches scratching",
        "shrank": "shrunk shrink shrinks shrinking",
        "signed": "signing",
        "smashed": "smash smashes smashing",
        "sold": "sell sells selling",
        "stained": "stain stains staining",
        "stole": "stolen steal steals stealing",
        "swapped": "swap swaps swapping",
        "tore": "torn tear tears tearing ripped",
        "towed": "tow tows towing",
        "unplugged": "unplug unplugs unplugging",
        "wore": "worn wear wears wearing",
    }.items()
}


class Topic(NamedTuple):
    """A board of its own: what its stories are about, what happens there, and what people then think of doing."""

    name: str
    things: tuple[str, ...]
    events: tuple[str, ...]
    wishes: tuple[str, ...]


def _topic(name: str, things: str, events: str, wishes: str) -> Topic:
    return Topic(name, tuple(things.split()), tuple(events.split()), tuple(wishes.split("; ")))


TOPICS: tuple[Topic, ...] = (
    _topic(
        "relationships", "ring necklace sweater photo letter", "lost hid sold burned",
        "end the relationship; ask for an apology; forgive and forget; talk to the family",
    ),
    _topic(
        "roommates", "guitar couch kettle rug mirror", "broke sold stained borrowed",
        "move out; call the landlord; split the cost; make house rules",
    ),
    _topic(
        "pets", "puppy kitten hamster parrot rabbit", "lost sold chased adopted",
        "visit the vet; build a fence; find a new home; hire a trainer",
    ),
    _topic(
        "cars", "truck van scooter motorcycle trailer", "crashed towed scratched sold",
        "file a claim; get a better lock; pay for the repair; take the bus",
    ),
    _topic(
        "weddings", "dress veil cake bouquet tuxedo", "ruined forgot stained cancelled",
        "change the guest list; call off the party; invite fewer people; hire a planner",
    ),
    _topic(
        "jobs", "laptop report badge contract spreadsheet", "lost copied stole ruined",
        "quit the job; tell the boss; ask for a raise; look for other work",
    ),
    _topic(
        "money", "wallet purse cheque coin bracelet", "stole lost hid kept",
        "go to the police; open a new account; make a budget; stop lending money",
    ),
    _topic(
        "parenting", "stroller crib teddy bottle highchair", "broke lost sold dropped",
        "set firm limits; hire a babysitter; ask the teacher; become more strict",
    ),
    _topic(
        "neighbors", "hedge mailbox shed gate swing", "painted damaged removed burned",
        "set up a camera; measure the land; write a polite note; complain to the city",
    ),
    _topic(
        "cooking", "oven skillet blender toaster pan", "burned dropped borrowed damaged",
        "buy a better one; order some food; take a cooking class; follow the recipe",
    ),
    _topic(
        "college", "textbook essay backpack notebook calculator", "copied lost kept stole",
        "drop the class; email the professor; join a study group; switch rooms",
    ),
    _topic(
        "travel", "passport suitcase ticket visa postcard", "lost forgot stole kept",
        "book another flight; stay at home; call the embassy; claim the insurance",
    ),
    _topic(
        "gaming", "console controller headset keyboard joystick", "smashed sold borrowed unplugged",
        "delete the account; block the player; leave the team; play alone",
    ),
    _topic(
        "fitness", "treadmill bicycle dumbbell racket helmet", "bent broke sold borrowed",
        "change gyms; see a doctor; hire a coach; rest for a week",
    ),
    _topic(
        "music", "piano violin trumpet drum flute", "scratched sold dropped swapped",
        "leave the band; learn a new song; cancel the concert; practice at night",
    ),
    _topic(
        "gardening", "shovel mower hose ladder wheelbarrow", "bent buried borrowed kept",
        "plant new trees; hire a gardener; lock the door; share the tools",
    ),
    _topic(
        "techsupport", "phone tablet charger router printer", "cracked unplugged melted swapped",
        "call the support; save the files; get a refund; reset the password",
    ),
    _topic(
        "legaladvice", "lease deed license permit diploma", "signed tore forged hid",
        "hire a lawyer; make a statement; go to court; wait for the judge",
    ),
    _topic(
        "fashion", "jacket scarf hat blouse skirt", "shrank wore tore stained",
        "try a tailor; shop online; buy wool only; wash by hand",
    ),
    _topic(
        "art", "painting statue vase canvas sketch", "smashed copied sold hid",
        "tell the museum; show it in public; start all over; pick another style",
    ),
    _topic(
        "books", "novel diary comic atlas dictionary", "tore kept lost burned",
        "read it online; lend out less; pay the fine; found a club",
    ),
    _topic(
        "camping", "tent lantern canoe compass hammock", "tore forgot flooded burned",
        "go home early; sleep outside; rent a cabin; warn the ranger",
    ),
    _topic(
        "photography", "camcorder tripod lens album projector", "scratched dropped borrowed flooded",
        "charge a fee; hold back the pictures; use film again; enter the contest",
    ),
    _topic(
        "furniture", "sofa cabinet dresser bookcase mattress", "scratched swapped removed stained",
        "paint it white; get it delivered; keep the receipt; demand a discount",
    ),
    _topic(
        "fishing", "rod kayak net bucket anchor", "lost bent borrowed dropped",
        "try another lake; eat the fish; buy fresh bait; ask the captain",
    ),
    _topic(
        "sewing", "quilt curtain blanket pillow costume", "shrank tore burned stained",
        "use thicker thread; watch a lesson; sew it again; throw it out",
    ),
    _topic(
        "toys", "drone robot kite doll puzzle", "crashed melted buried smashed",
        "write to the maker; fix it with glue; give it to charity; wait until winter",
    ),
    _topic(
        "cleaning", "vacuum mop broom dryer iron", "unplugged broke kept borrowed",
        "share the chores; hire a cleaner; clean every morning; do nothing",
    ),
    _topic(
        "health", "crutch wheelchair walker brace cane", "hid bent forgot swapped",
        "call a nurse; take the pills; get a second opinion; change the diet",
    ),
    _topic(
        "coffee", "mug teapot grinder jug thermos", "cracked dropped kept swapped",
        "switch to water; visit a cafe; drink less; roast the beans",
    ),
    _topic(
        "farming", "tractor goat pony saddle barn", "sold damaged painted stole",
        "leave the farm; plant corn; see the sheriff; train the dog",
    ),
    _topic(
        "sports", "skateboard surfboard snowboard football trophy", "broke buried scratched stole",
        "join another league; skip the season; confront the coach; train harder",
    ),
)  # fmt: skip
