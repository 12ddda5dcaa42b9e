"""Shop: products by category, a cart, a form to order with, and the orders so far; `shop_tasks` has what is done."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.phone import words
from envs.uinav.phone.state import Phone, ask, choose, go, matching, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, foot_button, icon, item, option, text, title

NOUNS = {
    "Kitchen": "kettle mug pan teapot toaster".split(),
    "Clothes": "shirt jacket scarf sweater coat".split(),
    "Home": "lamp rug pillow clock blanket".split(),
    "Garden": "spade bench hose parasol planter".split(),
    "Sports": "helmet racket skateboard kayak tent".split(),
    "Travel": "suitcase backpack umbrella wallet pouch".split(),
}
CATEGORIES = tuple(NOUNS)
BRANDS = words.Pool(
    "Nordo Velka Aldia Brisa Cresto Fermo Lumio Orvel Pinto Rivo Solara Tundra Zenta Maro".split(),
    "Halden Kivi Bremo Sotto Wexa Dorin Palto Ulmar".split(),
)
COLOURS = "red blue green black white grey pink orange".split()
PALETTES = tuple(tuple(COLOURS[(i + step) % 8] for step in (0, 3, 5)) for i in range(8))
SIZES = ("S", "M", "L")
STATUSES = ("Ordered", "Packed", "Shipped", "Delivered", "Returned", "On hold")
DELIVERIES = {"Standard": 0, "Express": 900, "Pickup": 0}  # cents
MOST = 20  # of one product


def make(rng: Random) -> dict[str, Any]:
    """Six to nine products of three categories, some of them in the cart, and orders of others."""
    brands, products = words.some(rng, BRANDS, 4), []
    for row, category in enumerate(words.some(rng, CATEGORIES, 3)):
        nouns, start = NOUNS[category], int(rng.random() * 5)
        for i in range(2 + (rng.random() < 0.7)):  # two of the same kind, and mostly one of another
            name = f"{brands[(row + i) % 4]} {nouns[(start + i // 2) % 5]}"
            products.append(_product(rng, name, category, i != 1 or rng.random() < 0.6))
    order = words.some(rng, range(len(products)), 5)
    home = {"name": words.full_name(rng), **address(rng), "delivery": "Standard"}
    number = 2000 + int(rng.random() * 6000)
    orders = tuple(
        {"number": number + i, "lines": (line_of(products, order[i]),), "status": words.pick(rng, STATUSES), **home}
        for i in range(3)
    )
    return {"products": tuple(products), "cart": tuple(line_of(products, i) for i in order[2:]), "orders": orders}


def _product(rng: Random, name: str, category: str, coloured: bool) -> dict[str, Any]:
    draw = int(rng.random() * 150 * 20 * 8 * 40)  # one number tells all, since this runs for every new phone
    draw, maker = divmod(draw, 40)
    makers = words.pool_for(rng, words.COMPANIES)
    return {
        "name": name,
        "company": makers[maker % len(makers)],
        "category": category,
        "price": 500 + 50 * (draw % 150),
        "rating": 30 + draw // 150 % 20,
        "colours": PALETTES[draw // 3000] if coloured else (),
        "sizes": SIZES if category == "Clothes" else (),
    }


def address(rng: Random) -> dict[str, str]:
    """Draws where something is sent to."""
    return {"street": words.street(rng), "city": words.pick(rng, words.CITIES)}


def line_of(products: Sequence[Mapping[str, Any]], index: int, count: int = 1, colour: str = "") -> dict[str, Any]:
    """Returns a product as it lies in a cart, in its first colour and a middle size where nothing else is said."""
    product = products[index]
    first, size = product["colours"][0] if product["colours"] else "", "M" if product["sizes"] else ""
    return {"product": index, "colour": colour or first, "size": size, "count": count}


def money(cents: int) -> str:
    """Returns a price, such as $24.50."""
    return f"${cents // 100}.{cents % 100:02d}"


def total(products: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> int:
    """Returns the price of the lines of a cart, in cents."""
    return sum(products[line["product"]]["price"] * line["count"] for line in lines)


# Pages


def home(phone: Phone) -> Iterator[Widget]:
    """Yields where to search, the categories, and some products."""
    yield _SHOP
    yield from phone.shuffled(_ICONS, "shop bar")
    yield _QUERY
    products = phone.data["products"]
    for category in dict.fromkeys(product["category"] for product in products):
        yield item(category, go, "category", category)
    yield _POPULAR
    yield from _rows(phone, phone.shuffled(range(len(products)), "popular")[:3])


def category(phone: Phone) -> Iterator[Widget]:
    """Yields the products of a category."""
    yield title(phone.arg)
    yield _CART
    products = phone.data["products"]
    yield from _rows(phone, [i for i, product in enumerate(products) if product["category"] == phone.arg])


def results(phone: Phone) -> Iterator[Widget]:
    """Yields the products that were searched for."""
    yield title("Results")
    yield _CART
    found = matching([product["name"] for product in phone.data["products"]], phone.arg)
    yield text(f"{len(found)} found" if found else "Nothing found, try other words")
    yield from _rows(phone, found)


def _rows(phone: Phone, indices: Sequence[int]) -> Iterator[Widget]:
    for i in indices:
        product = phone.data["products"][i]
        yield item(f"{product['name']}, {money(product['price'])}", go, "product", i, name="product")


def product(phone: Phone) -> Iterator[Widget]:
    """One product, and what can be chosen about it."""
    shown = phone.data["products"][phone.arg]
    yield title(shown["name"])
    yield _CART
    yield text(f"Price {money(shown['price'])}", name="price")
    yield text(f"Rating {shown['rating'] / 10}")
    yield text(f"Company {shown['company']}")
    chosen = _chosen(phone)
    for key, choices in phone.shuffled([("colour", shown["colours"]), ("size", shown["sizes"])], "product options"):
        for choice in choices:
            yield option(choice, choice == chosen[key], choose, key, choice, name=key, share=3)
    yield field("quantity", "Quantity", "1")
    for label, handler in phone.shuffled([("Add to cart", add), ("Buy now", buy)], "product buttons"):
        yield foot_button(label, handler)


def _chosen(phone: Phone) -> dict[str, Any]:
    """Returns the product that is shown, as it would go into the cart; no count where what is typed is none."""
    line = line_of(phone.data["products"], phone.arg, colour=phone.typed("colour"))
    return {**line, "size": phone.typed("size", line["size"]), "count": count_in(phone.typed("quantity", "1"))}


def cart(phone: Phone) -> Iterator[Widget]:
    """Yields what is in the cart."""
    lines = phone.data["cart"]
    yield title("Cart")
    yield foot_button("Check out", go, "checkout", enabled=bool(lines))
    for i, line in enumerate(lines):
        name = phone.data["products"][line["product"]]["name"]
        yield item(f"{name}, {_details(line)}", go, "line", i, name="product", hold=_removal(name, i))
    yield text(f"Total {money(total(phone.data['products'], lines))}" if lines else "Your cart is empty")


def _details(line: Mapping[str, Any]) -> str:
    return ", ".join([str(line["count"]), *(line[key] for key in ("colour", "size") if line[key])])


def _removal(name: str, index: int) -> tuple[Any, ...]:
    return (ask, f"Remove {name} from the cart?", ("Remove", remove, index), ("Cancel",))


def line(phone: Phone) -> Iterator[Widget]:
    """One line of the cart, to change."""
    shown = phone.data["cart"][phone.arg]
    product = phone.data["products"][shown["product"]]
    yield title(product["name"])
    yield text(f"{money(product['price'])} each")
    yield field("quantity", "Quantity", str(shown["count"]))
    for label, *tap in phone.shuffled([("Save", save), ("Remove", *_removal(product["name"], phone.arg))], "line"):
        yield button(label, *tap, share=2)


def checkout(phone: Phone) -> Iterator[Widget]:
    """Yields the form to order with; its argument has the lines to order, or is None for those of the cart."""
    yield title("Checkout")
    yield from phone.shuffled(_FIELDS, "checkout fields")
    chosen = phone.typed("delivery", "Standard")
    yield from _DELIVERY[chosen]
    lines = phone.data["cart"] if phone.arg is None else phone.arg
    yield text(f"Total {money(total(phone.data['products'], lines) + DELIVERIES[chosen])}")
    yield _PLACE_ORDER


def orders(phone: Phone) -> Iterator[Widget]:
    """Yields the orders, newest first."""
    yield title("Orders")
    for i, order in reversed(list(enumerate(phone.data["orders"]))):
        yield item(f"{_content(phone, order)}, order {order['number']}", go, "order", i, name="order")


def _content(phone: Phone, order: Mapping[str, Any]) -> str:
    name, more = phone.data["products"][order["lines"][0]["product"]]["name"], len(order["lines"]) - 1
    return f"{name} and {more} more" if more else str(name)


def order(phone: Phone) -> Iterator[Widget]:
    """One order."""
    shown = phone.data["orders"][phone.arg]
    yield title("Order")
    yield text(_content(phone, shown))
    yield text(f"Number {shown['number']}")
    yield text(f"Status {shown['status']}", name="status")
    yield text(f"Total {money(total(phone.data['products'], shown['lines']))}")
    yield text(f"Address {shown['street']}, {shown['city']}")


# What the buttons do


def search(phone: Phone) -> Phone:
    """Returns the phone where the products that match what is typed are listed."""
    query = phone.typed("query")
    return phone.go("results", query) if query else phone.say("Type what you are looking for")


def count_in(typed: str) -> int | None:
    """Returns how many of a product a text says; None where it says no number, or more than can be bought."""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 3 and 1 <= int(typed) <= MOST else None


def _no_count(phone: Phone) -> Phone:
    return phone.say(f"Enter a quantity from 1 to {MOST}")


def add(phone: Phone) -> Phone:
    """Returns the phone where the product is in the cart, as chosen."""
    line, lines = _chosen(phone), phone.data["cart"]
    if line["count"] is None:
        return _no_count(phone)
    for i, other in enumerate(lines):
        if {**other, "count": line["count"]} == line:
            lines = swapped(lines, i, count=min(MOST, other["count"] + line["count"]))
            return phone.put(cart=lines).say("Added to cart")
    return phone.put(cart=with_item(lines, line)).say("Added to cart")


def buy(phone: Phone) -> Phone:
    """Returns the phone where the form to order this product alone is shown."""
    line = _chosen(phone)
    return _no_count(phone) if line["count"] is None else phone.go("checkout", (line,))


def save(phone: Phone) -> Phone:
    """Returns the phone where a line of the cart has another count."""
    line = phone.data["cart"][phone.arg]
    count = count_in(phone.typed("quantity", str(line["count"])))
    return _no_count(phone) if count is None else put_item(phone, "cart", phone.arg, {"count": count}).back()


def remove(phone: Phone, index: int) -> Phone:
    """Returns the phone where a line of the cart is gone, and the cart is shown."""
    shown = phone.back() if phone.page == "line" else phone
    return shown.put(cart=without(phone.data["cart"], index)).say("Removed")


def place_order(phone: Phone) -> Phone:
    """Returns the phone where what the form is about is ordered, if the form is complete."""
    lines = phone.data["cart"] if phone.arg is None else phone.arg
    typed = {key: phone.typed(key) for key in ("name", "street", "city")}
    for key, value in typed.items():
        if not value:
            return phone.say(f"Enter a {key}")
    if not any(letter.isdigit() for letter in typed["street"]):
        return phone.say("Enter a street with a house number")
    made = with_item(phone.data["orders"], new_order(phone.data["orders"], lines, typed, phone.typed("delivery")))
    left = () if phone.arg is None else phone.data["cart"]
    return phone.to_start().put(orders=made, cart=left).go("orders").say("Order placed")


def new_order(
    orders: Sequence[Mapping[str, Any]], lines: tuple[Any, ...], address: Mapping[str, str], delivery: str = ""
) -> dict[str, Any]:
    """Returns the record of an order after those before it."""
    where = {key: address[key] for key in ("name", "street", "city")}
    number = orders[-1]["number"] + 1
    return {"number": number, "lines": lines, "delivery": delivery or "Standard", **where, "status": "Ordered"}


# What pages show on every phone, made once

_SHOP, _POPULAR = title("Shop"), text("Popular now")
_CART = icon("Cart", go, "cart")
_ICONS = (_CART, icon("Orders", go, "orders"))
_QUERY = field("query", "Search products", enter=(search,))
_FIELDS = tuple(field(key, key.capitalize()) for key in ("name", "street", "city"))
_DELIVERY = {
    chosen: tuple(option(label, label == chosen, choose, "delivery", label, share=3) for label in DELIVERIES)
    for chosen in DELIVERIES
}
_PLACE_ORDER = foot_button("Place order", place_order)
