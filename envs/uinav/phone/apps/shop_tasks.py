"""What is done in Shop: products asked about, bought and put into the cart, orders looked up."""

from random import Random

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.apps import shop
from envs.uinav.phone.families import DELETE, Asked, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone, with_item, without


def new_line(rng: Random, phone: Phone, colours: bool = False) -> Values:
    """Returns a product that is not in the cart; with `colours` one of its own, else what is offered first."""
    data = phone.of("shop")
    products, taken = data["products"], [line["product"] for line in data["cart"]]
    free = [i for i, p in enumerate(products) if i not in taken and (p["colours"] or not colours)]
    index = words.pick(rng, free)
    colour = words.pick(rng, products[index]["colours"]) if colours else ""
    line = shop.line_of(products, index, colour=colour)
    return {"product": products[index]["name"], "colour": line["colour"], "line": line}


def no_line(rng: Random, phone: Phone) -> Values:
    """Returns a product that is not in the shop, though others of its kind are."""
    names = [product["name"].split() for product in phone.of("shop")["products"]]
    brand, noun = words.other(rng, [name[0] for name in names], shop.BRANDS), words.pick(rng, names)[1]
    return {"product": f"{brand} {noun}", "colour": words.pick(rng, shop.COLOURS), "line": {"product": None}}


def counted(values: Values, rng: Random) -> Values:
    """Returns the values with a count of more than one."""
    count = 2 + int(rng.random() * 8)
    return {**values, "count": str(count), "line": {**values["line"], "count": count}}


def addressed(values: Values, rng: Random) -> Values:
    """Returns the values with somebody's address."""
    return {**values, "name": words.full_name(rng), **shop.address(rng)}


def cart_line(rng: Random, phone: Phone) -> Values:
    """Returns a product in the cart."""
    data = phone.of("shop")
    index = int(rng.random() * len(data["cart"]))
    return {"product": data["products"][data["cart"][index]["product"]]["name"], "index": index}


def one_order(rng: Random, phone: Phone) -> Values:
    """Returns a product that was ordered, and what its order says."""
    data = phone.of("shop")
    order = words.pick(rng, data["orders"])
    facts = {
        "id": str(order["number"]),
        "total": shop.money(shop.total(data["products"], order["lines"])),
        "address": f"{order['street']}, {order['city']}",
    }
    return {**order, "product": data["products"][order["lines"][0]["product"]]["name"], **facts}


def whole_cart(rng: Random, phone: Phone) -> Values:
    """Returns what all that is in the cart costs."""
    data = phone.of("shop")
    return {"total": shop.money(shop.total(data["products"], data["cart"]))}


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


def on_product(then: Route) -> dict[str, Route]:
    """Routes to the product, and this on its page."""

    def on_page(hands: Hands) -> Action | None:
        return then(hands) if hands.data["products"][hands.arg]["name"] == hands["product"] else None

    return {"home": to_search, "results": to_product, "product": on_page}


def on_order(then: Route) -> dict[str, Route]:
    """Routes to the order, and this on its page."""

    def route(hands: Hands) -> Action | None:
        return then(hands) if hands.data["orders"][hands.arg]["number"] == hands["number"] else None

    return {"home": tapping("Orders"), "orders": tapping("{product}", "order"), "order": route}


def on_line(hands: Hands) -> Action | None:
    """Removes the line of the cart."""
    name = hands.data["products"][hands.data["cart"][hands.arg]["product"]]["name"]
    return hands.tap("Remove") if name == hands["product"] else None


def one_product(rng: Random, phone: Phone) -> Values:
    """Returns a product, and what its page says."""
    product = words.pick(rng, phone.of("shop")["products"])
    facts = {"price": shop.money(product["price"]), "rating": str(product["rating"] / 10)}
    return {"product": product["name"], "company": product["company"], **facts}


def is_in_cart(phone: Phone, values: Values) -> bool:
    """Returns whether the line is in the cart behind those that were, and nothing else was done."""
    return phone.changed_only("shop", cart=with_item(phone.at_first("shop")["cart"], values["line"]))


def was_ordered(phone: Phone, values: Values) -> bool:
    """Returns whether the line alone was ordered to the address, and nothing else was done."""
    orders = phone.at_first("shop")["orders"]
    return phone.changed_only("shop", orders=with_item(orders, shop.new_order(orders, (values["line"],), values)))


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
    unseen_goals=("Put {product} in {colour} in the cart", "Add the {product} in {colour} to the shopping cart"),
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
    demonstrated=FEW,
    unseen_goals=("Buy the {product} from the shop for {name}, {street}, {city}",),
)
QUANTITY = Template(
    "set_quantity",
    ("Put {count} of {product} in the cart", "Add the {product} to the cart with quantity {count}"),
    lambda rng, phone: counted(new_line(rng, phone), rng),
    {"home": to_search, "results": to_product, "product": choose_and("Add to cart")},
    check=is_in_cart,
    absent=lambda rng, phone: counted(no_line(rng, phone), rng),
    demonstrated=FEW,
    unseen_goals=("Put {count} of the {product} into the shopping cart", "Add {count} of {product} to the cart"),
)
REMOVE = Template(
    "remove_from_cart",
    draw=cart_line,
    route={"home": tapping("Cart"), "cart": tapping("{product}", "product"), "line": on_line},
    check=was_removed,
    absent=no_line,
    demonstrated=0,
    **wordings("remove_from_cart", DELETE, "the {product} from the cart"),
)
ASKED = (
    *questions(
        "the product {product}",
        [
            Asked("product_price", "price", "price", own=("How much is the {product} in the shop?",)),
            Asked("product_rating", "rating", "rating"),
            Asked("product_company", "company", "company", own=("Which company makes the product {product}?",)),
        ],
        one_product,
        on_product,
        no_line,
    ),
    *questions(
        "my order of {product}",
        [
            Asked("order_number", "number", "id"),
            Asked("order_total", "total", "total", 0),
            Asked("order_address", "address", "address", FEW, ("Where does my order of {product} go?",)),
            Asked("order_status", "status", "status", held_out=True),
        ],
        one_order,
        on_order,
        no_order,
    ),
)
CART_TOTAL = questions(
    "the shopping cart",
    [Asked("cart_total", "total", "total", own=("How much is all that is in the cart?",))],
    whole_cart,
    lambda then: {"home": tapping("Cart"), "cart": then},
)

APP = register_app(
    App(
        "shop",
        "Shop",
        shop.make,
        {
            "home": shop.home,
            "category": shop.category,
            "results": shop.results,
            "product": shop.product,
            "cart": shop.cart,
            "line": shop.line,
            "checkout": shop.checkout,
            "orders": shop.orders,
            "order": shop.order,
        },
        templates=(ADD, BUY, QUANTITY, REMOVE, *ASKED, *CART_TOTAL),
    )
)
