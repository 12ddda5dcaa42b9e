"""Shop: products by category, a cart, a form to order with, and the orders so far."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import App, Route, Template, Values, register_app
from envs.uinav.phone.oracle import Hands, tapping
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
BRANDS = "Nordo Velka Aldia Brisa Cresto Fermo Lumio Orvel Pinto Rivo Solara Tundra Zenta Maro".split()
COLOURS = "red blue green black white grey pink orange".split()
PALETTES = tuple(tuple(COLOURS[(i + step) % 8] for step in (0, 3, 5)) for i in range(8))
SIZES = ("S", "M", "L")
STREETS = "Oak Mill Park Lake Hill Rose King Elm Station Bridge".split()
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
    home = {"name": words.full_name(rng), **_address(rng), "delivery": "Standard"}
    number = 2000 + int(rng.random() * 6000)
    orders = tuple(
        {"number": number + i, "lines": (line_of(products, order[i]),), "status": words.pick(rng, STATUSES), **home}
        for i in range(3)
    )
    return {"products": tuple(products), "cart": tuple(line_of(products, i) for i in order[2:]), "orders": orders}


def _product(rng: Random, name: str, category: str, coloured: bool) -> dict[str, Any]:
    draw = int(rng.random() * 150 * 20 * 8)  # one number tells all, since this runs for every new phone
    return {
        "name": name,
        "category": category,
        "price": 500 + 50 * (draw % 150),
        "rating": 30 + draw // 150 % 20,
        "colours": PALETTES[draw // 3000] if coloured else (),
        "sizes": SIZES if category == "Clothes" else (),
    }


def _address(rng: Random) -> dict[str, str]:
    street = f"{1 + int(rng.random() * 98)} {words.pick(rng, STREETS)} Street"
    return {"street": street, "city": words.pick(rng, words.CITIES)}


def line_of(products: Sequence[Mapping[str, Any]], index: int, count: int = 1, colour: str = "") -> dict[str, Any]:
    """Returns a product as it lies in a cart, in its first colour and a middle size where nothing else is said."""
    product = products[index]
    first, size = product["colours"][0] if product["colours"] else "", "M" if product["sizes"] else ""
    return {"product": index, "colour": colour or first, "size": size, "count": count}


def money(cents: int) -> str:
    """Returns a price, such as $24.50."""
    return f"${cents // 100}.{cents % 100:02d}"


def total(phone: Phone, lines: Sequence[Mapping[str, Any]]) -> int:
    """Returns what the lines of a cart cost, in cents."""
    return sum(phone.data["products"][line["product"]]["price"] * line["count"] for line in lines)


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
    yield text(money(shown["price"]), name="price")
    yield text(f"Rated {shown['rating'] / 10} of 5")
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
        yield item(f"{name}, {_details(line)}", go, "line", i, name="line", hold=_removal(name, i))
    yield text(f"Total {money(total(phone, lines))}" if lines else "Your cart is empty")


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
    yield text(f"Total {money(total(phone, lines) + DELIVERIES[chosen])}")
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
    yield title(f"Order {shown['number']}")
    yield text(_content(phone, shown))
    yield text(f"Status: {shown['status']}", name="status")
    yield text(f"{shown['name']}, {shown['street']}, {shown['city']}")


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


# Tasks


def new_line(rng: Random, phone: Phone, colours: bool = False) -> Values:
    """Returns a product that is not in the cart; with `colours` one of its own, else what is offered first."""
    data = phone.of("shop")
    products, taken = data["products"], [line["product"] for line in data["cart"]]
    free = [i for i, p in enumerate(products) if i not in taken and (p["colours"] or not colours)]
    index = words.pick(rng, free)
    colour = words.pick(rng, products[index]["colours"]) if colours else ""
    line = line_of(products, index, colour=colour)
    return {"product": products[index]["name"], "colour": line["colour"], "line": line}


def no_line(rng: Random, phone: Phone) -> Values:
    """Returns a product that is not in the shop, though others of its kind are."""
    names = [product["name"].split() for product in phone.of("shop")["products"]]
    brand, noun = words.other(rng, [name[0] for name in names], BRANDS), words.pick(rng, names)[1]
    return {"product": f"{brand} {noun}", "colour": words.pick(rng, COLOURS), "line": {"product": None}}


def counted(values: Values, rng: Random) -> Values:
    """Returns the values with a count of more than one."""
    count = 2 + int(rng.random() * 8)
    return {**values, "count": str(count), "line": {**values["line"], "count": count}}


def addressed(values: Values, rng: Random) -> Values:
    """Returns the values with somebody's address."""
    return {**values, "name": words.full_name(rng), **_address(rng)}


def cart_line(rng: Random, phone: Phone) -> Values:
    """Returns a product in the cart."""
    data = phone.of("shop")
    index = int(rng.random() * len(data["cart"]))
    return {"product": data["products"][data["cart"][index]["product"]]["name"], "index": index}


def one_order(rng: Random, phone: Phone) -> Values:
    """Returns a product that was ordered."""
    data = phone.of("shop")
    order = words.pick(rng, data["orders"])
    return {"product": data["products"][order["lines"][0]["product"]]["name"], **order}


def no_order(rng: Random, phone: Phone) -> Values:
    """Returns a product that was not ordered."""
    data = phone.of("shop")
    taken = [order["lines"][0]["product"] for order in data["orders"]]
    index = words.other(rng, taken, range(len(data["products"])))
    return {"product": data["products"][index]["name"], "number": 0}


def to_search(hands: Hands) -> Action:
    """Searches for the product."""
    return hands.enter("query", hands["product"])


def to_product(hands: Hands) -> Action | None:
    """Opens the product that was searched for."""
    return hands.tap(hands["product"], "product") if hands.arg == hands["product"] else None


def choose_and(label: str) -> Route:
    """Chooses what the goal wants of the product, and clicks this."""

    def route(hands: Hands) -> Action | None:
        line = hands["line"]
        if hands.arg != line["product"]:
            return None
        options = [hands.set(line[key], True, key) for key in ("colour", "size") if line[key]]
        unset = next((action for action in options if action is not None), None)
        return unset or hands.fill(quantity=str(line["count"])) or hands.tap(label)

    return route


def fill_and_order(hands: Hands) -> Action | None:
    """Fills the form, and orders."""
    if hands.arg != (hands["line"],):
        return None
    address = {key: hands[key] for key in ("name", "street", "city")}
    return hands.set("Standard", True) or hands.fill(**address) or hands.tap("Place order")


def say_price(hands: Hands) -> Action | None:
    """Says the price of the product where it is found."""
    names = [product["name"] for product in hands.data["products"]]
    found = hands["product"] in names and hands.arg == hands["product"]
    return hands.say(money(hands["line"]["price"])) if found else to_product(hands)


def on_line(hands: Hands) -> Action | None:
    """Removes the line of the cart."""
    name = hands.data["products"][hands.data["cart"][hands.arg]["product"]]["name"]
    return hands.tap("Remove") if name == hands["product"] else None


def priced(rng: Random, phone: Phone) -> Values:
    """Returns a product."""
    product = words.pick(rng, phone.of("shop")["products"])
    return {"product": product["name"], "line": product}


def is_in_cart(phone: Phone, values: Values) -> bool:
    """Returns whether the line is in the cart behind those that were, and nothing else was done."""
    return phone.changed_only("shop", cart=with_item(phone.at_first("shop")["cart"], values["line"]))


def was_ordered(phone: Phone, values: Values) -> bool:
    """Returns whether the line alone was ordered to the address, and nothing else was done."""
    orders = phone.at_first("shop")["orders"]
    return phone.changed_only("shop", orders=with_item(orders, new_order(orders, (values["line"],), values)))


def was_removed(phone: Phone, values: Values) -> bool:
    """Returns whether the line is gone from the cart, and nothing else was done."""
    return phone.changed_only("shop", cart=without(phone.at_first("shop")["cart"], values["index"]))


ADD = Template(
    "add_to_cart",
    ("Add {product} in {colour} to the cart", "Put the {product} in {colour} into the shopping cart"),
    lambda rng, phone: new_line(rng, phone, colours=True),
    {"home": to_search, "results": to_product, "product": choose_and("Add to cart")},
    check=is_in_cart,
    absent=no_line,
)
BUY = Template(
    "buy_product",
    (
        "Buy the {product} for {name}, {street}, {city}",
        "Order the {product} to {name}, {street}, {city}",
        "Have the {product} from the shop sent to {name}, {street}, {city}",
    ),
    lambda rng, phone: addressed(new_line(rng, phone), rng),
    {"home": to_search, "results": to_product, "product": choose_and("Buy now"), "checkout": fill_and_order},
    check=was_ordered,
    absent=lambda rng, phone: addressed(no_line(rng, phone), rng),
)
QUANTITY = Template(
    "set_quantity",
    ("Put {count} of {product} in the cart", "Add the {product} to the cart with quantity {count}"),
    lambda rng, phone: counted(new_line(rng, phone), rng),
    {"home": to_search, "results": to_product, "product": choose_and("Add to cart")},
    check=is_in_cart,
    absent=lambda rng, phone: counted(no_line(rng, phone), rng),
)
REMOVE = Template(
    "remove_from_cart",
    ("Remove the {product} from the cart", "Take {product} out of the shopping cart"),
    cart_line,
    {"home": tapping("Cart"), "cart": tapping("{product}", "line"), "line": on_line},
    check=was_removed,
    absent=no_line,
)
PRICE = Template(
    "product_price",
    ("How much is the {product} in the shop?", "What does the {product} cost in the shop?"),
    priced,
    {"home": to_search, "results": say_price},
    answer=lambda phone, values: money(values["line"]["price"]),
    absent=no_line,
)
STATUS = Template(
    "order_status",
    ("What is the status of the order of {product}?", "Look up the status of my order of {product}"),
    one_order,
    {
        "home": tapping("Orders"),
        "orders": tapping("{product}", "order"),
        "order": lambda hands: (
            hands.say(hands["status"]) if hands.data["orders"][hands.arg]["number"] == hands["number"] else None
        ),
    },
    answer=lambda phone, values: str(values["status"]),
    absent=no_order,
    held_out=True,
)

APP = register_app(
    App(
        "shop",
        "Shop",
        make,
        {
            "home": home,
            "category": category,
            "results": results,
            "product": product,
            "cart": cart,
            "line": line,
            "checkout": checkout,
            "orders": orders,
            "order": order,
        },
        templates=(ADD, BUY, QUANTITY, REMOVE, PRICE, STATUS),
    )
)
