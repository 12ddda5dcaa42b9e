"""Templates whose goal says what to find out first: in the shop, on the web."""

from random import Random

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.across.common import across, nothing_but, shown, texting, with_text
from envs.uinav.phone.app import Values
from envs.uinav.phone.apps import messages, notes, search, shop, shop_tasks
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone

# The cheaper one of two products, told to somebody


def two_products(rng: Random, phone: Phone) -> Values:
    """Returns two products of different prices, the lower price, and somebody to write to."""
    products = phone.of("shop")["products"]
    first = words.pick(rng, products)
    second = words.pick(rng, [other for other in products if other["price"] != first["price"]])
    lower = shop.money(min(first["price"], second["price"]))
    name = messages.draw_message(rng, phone)["name"]
    return {"first": first["name"], "second": second["name"], "lower": lower, "name": name, "missing": ""}


def one_product_alone(rng: Random, phone: Phone) -> Values:
    """Returns a product that the shop does not have, in place of one of the two."""
    missing = shop_tasks.no_line(rng, phone)["product"]
    return {words.pick(rng, ("first", "second")): missing, "missing": missing}


def unread_product(hands: Hands) -> str:
    """Returns the first of the products that was not searched for yet; "" for none."""
    seen = hands.phone.has_seen
    return next((hands[key] for key in ("first", "second") if not seen("results", hands[key], "shop")), "")


def both_were_read(hands: Hands) -> bool:
    """Returns whether the prices of both were shown."""
    return not unread_product(hands) and not hands["missing"]


def search_product(hands: Hands) -> Action:
    """Searches for the next product."""
    return hands.enter("query", unread_product(hands) or hands["missing"])


def miss_product(hands: Hands) -> Action | None:
    """Looks for the one that the shop does not have."""
    return hands.tap(hands["missing"], "product") if hands["missing"] and hands.arg == hands["missing"] else None


def price_was_sent(phone: Phone, values: Values) -> bool:
    """Returns whether the person has the lower price."""
    return nothing_but(phone, values, messages=with_text(phone, values, "lower"))


TELL_PRICE = across(
    "text_cheaper_price",
    (shop_tasks.APP, messages.APP),
    (
        "Send {name} in Messages the price of the cheaper one of {first} and {second}",
        "Find out which is cheaper in Shop, {first} or {second}, and text its price to {name}",
        "Compare the prices of {first} and {second}, and write {name} a message with nothing but the lower one",
    ),
    two_products,
    (
        {"home": search_product, "results": miss_product},
        texting("lower"),
    ),
    (both_were_read,),
    absent=one_product_alone,
    check=price_was_sent,
)


# A fact of the web, noted and told


def fact_to_tell(rng: Random, phone: Phone) -> Values:
    """Returns a fact about a building, a title for a note, and somebody to write to."""
    title, name = notes.other_title(rng, phone, notes.TITLES), messages.draw_message(rng, phone)["name"]
    return {**search.one_fact(rng, phone), "title": title, "name": name}


def noted(phone: Phone, values: Values) -> tuple[Values, ...]:
    """Returns the notes with the fact."""
    new = {"title": values["title"], "text": values["told"], "items": (), "pinned": False}
    return (new, *phone.at_first("notes")["notes"])


def note_is_there(hands: Hands) -> bool:
    """Returns whether the fact is noted."""
    return bool(hands.phone.of("notes")["notes"] == noted(hands.phone, hands.values))


def write_note(hands: Hands) -> Action | None:
    """Writes the fact into a new note."""
    if hands.arg is not None:
        return None
    return hands.fill(title=hands["title"], text=hands["told"]) or hands.tap("Save")


def fact_is_noted_and_sent(phone: Phone, values: Values) -> bool:
    """Returns whether the fact is noted, and the person has it."""
    told = with_text(phone, values, "told")
    return nothing_but(phone, values, notes={"notes": noted(phone, values)}, messages=told)


TELL_FACT = across(
    "web_to_note_and_message",
    (search.APP, notes.APP, messages.APP),
    (
        "Find the {fact} of the {query} on the web, note it as {title}, and text it to {name}",
        "Look up the {fact} of the {query} on the web, write it in a new note titled {title}, and send it to {name}",
        "Write the {fact} of the {query}, which the web knows, into a new note {title}, and text it to {name} too",
    ),
    fact_to_tell,
    (
        {"search": search.to_search, **search.ON_TABS, "results": search.to_page},
        {"notes": tapping("Add"), "form": write_note},
        texting("told"),
    ),
    (shown("search", "page", "visit"), note_is_there),
    check=fact_is_noted_and_sent,
)

KNOWN = (TELL_PRICE, TELL_FACT)
