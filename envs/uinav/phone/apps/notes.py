"""Notes: short texts, and lists with items to tick."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.families import CHANGE, DELETE, PIN, READ, RENAME, UNPIN, Draw, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import save_button
from envs.uinav.phone.state import Phone, ask, go, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, check, field, icon, item, text, title

TITLES = words.Pool(
    (
        "Trip ideas|Trip budget|Gift ideas|Gift budget|Book quotes|Book ideas|Garden plan|Garden diary|Work ideas|"
        "Work diary|House rules|House repairs|Soup recipe|Cake recipe|Bread recipe|Film ideas|Song ideas|Team goals|"
        "Door codes|School diary|Dream diary|Summer plan"
    ).split("|"),
    "Boat ideas|Boat repairs|Wine diary|Quiz answers|Winter plan|Poem ideas|Roof budget|Family tree|Pet care|"
    "Bird diary|"
    "Yard budget|Story ends".split("|"),
)
LISTS = words.Pool(
    (
        "Shopping list|Packing list|Party list|Weekend list|Camping list|Picnic list|Moving list|Holiday list|"
        "Kitchen list|"
        "Workshop list"
    ).split("|"),
    "Office list|Beach list|Garage list|Dinner list|School list|Winter list".split("|"),
)
ITEMS = (
    "Bread|Milk|Apples|Green apples|Rice|Soap|Candles|Batteries|Towels|Matches|Rope|Tape|Paint|Coffee|Cups|Paper cups|"
    "Plates|Blanket|Lamp|Map|Socks|Tea|Green tea|Salt|Honey|Nails"
).split("|")
TEXTS = words.Pool(
    (
        "Turn left at the mill|Two cups of flour|Ask for a window seat|Water it twice a week|Blue looks better|"
        "Start before eight|Keep the receipt|The code is on the door|Bake for an hour|Save a little every month|"
        "Try the red one first|Plant the beans in May|Ring twice|Never on a Sunday|Add a pinch of salt|"
        "Look behind the shelf|Fix the lamp in the hall|Read the last page again|Bring a warm coat|"
        "Shoes off at the door|"
        "Ask Olga about the boat|Stir it slowly|The best day was Tuesday|Sow the grass in spring|Call the plumber|"
        "Ten pages every evening|Check the tires first|Fewer meetings|Cut the hedge in June|Write to the bank"
    ).split("|"),
    words.SENTENCES.unseen,
)


def make(rng: Random) -> dict[str, Any]:
    """Texts and one to three lists, mixed; some are pinned."""
    lists, texts = 1 + int(rng.random() * 3), 3 + int(rng.random() * 4)
    lit = lists + 1 + int(rng.random() * (texts - 1))  # one is pinned, the first list and the first text are not
    names = (*words.some(rng, LISTS, lists), *words.some(rng, TITLES, texts))
    notes = [
        {
            "title": name,
            "text": "" if i < lists else words.pick(rng, TEXTS),
            "items": some_items(rng) if i < lists else (),
            "pinned": i == lit or (0 < i < lists and rng.random() < 0.2),
        }
        for i, name in enumerate(names)
    ]
    cut = int(rng.random() * len(notes))
    return {"notes": (*notes[cut:], *notes[:cut])}


def some_items(rng: Random) -> tuple[dict[str, Any], ...]:
    """Draws the items of a list, some of them ticked, but not all."""
    names, bits = words.some(rng, ITEMS, 3 + int(rng.random() * 4)), rng.getrandbits(8)
    open_one = int(rng.random() * len(names))
    return tuple({"name": name, "done": i != open_one and bits >> i & 3 == 0} for i, name in enumerate(names))


# Pages


def notes(phone: Phone) -> Iterator[Widget]:
    """Yields the notes that match the search, pinned ones first; a long press opens a menu."""
    yield from _LIST
    wanted = phone.typed("search").casefold()
    found = [(i, note) for i, note in enumerate(phone.data["notes"]) if wanted in note["title"].casefold()]
    for i, note in sorted(found, key=lambda pair: not pair[1]["pinned"]):
        name, pinned = note["title"], note["pinned"]
        pin_it = ("Unpin" if pinned else "Pin", pin, i, not pinned)
        menu = (ask, name, ("Open", go, "note", i), pin_it, ("Delete", delete, i))
        yield item(f"{name}, pinned" if pinned else name, go, "note", i, name="note", hold=menu)
    if not found:
        yield text("No notes found")


def note(phone: Phone) -> Iterator[Widget]:
    """One note: its text, or its items to tick."""
    i = phone.arg
    note = phone.data["notes"][i]
    name, pinned = note["title"], note["pinned"]
    yield title(name)
    pin_it = icon("Unpin" if pinned else "Pin", pin, i, not pinned)
    edit_it = icon("Edit", go, "form", i, {"title": name, "text": note["text"]})
    delete_it = icon("Delete", ask, f"Delete {name}?", ("Delete", delete, i), ("Cancel",))
    yield from phone.shuffled((pin_it, edit_it, delete_it), "note icons")
    if not note["items"]:
        yield text(note["text"] or "Empty", name="text")
        return
    for number, entry in enumerate(note["items"]):
        yield check(entry["name"], entry["done"], tick, i, number, name="entry")
    yield field("new", "New item", enter=(add_entry, i))
    yield button("Add item", add_entry, i, enabled=bool(phone.typed("new")))


def form(phone: Phone) -> Iterator[Widget]:
    """Yields a note being written; a list has no text."""
    yield title("New note" if phone.arg is None else "Edit note")
    yield save_button(phone, save, phone.arg)
    yield _TITLE_FIELD
    if phone.arg is None or not phone.data["notes"][phone.arg]["items"]:
        yield _TEXT_FIELD


# What the buttons do


def pin(phone: Phone, index: int, on: bool) -> Phone:
    """Returns the phone where the note stands above the others, or no more."""
    return put_item(phone, "notes", index, {"pinned": on})


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the note is gone, and the others are shown."""
    return phone.to_start().put(notes=without(phone.data["notes"], index)).say("Note deleted")


def tick(phone: Phone, index: int, number: int) -> Phone:
    """Returns the phone where an item of a list is ticked, or no more."""
    items = phone.data["notes"][index]["items"]
    return put_item(phone, "notes", index, {"items": swapped(items, number, done=not items[number]["done"])})


def add_entry(phone: Phone, index: int) -> Phone:
    """Returns the phone where the list has one item more, if it says something."""
    name = phone.typed("new")
    if not name:
        return phone.say("Enter an item")
    items = with_item(phone.data["notes"][index]["items"], {"name": name, "done": False})
    return put_item(phone.fill(new=""), "notes", index, {"items": items})


def save(phone: Phone, index: int | None) -> Phone:
    """Returns the phone where the note is saved, a new one before the others, if it has a title."""
    name, body, known = phone.typed("title"), phone.typed("text"), phone.data["notes"]
    if not name:
        return phone.say("Enter a title")
    if index is None:
        new = {"title": name, "text": body, "items": (), "pinned": False}
        return phone.back().put(notes=(new, *known)).say("Note saved")
    return phone.back().put(notes=swapped(known, index, title=name, text=body)).say("Note saved")


# What pages show on every phone, made once

_LIST = (title("Notes"), icon("Add", go, "form", place="foot"), field("search", "Search"))
_TITLE_FIELD, _TEXT_FIELD = field("title", "Title"), field("text", "Text")


# Tasks


def other_title(rng: Random, phone: Phone, pool: Sequence[str]) -> str:
    """Returns a title of the pool that no note has."""
    return words.other(rng, [note["title"] for note in phone.of("notes")["notes"]], pool)


def draw_note(rng: Random, phone: Phone) -> Values:
    """Returns a note that is not there."""
    return {"title": other_title(rng, phone, TITLES), "text": words.pick(rng, TEXTS)}


def one_of(rng: Random, phone: Phone, **wanted: bool) -> Values:
    """Returns a note with these properties, "items" for lists; and another text."""
    known = phone.of("notes")["notes"]
    right = [i for i, note in enumerate(known) if all(bool(note[key]) == is_so for key, is_so in wanted.items())]
    index = words.pick(rng, right)
    return {**known[index], "index": index, "new": words.other(rng, (known[index]["text"],), TEXTS)}


def one_text(rng: Random, phone: Phone) -> Values:
    """Returns a note that is no list, and another text."""
    return one_of(rng, phone, items=False)


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a title that no note has, and a text."""
    return {**draw_note(rng, phone), "new": words.pick(rng, TEXTS)}


def one_item(rng: Random, phone: Phone) -> Values:
    """Returns a list, and an item on it that is not ticked."""
    note = one_of(rng, phone, items=True)
    number = words.pick(rng, [i for i, entry in enumerate(note["items"]) if not entry["done"]])
    return {**note, "number": number, "item": note["items"][number]["name"]}


def no_item(rng: Random, phone: Phone) -> Values:
    """Returns a list and an item that it lacks."""
    note = one_of(rng, phone, items=True)
    return {**note, "item": words.other(rng, [entry["name"] for entry in note["items"]], ITEMS)}


def to_rename(draw: Draw) -> Draw:
    """Draws a note, and a title for it that none has."""
    return lambda rng, phone: {**draw(rng, phone), "new": other_title(rng, phone, TITLES)}


def no_list(rng: Random, phone: Phone) -> Values:
    """Returns a list that is not there, and an item."""
    return {"title": other_title(rng, phone, LISTS), "item": words.pick(rng, ITEMS)}


def to_note(hands: Hands) -> Action:
    """Opens the note of the goal, and searches for it where there are many."""
    searched = hands.phone.typed("search")
    if len(hands.data["notes"]) > 7 or searched.casefold() not in hands["title"].casefold():
        return hands.type("search", hands["title"]) or hands.tap(hands["title"], "note")
    return hands.tap(hands["title"], "note")


def is_right(hands: Hands) -> bool:
    """Returns whether the page is about the note of the goal."""
    return hands.arg is not None and hands.data["notes"][hands.arg]["title"] == hands["title"]


def on_note(then: Route, form: Route = lambda hands: None) -> Mapping[str, Route]:
    """Routes that open the note of the goal and do this there, and that in its form."""
    return {
        "notes": to_note,
        "note": lambda hands: then(hands) if is_right(hands) else None,
        "form": lambda hands: form(hands) if is_right(hands) else None,
    }


def write(hands: Hands) -> Action | None:
    """Fills the form of a new note and saves it."""
    if hands.arg is not None:
        return None
    return hands.fill(title=hands["title"], text=hands["text"]) or hands.tap("Save")


def was_written(phone: Phone, values: Values) -> bool:
    """Returns whether the note is there, and nothing else was done."""
    new = {"title": values["title"], "text": values["text"], "items": (), "pinned": False}
    return phone.changed_only("notes", notes=(new, *phone.at_first("notes")["notes"]))


def became(**changes: Any) -> Check:
    """Returns a check that the note differs in this, texts being names of values, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        new = {key: values[value] if isinstance(value, str) else value for key, value in changes.items()}
        return phone.changed_only("notes", notes=swapped(phone.at_first("notes")["notes"], values["index"], **new))

    return check


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the note is gone, and nothing else."""
    return phone.changed_only("notes", notes=without(phone.at_first("notes")["notes"], values["index"]))


def was_ticked(phone: Phone, values: Values) -> bool:
    """Returns whether the item is ticked, and nothing else was done."""
    return became(items="ticked")(phone, {**values, "ticked": swapped(values["items"], values["number"], done=True)})


def was_lengthened(phone: Phone, values: Values) -> bool:
    """Returns whether the item is the last of the list, and nothing else was done."""
    items = with_item(values["items"], {"name": values["item"], "done": False})
    return became(items="longer")(phone, {**values, "longer": items})


CREATE = Template(
    "create_note",
    (
        "Create a note titled {title} saying {text}",
        "Write a note {title} that says {text}",
        "Make a new note with title {title} and text {text}",
    ),
    draw_note,
    {"notes": tapping("Add"), "form": write},
    check=was_written,
    unseen_goals=("Make a note with the title {title} saying {text}",),
)
NOTE = "the note {title}"
CHANGE_IT = Template(
    "append_note",
    draw=one_text,
    route=on_note(tapping("Edit"), lambda hands: hands.fill(text=hands["new"]) or hands.tap("Save")),
    check=became(text="new"),
    absent=none_of,
    **wordings("append_note", CHANGE, NOTE, ("Make the note {title} say {new}",), field="text"),
)
RENAME_IT = Template(
    "rename_note",
    draw=to_rename(one_of),
    route=on_note(tapping("Edit"), lambda hands: hands.fill(title=hands["new"]) or hands.tap("Save")),
    check=became(title="new"),
    absent=to_rename(none_of),
    demonstrated=0,
    **wordings("rename_note", RENAME, NOTE),
)
DELETE_IT = Template(
    "delete_note",
    draw=one_of,
    route=on_note(tapping("Delete")),
    check=was_deleted,
    absent=none_of,
    demonstrated=0,
    **wordings("delete_note", DELETE, NOTE),
)
PIN_IT = Template(
    "pin_note",
    draw=lambda rng, phone: one_of(rng, phone, pinned=False),
    route=on_note(tapping("Pin")),
    check=became(pinned=True),
    absent=none_of,
    **wordings("pin_note", PIN, NOTE),
)
UNPIN_IT = Template(
    "unpin_note",
    draw=lambda rng, phone: one_of(rng, phone, pinned=True),
    route=on_note(tapping("Unpin")),
    check=became(pinned=False),
    absent=none_of,
    **wordings("unpin_note", UNPIN, NOTE),
)
TICK = Template(
    "tick_item",
    ("Tick {item} on the {title}", "Tick off {item} in the note {title}", "Tick off {item} on the {title}"),
    one_item,
    on_note(lambda hands: hands.set(hands["item"], True, "entry")),
    check=was_ticked,
    absent=no_item,
    unseen_goals=("Tick {item} in the note {title}",),
)
LENGTHEN = Template(
    "add_item",
    ("Add {item} to the {title}", "Put {item} on the {title}", "Add the item {item} to the note {title}"),
    no_item,
    on_note(lambda hands: hands.fill(new=hands["item"]) or hands.tap("Add item")),
    check=was_lengthened,
    absent=no_list,
    demonstrated=FEW,
    unseen_goals=("Put the item {item} on the {title}",),
)
READ_IT = Template(
    "read_note",
    draw=one_text,
    route=on_note(lambda hands: hands.say(hands["text"])),
    answer=lambda phone, values: str(values["text"]),
    absent=none_of,
    demonstrated=0,
    **wordings("read_note", READ, NOTE),
)

APP = register_app(
    App(
        "notes",
        "Notes",
        make,
        {"notes": notes, "note": note, "form": form},
        templates=(CREATE, CHANGE_IT, RENAME_IT, DELETE_IT, PIN_IT, UNPIN_IT, TICK, LENGTHEN, READ_IT),
    )
)
