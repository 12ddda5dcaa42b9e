"""Lists the names, addresses and words that the phone's data and goals are made of; all invented.

Of some lists a part is kept from training (`Pool`): a phone whose seed has the bit `NEW_VALUES` is made of that alone.
"""

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import gcd
from random import Random
from typing import TypeVar

Item = TypeVar("Item")
NEW_VALUES, NEW_LAYOUT = 1 << 32, 1 << 33  # bits of the seed of a phone such as training never has
ATTACKED = 34  # the bits of the seed from this one on say what attack is on the phone, if any
PLAIN = (1 << ATTACKED) - 1  # the bits that decide what is on it


class Pool(tuple[str, ...]):
    """Words to draw from in training; `unseen` are those that are kept from it."""

    unseen: tuple[str, ...]

    def __new__(cls, seen: Iterable[str], unseen: Iterable[str]) -> "Pool":
        """Makes the pool of the words of training, with those that are kept from it."""
        pool = super().__new__(cls, seen)
        pool.unseen = tuple(unseen)
        return pool


class UnseenRandom(Random):
    """A generator with which `pick`, `some` and `other` draw from the words that are kept from training."""


FIRST = Pool(
    (
        "Ana Ben Carla Dan Emma Finn Gina Hugo Ines Jack Kira Leo Mia Noah Olga Paul Quinn Rosa Sam Tina Uma Vera Will "
        "Zoe Alan Bella Cody Dora Eli Faye"
    ).split(),
    "Nora Theo Ruth Igor Lena Otto Ada Max Ivy Omar Abel Greta Hans Judy".split(),
)
LAST = Pool(
    (
        "Adams Baker Cruz Diaz Evans Ford Gomez Hall Iqbal Jones King Lopez Moore Novak Owens Price Reed Silva Turner "
        "Vance"
    ).split(),
    "Bauer Chang Fisher Grant Hughes Kumar Lang Meyer Nash Perez Quist Rossi Weber".split(),
)
HOSTS = ("mail.com", "post.net", "inbox.org", "letters.io")
THINGS, STATES = (  # of what is kept from training
    "boat ladder oven kitten parcel violin".split(),
    "ready|missing|upstairs|still wet|for you|too small".split("|"),
)
SUBJECTS = Pool(
    (
        "Lunch plan|Team meeting|Trip photos|Rent due|New recipe|Game night|Project notes|Book club|Car repair|"
        "Birthday party|Travel plan|Final report|Garden tools|Guest list|Movie tickets|Summer camp|Weekly update|"
        "Yoga class|House keys|Piano lesson|Dinner menu|Train times|School forms|Paint colors"
    ).split("|"),
    (
        "Boat race|Choir tour|Roof repair|Chess match|Moving day|Soup kitchen|Winter coats|Camera parts|Dance shoes|"
        "River walk|Phone bill|Hotel rooms|Opera seats|Bread order"
    ).split("|"),
)
SENTENCES = Pool(
    (
        "See you at noon|I will be late|Please call me back|Thanks for your help|Can we meet on Friday|"
        "The plan has changed|I found your keys|Bring the tickets|Let me know by Monday|It was great to see you|"
        "Do not forget the cake|The room is booked|I am on my way|Send me the address|We won the game|"
        "The train is delayed|Dinner is at seven|"
        "I paid the bill|Your order is ready|Take the second exit|Meet me at the station|Happy to join you|"
        "I need one more day|Lock the back door"
    ).split("|"),
    (f"The {thing} is {state}" for thing in THINGS for state in STATES),
)
COMPANIES = Pool(
    (
        "Blue Door|North Mill|Lark Books|Oak Dental|River Bank|Sun Motors|Pine Foods|Kite Travel|Stone Legal|"
        "Maple Press|Harbor Tea|Iron Gym|Cloud Nine|Fox Media|Green Acre|Star Audio|Lime Design|Echo Labs|Bright Homes|"
        "Swift Post|Peak Sports|Red Barn|Willow Care|Atlas Maps|Copper Pot|Delta Air|Ember Grill|Quartz Bank|"
        "Falcon Tools|Ivory Music|Moss Garden|Orchid Films|Plum Shoes|Raven Locks|Silk Road|Tulip Toys|Union Taxi|"
        "Violet Ink|Walnut Beds|Zebra Print"
    ).split("|"),
    "Ash Clocks|Birch Yachts|Cobalt Law|Dune Bikes|Fern Bakers|Granite Works|Heron Hotels|Jade Optics|Lotus Salon|"
    "Mint Dairy|Nickel Pens|Onyx Radio|Pearl Ferry|Rust Repairs|Sage Seeds|Teal Paints|Amber Lamps".split("|"),
)
STREETS = "Oak Mill Park Lake Hill Rose King Elm Station Bridge".split()
CITIES = "Lima Oslo Cairo Paris Quito Delhi Perth Seoul Tunis Milan Accra Kyoto Porto Havana Boston Dublin".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# What comes up when an app is opened, now and then: the question, and its buttons.
POPUPS = (
    ("Battery low, 15% left", "OK"),
    ("Do you like {app}?", "Later", "Rate it"),
    ("A new version of {app} is out", "Not now", "Update"),
    ("Wi-Fi networks are near", "Dismiss", "Connect"),
)


class _Generator(threading.local):
    """One for each thread."""

    def __init__(self) -> None:
        self.rng, self.unseen = Random(0), UnseenRandom(0)


_GENERATOR = _Generator()


def seeded(text: str, phone: int = 0) -> Random:
    """As `Random(text)` in two thirds of the time; it is the same one every time, so good only until the next call.

    Args:
        text: what it is seeded with.
        phone: the seed of the phone that something is drawn for.
    """
    rng = _GENERATOR.unseen if phone & NEW_VALUES else _GENERATOR.rng
    rng.seed(text)
    return rng


def pool_for(rng: Random, pool: Sequence[Item]) -> Sequence[Item]:
    """Returns what a generator draws from: the pool, or what of it is kept from training."""
    return getattr(pool, "unseen", pool) if rng.__class__ is UnseenRandom else pool


def pick(rng: Random, pool: Sequence[Item]) -> Item:
    """One of the pool; three times as fast as `rng.choice`, which matters where data are made for every episode."""
    if rng.__class__ is UnseenRandom:
        pool = pool_for(rng, pool)
    return pool[int(rng.random() * len(pool))]


def some(rng: Random, pool: Sequence[Item], count: int) -> list[Item]:
    """Different ones of the pool: from anywhere on, in steps of a size that meets all of them; faster than sampling."""
    pool = pool_for(rng, pool)
    size = len(pool)
    start, strides = int(rng.random() * size), _strides(size)
    step = strides[int(rng.random() * len(strides))]
    return [pool[i % size] for i in range(start, start + step * count, step)]


@lru_cache(maxsize=64)
def _strides(size: int) -> tuple[int, ...]:
    return tuple(step for step in range(1, size + 1) if gcd(step, size) == 1)


def full_name(rng: Random) -> str:
    """Returns a first and a last name."""
    return f"{pick(rng, FIRST)} {pick(rng, LAST)}"


def names(rng: Random, count: int) -> list[str]:
    """Full names whose first names and last names all differ."""
    return [f"{a} {b}" for a, b in zip(some(rng, FIRST, count), some(rng, LAST, count), strict=True)]


def with_double(rng: Random, pairs: Sequence[str]) -> list[str]:
    """Names of two words, and among them one more that has its words from two of them."""
    mixed = f"{pairs[0].split()[0]} {pairs[1].split()[1]}"
    at = int(rng.random() * (len(pairs) + 1))
    return [*pairs[:at], mixed, *pairs[at:]]


def mixed_up(rng: Random, pairs: Sequence[str]) -> str:
    """Returns a name whose two words occur in these names of two words, which is none of them."""
    return other(rng, pairs, [f"{a.split()[0]} {b.split()[1]}" for a in pairs for b in pairs])


def address(rng: Random, name: str) -> str:
    """Returns an e-mail address of somebody."""
    first, _, last = name.lower().partition(" ")
    return f"{first}{pick(rng, ('.', '_', ''))}{last}@{pick(rng, HOSTS)}"


def street(rng: Random) -> str:
    """Returns a house in a street, such as 12 Oak Street."""
    draw = int(rng.random() * 980)  # one number tells all, since phones have many
    return f"{1 + draw // 10} {STREETS[draw % 10]} Street"


def phone_number(rng: Random) -> str:
    """Returns a phone number, such as 555 0142."""
    return f"555 {int(rng.random() * 10_000):04d}"


def clock_time(rng: Random, first: int = 6, last: int = 22) -> str:
    """Returns a time of the day in steps of five minutes, such as 7:05."""
    return f"{first + int(rng.random() * (last - first + 1))}:{5 * int(rng.random() * 12):02d}"


def other(rng: Random, taken: Sequence[Item], pool: Sequence[Item]) -> Item:
    """One of the pool that is not taken."""
    return pick(rng, [word for word in pool_for(rng, pool) if word not in taken])
