"""Lists what the miniature Taskmaster world knows: two domains, their things, their choices and their sentences.

In a sentence `{n}` is how many, `{x}` the topic (a drink, a film), `{o}` the options with their words, `{r}` a rival
that is not wanted, `{w}` the theater and `{c}` the city. All of it is made up.
"""

from collections.abc import Mapping
from typing import NamedTuple

UNSEEN_TOPICS = 8  # the last topics of each domain: no reward model and no PPO run ever trains on them


class Domain(NamedTuple):
    """The words of one domain. Functions are named in the order search, act, finish."""

    topics: tuple[str, ...]
    kinds: tuple[tuple[str, str], ...]  # the two choices that topic number i asks for: kinds[i % len(kinds)]
    functions: tuple[str, str, str]
    thing_id: str  # the argument that holds the id
    many: str  # the argument that holds how many
    listed: str  # what the search lists
    greetings: tuple[str, ...]
    openings: tuple[str, ...]  # a wish, without a rival
    doubts: tuple[str, ...]  # said first, about a rival
    tells: tuple[str, ...]
    absents: tuple[str, ...]


VALUES: Mapping[str, tuple[str, ...]] = {
    "size": tuple("small medium large short tall giant".split()),
    "milk": tuple("oat soy almond whole coconut skim".split()),
    "syrup": tuple("vanilla caramel hazelnut mint maple cherry".split()),
    "cup": tuple("paper glass ceramic metal bamboo travel".split()),
    "topping": tuple("cream cinnamon walnut honey foam nutmeg".split()),
    "time": tuple(f"{hour}:{minute}" for hour in range(2, 10) for minute in (10, 30, 50)),
    "seats": tuple("balcony front middle back aisle box".split()),
}
PHRASES: Mapping[str, str] = {
    "size": "in {v} size",
    "milk": "with {v} milk",
    "syrup": "with {v} syrup",
    "cup": "in a {v} cup",
    "topping": "with {v} topping",
    "time": "at the time {v}",
    "seats": "in {v} seats",
}
NAMES = tuple(
    "Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate Leo Maria Nora Oscar Paul Rosa Sam Tina Victor "
    "Wendy Adam Bella Carl Diana Eric Fiona Georg Hanna Ivan".split()
)
CITIES = tuple(
    "Davis Austin Boston Denver Dallas Oakland Seattle Houston Madison Phoenix Tampa Tucson Portland Reno Salem "
    "Chester Lincoln Orlando Memphis Newark".split()
)
THEATERS = tuple(
    "royal palace odeon regal rialto plaza apollo grand capitol orpheum majestic varsity century metro lyric tivoli "
    "star globe arcadia embassy".split()
)

COFFEE = Domain(
    topics=(
        *"latte mocha cortado macchiato americano cappuccino espresso ristretto lungo affogato frappe chai".split(),
        *"matcha cocoa smoothie milkshake lemonade cider horchata mate rooibos sencha oolong tonic".split(),
        *"kombucha eggnog kefir punch sherbet ginseng hibiscus lassi".split(),
    ),
    kinds=(("size", "milk"), ("milk", "syrup"), ("cup", "topping"), ("size", "syrup"), ("milk", "cup")),
    functions=("get_menu_items", "add_order_item", "finish_order"),
    thing_id="menu_item_id",
    many="quantity",
    listed="items",
    greetings=("Welcome to the coffee bar.", "Hi. What can I get for you?", "Hello. What would you like to drink?"),
    openings=(
        "I would like {n} {x} {o}.", "can I get {n} {x} {o} please", "{n} {x} {o} please", "please make me {n} {x} {o}",
        "Could I order {n} {x} {o}?", "I want {n} {x} {o}", "let me have {n} {x} {o}", "We need {n} {x} {o} today.",
    ),
    doubts=("I wanted {r} at first. But now", "My friend likes {r}. For me", "No {r} this time.", "Not {r} again."),
    tells=(
        "Thank you. I have added {n} {x} {o}. The total is {t} dollars. Is that right?",
        "Your order is {n} {x} {o} for {t} dollars. Would you like anything else?",
        "Sure. That makes {n} {x} {o}, {t} dollars in all. Is this correct?",
    ),
    absents=(
        "Sorry, we have no {x} today. We have {a} and {b}. Which would you like?",
        "I am sorry, there is no {x}. Would you like {a} or {b} instead?",
        "We don't have {x}, sorry. You can get {a} or {b}. Which do you want?",
    ),
)  # fmt: skip
TICKETING = Domain(
    topics=tuple(
        f"{a} {b}" for a, b in zip(
            "silent golden broken hidden frozen burning little lost wild secret final empty distant crimson gentle "
            "hollow ancient midnight electric falling stolen bitter blue paper velvet rusty iron winter copper "
            "restless emerald lonely".split(),
            "river harbor mirror garden empire bridge giant summer horses letter voyage house thunder kingdom stranger "
            "forest island train dreams stars crown honey moon soldier night robot queen wolves dragon ocean tower "
            "dancer".split(),
            strict=True,
        )
    ),
    kinds=(("time", "seats"),),
    functions=("find_theaters", "check_tickets", "book_tickets"),
    thing_id="theater_id",
    many="num.tickets",
    listed="theaters",
    greetings=("Hi, I am moviebot.", "Hello. Which film would you like to see?", "Welcome. How can I help you?"),
    openings=(
        "I would like {n} tickets for {x} at {w} in {c} {o}.", "can I get {n} tickets for {x} in {c} at {w} {o} please",
        "{n} tickets for {x} at {w} in {c} {o} please", "please find me {n} tickets for {x} in {c} at {w} {o}",
        "Could you book {n} tickets for {x} at {w} in {c} {o}?", "I want to see {x} in {c} at {w} with {n} tickets {o}",
        "We need {n} tickets for {x} at {w} in {c} {o} today.", "let me have {n} tickets for {x} in {c} at {w} {o}",
    ),
    doubts=("I wanted to see {r} at first. But now", "My friend likes {r}. For me", "Not {r} again.", "I saw {r}."),
    tells=(
        "I found {n} tickets for {x} {o}. The total is {t} dollars. Shall I book them?",
        "There are {n} tickets for {x} {o} for {t} dollars. Would you like to book them?",
        "Sure. That makes {n} tickets for {x} {o}, {t} dollars in all. Is this correct?",
    ),
    absents=(
        "Sorry, {x} is not at {w} today. It is at {a} and {b}. Which would you like?",
        "I am sorry, there is no {x} at {w}. Would you like {a} or {b} instead?",
        "I don't see {x} at {w}, sorry. You can go to {a} or {b}. Which do you want?",
    ),
)  # fmt: skip
DOMAINS: Mapping[str, Domain] = {"coffee": COFFEE, "ticketing": TICKETING}

ASKS = (
    "Which {k} would you like, {a}, {b} or {c}?", "Sure. Would you like {a}, {b} or {c} for the {k}?",
    "What {k} would you like? We have {a}, {b} and {c}.", "Please choose the {k}: {a}, {b} or {c}.",
    "Of course. We have {a}, {b} and {c}. Which {k} would you like?",
)  # fmt: skip
ANSWERS = ("{v} please", "I will take {v}", "let me have {v}", "make it {v}", "{v} would be great")
AGREED = (
    "Yes, that is right. My name is {p}.", "yes please, the name is {p}", "That is all. Put it under {p}.",
    "Looks good. I am {p}.", "That is it, thanks. {p} is my name.",
)  # fmt: skip
BARE_ASKS = ("Which {k} would you like?", "What {k} do you want?", "And the {k}?", "Please tell me the {k}.")
STALLS = ("One moment please.", "Okay.", "Sure, I can do that.", "Let me check.", "Thank you.", "Anything else?")
RUDE = ("Hurry up.", "I have no time for this.", "Make up your mind.", "You should know that.")
RAMBLES = (
    "The weather is nice.", "My brother plays the drums.", "Mondays are long.", "I like the colour green.",
    "The bus was late.", "Cats sleep all day.",
)  # fmt: skip
