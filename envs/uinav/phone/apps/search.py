"""Search: the web, whose pages are drawn from what is searched for and the phone's seed; bookmarks, and a history."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.families import ASK, DELETE, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import tab_rows
from envs.uinav.phone.state import Phone, ask, choose, go, put, with_item
from envs.uinav.phone.widgets import Widget, button, check, field, foot_button, icon, item, option, text, title

# Titles of pages, of which a search finds some; the first three tell the facts of a building.
PATTERNS = (
    "{} in figures|{} visitor guide|{} people and history|{} this week|{} explained|{} in pictures|{} for families|"
    "guide to {}|ten tips on {}|all about {}|{} compared|{} on a map"
).split("|")
FACTS = (
    ("height", "opening year", "number of steps"),
    ("ticket price", "closing time", "busiest day"),
    ("architect", "owner", "director"),
)
SHOWN = 6  # pages that a search finds
SITES = "factbook.org tripnote.com oldstones.net daily.news askme.io picbox.com".split()
BUILDINGS = "tower castle bridge palace cathedral stadium museum lighthouse".split()
WANTED = (
    "hotels in|weather in|flights to|trains to|concerts in|jobs in|flats in|street food in|parks in|markets in|"
    "language schools in|bike tours of"
).split("|")
SPANS = ("last hour", "last day", "last week", "last month", "last year")
AGES = ("just now", "today", "this week", "this month", "this year", "long ago")
KINDS = {"searches": "search", "pages": "page", "downloads": "file"}
LONGEST = 60  # letters of a query that count
Visit = tuple[str, int]  # a page: what was searched for, and the number of its title


def make(rng: Random) -> dict[str, Any]:
    """Two or three bookmarks, and a history with every kind of entry in the last hour."""
    queries = [f"{words.pick(rng, WANTED)} {city}" for city in words.some(rng, words.CITIES, 6)]
    visits = [(query, len(FACTS) + int(rng.random() * 9)) for query in queries]
    files = [f"{name.lower()}.pdf" for name in words.some(rng, words.SUBJECTS, 2)]
    history = (
        _entry("searches", queries[0]),
        _entry("pages", visits[0]),
        _entry("downloads", files[0]),
        _entry("searches", queries[1], 1 + (rng.random() < 0.3)),
        _entry("pages", visits[1], 2),
        _entry("searches", queries[2], 3),
        _entry("pages", visits[2], 4 + (rng.random() < 0.3)),
        _entry("downloads", files[1], 5),
    )
    return {"bookmarks": tuple(visits[3 + (rng.random() < 0.5) :]), "history": history}


def _entry(kind: str, what: Any, age: int = 0) -> dict[str, Any]:
    return {"kind": kind, "what": what, "age": age}


def title_of(visit: Visit) -> str:
    """Returns the title of a page."""
    query, number = visit
    said = PATTERNS[number].format(query)
    return said[:1].upper() + said[1:]


def found(phone: Phone, query: str) -> list[Visit]:
    """Returns the pages that a search finds: the same ones whenever it is made on this phone."""
    first = 0 if building_in(query) else len(FACTS)
    numbers = phone.shuffled(range(first, first + 9), f"results for {query}")
    some = numbers[:SHOWN] if first else [i for i in numbers if i < SHOWN]
    return [(query, number) for number in some]


def building_in(query: str) -> str:
    """Returns the building of a city that is searched for, such as "tower of Lima"; "" for something else."""
    said = query.casefold().split()
    kind = next((kind for kind in BUILDINGS if kind in said), "")
    city = next((city for city in words.CITIES if city.casefold() in said), "")
    return f"{kind} of {city}" if kind and city else ""


def facts_of(phone: Phone, building: str) -> dict[str, str]:
    """Returns the facts about a building in this phone's web; all invented."""
    rng = phone.rng(f"facts of {building}")
    architect, owner, director = words.names(rng, 3)
    return {
        "height": f"{20 + int(rng.random() * 300)} m",
        "opening year": str(1700 + int(rng.random() * 320)),
        "number of steps": str(50 + int(rng.random() * 900)),
        "ticket price": f"${4 + int(rng.random() * 30)}",
        "closing time": words.clock_time(rng, 15, 22),
        "busiest day": words.pick(rng, words.DAYS),
        "architect": architect,
        "owner": owner,
        "director": director,
    }


# Pages


def home(phone: Phone) -> Iterator[Widget]:
    """Yields where to search, and what was searched for before."""
    yield from _HOME
    recent = [entry["what"] for entry in phone.data["history"] if entry["kind"] == "searches"]
    if recent:
        yield _RECENT
    for query in recent[:4]:
        yield item(query, search_for, query, name="recent")


def results(phone: Phone) -> Iterator[Widget]:
    """Yields the pages that were found."""
    yield title("Results")
    yield text(f"Pages about {phone.arg}")
    for visit in found(phone, phone.arg):
        yield item(f"{title_of(visit)}, {SITES[visit[1] % len(SITES)]}", visit_page, visit, name="result")


def page(phone: Phone) -> Iterator[Widget]:
    """Yields a page of the web."""
    visit = phone.arg
    yield title(title_of(visit))
    for line in phone.shuffled(_lines(phone, visit), f"lines of {visit[1]}"):
        yield text(line)
    kept = visit in phone.data["bookmarks"]
    forget = (ask, "Remove this bookmark?", ("Remove", keep, visit, False), ("Cancel",))
    change = ("Remove bookmark", *forget) if kept else ("Save bookmark", keep, visit, True)
    in_bar = phone.shuffled((True, False), "bookmark in bar")[0]
    yield icon(*change) if in_bar else button(*change)
    yield button("Download", download, visit)


def _lines(phone: Phone, visit: Visit) -> list[str]:
    """Returns the lines of a page."""
    query, number = visit
    if number < len(FACTS):
        facts = facts_of(phone, building_in(query))
        return [f"The {name} is {facts[name]}" for name in FACTS[number]]
    rng = phone.rng(f"page {visit}")
    return [
        f"Written by {words.full_name(rng)}",
        f"Updated on {words.pick(rng, words.DAYS)}",
        f"Rated {3 + int(rng.random() * 20) / 10} of 5 by {10 + int(rng.random() * 900)} readers",
    ]


def bookmarks(phone: Phone) -> Iterator[Widget]:
    """Yields the pages that were saved."""
    yield from _BOOKMARKS
    for visit in phone.data["bookmarks"]:
        question = f"Remove {title_of(visit)}?"
        hold = (ask, question, ("Remove", keep, visit, False), ("Cancel",))
        yield item(title_of(visit), visit_page, visit, name="bookmark", hold=hold)


def history(phone: Phone) -> Iterator[Widget]:
    """Yields what was searched for, visited and downloaded."""
    yield from _HISTORY
    for entry in phone.data["history"]:
        said = title_of(entry["what"]) if entry["kind"] == "pages" else entry["what"]
        yield item(f"{said}, {KINDS[entry['kind']]}, {AGES[entry['age']]}", again, entry["kind"], entry["what"])
    yield foot_button("Clear history", go, "clear", enabled=bool(phone.data["history"]))


def clear_page(phone: Phone) -> Iterator[Widget]:
    """Yields how much of the history to clear, and what of it."""
    yield title("Clear history")
    chosen = phone.typed("span", SPANS[0])
    for span in SPANS:
        yield option(span, span == chosen, choose, "span", span)
    kinds = [kind for kind in KINDS if phone.typed(kind)]
    for kind in phone.shuffled(tuple(KINDS), "clear kinds"):
        yield check(kind, kind in kinds, choose, kind, "" if kind in kinds else "on")
    question = f"Clear the {chosen}: {', '.join(kinds)}?"
    yield foot_button("Clear", ask, question, ("Clear", clear, chosen, kinds), ("Cancel",), enabled=bool(kinds))


# What the buttons do


def search(phone: Phone) -> Phone:
    """Returns the phone where what is typed is searched for."""
    query = phone.typed("query")[:LONGEST].strip()
    return search_for(phone, query) if query else phone.say("Type what to search for")


def search_for(phone: Phone, query: str) -> Phone:
    """Returns the phone where the results are shown, and the history has the search."""
    return _remembered(phone, "searches", query).go("results", query)


def visit_page(phone: Phone, visit: Visit) -> Phone:
    """Returns the phone where the page is shown, and the history has it."""
    return _remembered(phone, "pages", visit).go("page", visit)


def _remembered(phone: Phone, kind: str, what: Any) -> Phone:
    """With an entry at the top of the history, in place of those that were the same."""
    old = (entry for entry in phone.data["history"] if (entry["kind"], entry["what"]) != (kind, what))
    return phone.put(history=(_entry(kind, what), *old))


def again(phone: Phone, kind: str, what: Any) -> Phone:
    """Returns the phone where an entry of the history is opened."""
    if kind == "downloads":
        return phone.say(f"No app opens {what}")
    return search_for(phone, what) if kind == "searches" else visit_page(phone, what)


def keep(phone: Phone, visit: Visit, on: bool) -> Phone:
    """Returns the phone where a page is a bookmark, or no more."""
    rest = tuple(other for other in phone.data["bookmarks"] if other != visit)
    return put(phone, "bookmarks", with_item(rest, visit) if on else rest).say("Saved" if on else "Removed")


def download(phone: Phone, visit: Visit) -> Phone:
    """Returns the phone where a file is in the history."""
    return _remembered(phone, "downloads", f"{title_of(visit).lower()}.pdf").say("Downloaded")


def clear(phone: Phone, span: str, kinds: list[str]) -> Phone:
    """Returns the phone where entries of the history are gone."""
    return phone.back().put(history=left_of(phone.data["history"], span, kinds)).say("Cleared")


def left_of(entries: tuple[Mapping[str, Any], ...], span: str, kinds: list[str]) -> tuple[Mapping[str, Any], ...]:
    """Returns the history without entries of some kinds of a span of time."""
    oldest = SPANS.index(span)
    return tuple(entry for entry in entries if entry["kind"] not in kinds or entry["age"] > oldest)


# What pages show on every phone, made once

_TABS = tab_rows({"Search": "search", "Bookmarks": "bookmarks", "History": "history"})
_HOME = (title("Search"), *_TABS["Search"], field("query", "Search the web", enter=(search,)))
_RECENT = text("Recent searches")
_BOOKMARKS = (title("Bookmarks"), *_TABS["Bookmarks"])
_HISTORY = (title("History"), *_TABS["History"])


# Tasks


def new_query(rng: Random, phone: Phone) -> Values:
    """Something that was not searched for yet, and a page that is found for it."""
    known = [visit[0] for visit in phone.of("search")["bookmarks"]]
    known += [entry["what"] for entry in phone.of("search")["history"] if entry["kind"] == "searches"]
    free = [city for city in words.CITIES if not any(city in query for query in known)]
    query = f"{words.pick(rng, WANTED)} {words.pick(rng, free)}"
    visit = words.pick(rng, found(phone, query))
    return {"query": query, "visit": visit, "title": title_of(visit)}


def no_page(rng: Random, phone: Phone) -> Values:
    """Returns a page that is not among those found."""
    query = new_query(rng, phone)["query"]
    number = words.other(rng, [visit[1] for visit in found(phone, query)], range(len(FACTS), len(PATTERNS)))
    return {"query": query, "visit": (query, number), "title": title_of((query, number))}


def one_fact(rng: Random, phone: Phone) -> Values:
    """Returns a fact about a building, and the page that tells it."""
    building, number = (
        f"{words.pick(rng, BUILDINGS)} of {words.pick(rng, words.CITIES)}",
        int(rng.random() * len(FACTS)),
    )
    fact = words.pick(rng, FACTS[number])
    told = facts_of(phone, building)[fact]
    return {"query": building, "visit": (building, number), "fact": fact, "told": told}


def one_bookmark(rng: Random, phone: Phone) -> Values:
    """Returns a bookmark."""
    visit = words.pick(rng, phone.of("search")["bookmarks"])
    return {"visit": visit, "title": title_of(visit)}


def no_bookmark(rng: Random, phone: Phone) -> Values:
    """Returns a page that is no bookmark."""
    return new_query(rng, phone)


def to_search(hands: Hands) -> Action:
    """Searches."""
    return hands.enter("query", hands["query"])


def to_page(hands: Hands) -> Action | None:
    """Opens the page that the goal is about."""
    return hands.tap(title_of(hands["visit"]), "result") if hands.arg == hands["query"] else None


def say_fact(hands: Hands) -> Action | None:
    """Says the fact that is on the page."""
    return hands.say(hands["told"]) if hands.arg == hands["visit"] else None


def set_and_clear(hands: Hands) -> Action:
    """Chooses what to clear, and clears it."""
    wanted = [hands.set(hands["span"], True), *(hands.set(kind, kind == hands["kind"]) for kind in KINDS)]
    return next((action for action in wanted if action is not None), None) or hands.tap("Clear")


def was_searched(phone: Phone, values: Values) -> bool:
    """Returns whether it was searched for last, and nothing was saved or cleared."""
    data, first = phone.of("search"), phone.at_first("search")
    newest = next((entry for entry in data["history"] if entry["kind"] == "searches"), None)
    return newest == _entry("searches", values["query"]) and _has_kept(phone, *first["bookmarks"])


def was_kept(phone: Phone, values: Values) -> bool:
    """Returns whether the page alone is a new bookmark."""
    return _has_kept(phone, *phone.at_first("search")["bookmarks"], values["visit"])


def _has_kept(phone: Phone, *visits: Visit) -> bool:
    """Returns whether these are the bookmarks, and nothing of the history was cleared."""
    data, first = phone.of("search"), phone.at_first("search")
    return data["bookmarks"] == visits and len(data["history"]) >= len(first["history"])


def was_forgotten(phone: Phone, values: Values) -> bool:
    """Returns whether the page alone is a bookmark no more."""
    first = phone.at_first("search")["bookmarks"]
    return _has_kept(phone, *(visit for visit in first if visit != values["visit"]))


def was_cleared(phone: Phone, values: Values) -> bool:
    """Returns whether the history lacks what was to go and nothing else; opening pages on the way is no harm."""
    data, first, due = phone.of("search"), phone.at_first("search"), (values["span"], [values["kind"]])
    there = [(entry["kind"], entry["what"]) for entry in data["history"]]
    rest = ((entry["kind"], entry["what"]) for entry in left_of(first["history"], *due))
    is_gone = left_of(data["history"], *due) == data["history"]
    return is_gone and all(entry in there for entry in rest) and data["bookmarks"] == first["bookmarks"]


ON_TABS: dict[str, Route] = {"bookmarks": tapping("Search"), "history": tapping("Search")}
SEARCH = Template(
    "search_web",
    ("Search the web for {query}", "Do a web search for {query}", "Look for {query} on the web"),
    new_query,
    {"search": to_search, **ON_TABS},
    check=was_searched,
    demonstrated=0,
    unseen_goals=("Look on the web for {query}",),
)
BOOKMARK = Template(
    "bookmark_page",
    (
        "Search the web for {query} and bookmark the page {title}",
        "Look for {query} on the web and save the page {title} as a bookmark",
    ),
    new_query,
    {
        "search": to_search,
        **ON_TABS,
        "results": to_page,
        "page": lambda hands: hands.tap("Save bookmark") if hands.arg == hands["visit"] else None,
    },
    check=was_kept,
    absent=no_page,
    unseen_goals=("Look for {query} on the web and bookmark the page {title}",),
)
ANSWER = Template(
    "web_answer",
    draw=one_fact,
    route={"search": to_search, **ON_TABS, "results": to_page, "page": say_fact},
    answer=lambda phone, values: str(values["told"]),
    demonstrated=FEW,
    **wordings("web_answer", ASK[:4], "the {query} on the web", field="{fact}"),
)
FORGET = Template(
    "remove_bookmark",
    draw=one_bookmark,
    route={
        "search": tapping("Bookmarks"),
        "history": tapping("Bookmarks"),
        "bookmarks": lambda hands: hands.tap(hands["title"], "bookmark", hold=True),
    },
    check=was_forgotten,
    absent=no_bookmark,
    demonstrated=FEW,
    **wordings("remove_bookmark", DELETE, "the bookmark {title}"),
)
CLEAR = Template(
    "clear_history",
    (
        "Clear the {kind} of the {span} from the web history",
        "Delete the {kind} of the {span} from the history in Search",
        "Clear the web history of the {span}, only the {kind}",
    ),
    lambda rng, phone: {"kind": words.pick(rng, tuple(KINDS)), "span": words.pick(rng, SPANS)},
    {
        "search": tapping("History"),
        "bookmarks": tapping("History"),
        "history": tapping("Clear history"),
        "clear": set_and_clear,
    },
    check=was_cleared,
    demonstrated=FEW,
    unseen_goals=("Delete the {kind} of the {span} from the web history",),
)

APP = register_app(
    App(
        "search",
        "Search",
        make,
        {
            "search": home,
            "results": results,
            "page": page,
            "bookmarks": bookmarks,
            "history": history,
            "clear": clear_page,
        },
        templates=(SEARCH, BOOKMARK, ANSWER, FORGET, CLEAR),
        history=("history",),
    )
)
