"""Lists the names, addresses and words that the phone's data and goals are made of; all invented."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from random import Random
from typing import TypeVar

Item = TypeVar("Item")

FIRST = (
    "Ana Ben Carla Dan Emma Finn Gina Hugo Ines Jack Kira Leo Mia Noah Olga Paul Quinn Rosa Sam Tina Uma Vera Will Zoe "
    "Alan Bella Cody Dora Eli Faye"
).split()
LAST = (
    "Adams Baker Cruz Diaz Evans Ford Gomez Hall Iqbal Jones King Lopez Moore Novak Owens Price Reed Silva Turner Vance"
).split()
HOSTS = ("mail.com", "post.net", "inbox.org", "letters.io")
SUBJECTS = (
    "Lunch plan|Team meeting|Trip photos|Rent due|New recipe|Game night|Project notes|Book club|Car repair|"
    "Birthday party|Travel plan|Final report|Garden tools|Guest list|Movie tickets|Summer camp|Weekly update|"
    "Yoga class|House keys|Piano lesson|Dinner menu|Train times|School forms|Paint colors"
).split("|")
SENTENCES = (
    "See you at noon|I will be late|Please call me back|Thanks for your help|Can we meet on Friday|"
    "The plan has changed|I found your keys|Bring the tickets|Let me know by Monday|It was great to see you|"
    "Do not forget the cake|The room is booked|I am on my way|Send me the address|We won the game|"
    "The train is delayed|Dinner is at seven|"
    "I paid the bill|Your order is ready|Take the second exit|Meet me at the station|Happy to join you|"
    "I need one more day|Lock the back door"
).split("|")
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
        self.rng = Random(0)


_GENERATOR = _Generator()


def seeded(text: str) -> Random:
    """As `Random(text)` in two thirds of the time; it is the same one every time, so good only until the next call."""
    rng = _GENERATOR.rng
    rng.seed(text)
    return rng


def pick(rng: Random, pool: Sequence[Item]) -> Item:
    """One of the pool; three times as fast as `rng.choice`, which matters where data are made for every episode."""
    return pool[int(rng.random() * len(pool))]


def some(rng: Random, pool: Sequence[Item], count: int) -> list[Item]:
    """Different ones of the pool: from anywhere on, in steps of a size that meets all of them; faster than sampling."""
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


def phone_number(rng: Random) -> str:
    """Returns a phone number, such as 555 0142."""
    return f"555 {int(rng.random() * 10_000):04d}"


def clock_time(rng: Random, first: int = 6, last: int = 22) -> str:
    """Returns a time of the day in steps of five minutes, such as 7:05."""
    return f"{first + int(rng.random() * (last - first + 1))}:{5 * int(rng.random() * 12):02d}"


def other(rng: Random, taken: Sequence[Item], pool: Sequence[Item]) -> Item:
    """One of the pool that is not taken."""
    return pick(rng, [word for word in pool if word not in taken])
