"""Defines an app: data, pages and templates of tasks, in one file; and keeps those that the phone knows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.entry_points import load_module
from envs.uinav.phone.words import PLAIN, seeded
from perlhf.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from envs.uinav.interface.actions import Action
    from envs.uinav.phone.oracle import Hands
    from envs.uinav.phone.state import Phone
    from envs.uinav.phone.widgets import Widget

HOME = "home"
FEW = 0.1  # how often a template is demonstrated of which people showed few episodes
Values = Mapping[str, Any]  # what a goal is about, by name; those that occur in its text are str
Page = Callable[["Phone"], Iterable["Widget"]]
Route = Callable[["Hands"], "Action | None"]
Check = Callable[["Phone", Values], bool]


@dataclass(frozen=True)
class Template:
    """A kind of task, of which there are as many instances as values to fill in.

    Attributes:
        name: unique, such as "send_email".
        goals: wordings, with the names of values in braces; one is drawn.
        draw: values for a phone, from a generator.
        check: whether the goal is reached on a phone, for these values. None where the goal is an answer.
        answer: what the policy has to say in the end. None where the goal is a state of the phone.
        route: what to do on which page, as the oracle goes; a page of another app is "app.page". On any other page
            it goes back.
        prepare: the phone with what the task needs put on it.
        absent: values, in place of those drawn, for which the task cannot be done since what they name is not there;
            None where there are none.
        app: the app where the task is done, or, from the oracle's hands, the one where the next step is; None takes
            the app that the template belongs to.
        needs: names of other apps that must be on the phone.
        held_out: drawn for the test split alone, unless it is named.
        demonstrated: how often people show it, beside a template that they show often, which has 1; `FEW`, or 0 for
            never: then it is practised by RL alone.
        unseen_goals: wordings that are kept from training.
    """

    name: str
    goals: tuple[str, ...]
    draw: Callable[[Random, "Phone"], Values]
    route: Mapping[str, Route]
    check: "Check | None" = None
    answer: "Callable[[Phone, Values], str] | None" = None
    prepare: "Callable[[Phone, Values], Phone] | None" = None
    absent: Callable[[Random, "Phone"], Values] | None = None
    app: "str | Callable[[Hands], str] | None" = None
    needs: tuple[str, ...] = ()
    held_out: bool = False
    demonstrated: float = 1.0
    unseen_goals: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """How training meets it: "demonstrated", "few demonstrations", "never demonstrated", "unseen templates"."""
        if self.held_out:
            return "unseen templates"
        if self.demonstrated == 0:
            return "never demonstrated"
        return "demonstrated" if self.demonstrated >= 1 else "few demonstrations"


@dataclass(frozen=True)
class App:
    """An app of the phone.

    Attributes:
        name: unique, lower case, such as "mail".
        title: what it is called on the home screen, such as "Mail".
        make: its data at first, drawn from a generator: a mapping of plain values and tuples.
        pages: by name; the first is where it opens.
        templates: the tasks that are done in it.
        permission: what it asks for when it is opened, on some phones; "" for nothing.
        tick: what becomes of the phone with every action while the app is shown, for what takes time.
        history: names of its data that note what was looked at: that they grow is no side effect of an episode.
    """

    name: str
    title: str
    make: Callable[[Random], Mapping[str, Any]]
    pages: Mapping[str, Page]
    templates: tuple[Template, ...] = field(default=())
    permission: str = ""
    tick: "Callable[[Phone], Phone] | None" = None
    history: tuple[str, ...] = ()

    @property
    def start(self) -> str:
        """The name of its first page."""
        return next(iter(self.pages))


_APPS: dict[str, App] = {}


def register_app(app: App) -> App:
    """Makes an app known by its name; `gym.make("perlhf/UINav-v0", apps="all+module")` then puts it on the phone.

    Raises:
        UserError: another app of this name, or another template of the name of one of its templates, is known.
    """
    known = _APPS.get(app.name)
    if known is not None and known.pages is not app.pages:
        raise UserError(f"there is an app {app.name!r} already; give this one another name.")
    taken = {
        template.name: other.name for other in _APPS.values() if other is not known for template in other.templates
    }
    for template in app.templates:
        if template.name in taken:
            raise UserError(f"app {taken[template.name]!r} has a template {template.name!r} already; rename this one.")
    _APPS[app.name] = app
    return app


def app_of(name: str) -> App:
    """Returns the app of this name."""
    return _APPS[name]


def apps_of_module(name: str) -> tuple[str, ...]:
    """Returns the names of the apps that a module registers.

    Raises:
        UserError: there is no such module, or it registers no app.
    """
    module = load_module(name, f"apps {name!r}")
    names = tuple(app.name for app in vars(module).values() if isinstance(app, App) and _APPS.get(app.name) is app)
    if not names:
        raise UserError(f"apps {name!r}: the module registers no app; it needs APP = register_app(App(...)).")
    return tuple(dict.fromkeys(names))


class Known(NamedTuple):
    """A template and the name of the app that it belongs to."""

    app: str
    template: Template


def templates_of(apps: Iterable[str]) -> dict[str, Known]:
    """Returns the templates that can be done with these apps, by name."""
    there = tuple(apps)
    return {
        template.name: Known(name, template)
        for name in there
        for template in _APPS[name].templates
        if set(template.needs) <= set(there)
    }


def find_template(name: str, known: Mapping[str, Any]) -> str:
    """Returns the name, if it is known.

    Raises:
        UserError: it is not, with the nearest that is.
    """
    if not isinstance(name, str) or name not in known:
        raise UserError(f"unknown template {name!r}.{did_you_mean(str(name), known)}")
    return name


@lru_cache(maxsize=4096)
def initial_data(app: str, seed: int) -> Mapping[str, Any]:
    """Returns the data of an app when a phone is new; shared, and never changed."""
    return _APPS[app].make(seeded(f"{seed & PLAIN} {app}", seed))
