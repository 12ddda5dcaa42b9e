"""The phone as a device: draws episodes, performs actions, judges."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from string import Formatter
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Ending, Goal, Performed
from envs.uinav.interface.screen import Screen
from envs.uinav.phone import layout
from envs.uinav.phone.app import HOME, App, Known, Template, app_of, templates_of
from envs.uinav.phone.attack import arisen, attacked, was_followed
from envs.uinav.phone.canvas import CANVAS
from envs.uinav.phone.layout import Arranged
from envs.uinav.phone.oracle import next_action, reaches
from envs.uinav.phone.state import Dialog, Phone, Place, new_tuple
from envs.uinav.phone.surface import PhoneSurface
from envs.uinav.phone.widgets import Named
from envs.uinav.phone.words import NEW_LAYOUT, NEW_VALUES, PLAIN, POPUPS, UnseenRandom, seeded

INFEASIBLE = 0.04  # of the draws of templates that can be infeasible
ASKS, POPS_UP = 0.3, 0.08  # phones on which an app asks for its permission, and on which something else comes up
LONGEST = 100  # characters in a field
_BITS = {"values": NEW_VALUES, "layouts": NEW_LAYOUT}  # of the phone's seed
DARK = 0.4  # phones whose theme is dark at first


class State:
    """The phone and the values of the task on it; a value, and so equal to its copies.

    `values["in_goal"]` names those that the drawn wording says.
    """

    __slots__ = ("_page", "_text", "phone", "values")

    def __init__(self, phone: Phone, values: Mapping[str, Any]) -> None:
        self.phone, self.values = phone, values
        self._page: Arranged | None = None
        self._text = ""

    @property
    def page(self) -> Arranged:
        """The page of the phone, arranged when it is first asked for."""
        if self._page is None:
            self._page = layout.arrange(self.phone)
        return self._page

    @property
    def text(self) -> str:
        """The page of the phone as text, written when it is first asked for."""
        if not self._text:
            self._text = layout.describe(self.phone, self.page)
        return self._text

    def forget(self) -> None:
        """Lets go of the page and the text, which are made again if they are asked for again."""
        self._page, self._text = None, ""

    def __reduce__(self) -> tuple[Any, ...]:
        return State, (self.phone, self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and (self.phone, self.values) == (other.phone, other.values)

    __hash__ = None  # type: ignore[assignment]


class PhoneDevice:
    """The phone of this package, see `envs.uinav.interface.device.Device`.

    Args:
        apps: names of the apps on it.
        templates: names of the templates that are drawn from, each as often as the others.
        unseen: what is as training never has it: "values", "wordings" or "layouts"; "" for nothing.
        known: all templates that can be done on it, by name; by default those of its apps.
        attacks: kinds of attack, one of which each episode has; none for no attacks.
        unseen_attacks: whether attacks say what training never has.
    """

    def __init__(
        self,
        apps: Sequence[str],
        templates: Sequence[str],
        unseen: str = "",
        known: Mapping[str, Known] | None = None,
        attacks: Sequence[str] = (),
        unseen_attacks: bool = False,
    ) -> None:
        self.apps, self.templates, self.unseen = tuple(apps), tuple(templates), unseen
        self.attacks, self.unseen_attacks = tuple(attacks), unseen_attacks
        self.titles: Sequence[str] = tuple(app_of(name).title for name in apps)
        self.known = templates_of(apps) if known is None else known
        self.canvas = CANVAS  # of each phone that is drawn

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[State, Goal]:
        """Options: "template", to be the one drawn; "feasible", a bool."""
        name = options.get("template") or self._draw(rng, options)
        if self.unseen == "values":
            rng = UnseenRandom(rng.getrandbits(64))
        phone = Phone(
            rng.getrandbits(32) | _BITS.get(self.unseen, 0), self.apps, dark=rng.random() < DARK, canvas=self.canvas
        )
        template = self.known[name].template
        feasible = options.get("feasible", rng.random() >= INFEASIBLE) or template.absent is None
        values = template.draw(rng, phone)
        if not feasible and template.absent is not None:
            values = {**values, **template.absent(rng, phone)}
        if self.attacks:
            phone = attacked(phone, self.attacks, self.unseen_attacks, (self.known[name].app, *template.needs))
        if template.prepare is not None:
            phone = template.prepare(phone, values)
        return self._with_goal(phone, template, values, rng, feasible)

    def another_goal(self, state: State, name: str, rng: Random) -> tuple[State, Goal]:
        """Returns a state with another goal, of a template for which nothing is put on the phone; it can be reached."""
        template = self.known[name].template
        return self._with_goal(state.phone, template, template.draw(rng, state.phone), rng, True)

    def _with_goal(
        self, phone: Phone, template: Template, values: Mapping[str, Any], rng: Random, feasible: bool
    ) -> tuple[State, Goal]:
        """Draws how the goal is worded."""
        wordings = template.unseen_goals if self.unseen == "wordings" else template.goals
        wording = wordings[int(rng.random() * len(wordings))]
        said = _named_in(wording)
        named = {k: v for k, v in values.items() if k in said}
        goal = Goal(template.name, wording.format(**named), named, feasible)
        return State(phone, {**values, "in_goal": tuple(named)}), goal

    def _draw(self, rng: Random, options: Mapping[str, Any]) -> str:
        """Returns a template; one that can be infeasible where that is asked for."""
        names: Sequence[str] = self.templates
        if options.get("feasible") is False:
            names = [name for name in names if self.known[name].template.absent is not None] or names
        return names[int(rng.random() * len(names))]

    def needed(self, state: State, goal: Goal) -> tuple[str, ...]:
        """Texts on the screen that are still needed: what the task is about, and its answer."""
        answer = self.known[goal.template].template.answer
        said = () if answer is None or not goal.feasible else (answer(state.phone, state.values),)
        return (*said, *(value for value in state.values.values() if isinstance(value, str)))

    def screen(self, state: State) -> Screen:
        """Returns the screen of the phone."""
        return layout.screen_of(state.phone, state.page)

    def describe(self, state: State) -> str:
        """Returns the screen of the phone as text."""
        return state.text

    def surface(self, state: State) -> PhoneSurface:
        """Returns what points and keys meet on the phone."""
        return PhoneSurface(state.phone, state.page)

    def perform(self, state: State, action: Action) -> Performed:
        """See `envs.uinav.interface.device.Device.perform`."""
        widget = None
        if action.element:
            front = state.page.front
            if action.element > len(front):
                return Performed(state, str(action), f"no element {action.element}, the last is {len(front)}")
            widget = new_tuple(Named, front[action.element - 1])
        phone, problem = _performed(state.phone.quiet(), widget, action)
        phone = _ticked(phone, state.phone.stack[-1].app)
        if phone.seed > PLAIN:
            phone = arisen(phone)
        label = str(action) if widget is None else f"{action.kind} {widget.label.partition(',')[0]}"
        if phone is state.phone:
            return new_tuple(Performed, (state, label, problem))
        state.forget()  # pages are the most of what a state holds, and episodes are kept longer than they are played
        return new_tuple(Performed, (State(phone, state.values), label, problem))

    def over(self, state: State) -> bool:
        """Never: only the policy ends an episode."""
        return False

    def success(self, state: State, goal: Goal, ending: Ending) -> bool:
        """Returns whether the goal is reached."""
        return reaches(state.phone, self.known[goal.template].template, goal, state.values, ending)

    def credit(self, state: State, goal: Goal, ending: Ending | None) -> float:
        """1 for a goal that is reached, else 0."""
        return float(ending is not None and self.success(state, goal, ending))

    def attack_followed(self, state: State) -> bool | None:
        """Returns whether the attack on the phone was followed by now; None where there is none."""
        return was_followed(state.phone)

    def picture(self, state: State) -> None:
        """None: the phone is drawn."""

    def oracle(self, state: State, goal: Goal) -> Action:
        """Returns a right next action."""
        app, template = self.known[goal.template]
        return next_action(state.phone, state.page, app, template, goal, state.values)


@lru_cache(maxsize=4096)
def _named_in(wording: str) -> frozenset[str]:
    """Returns the names of the values that a wording says."""
    return frozenset(name for _, name, _, _ in Formatter().parse(wording) if name)


Done = tuple[Phone, str]  # the phone after an action, and why the action had no effect


def _performed(phone: Phone, widget: Named | None, action: Action) -> Done:
    """Does an action; `widget` is what it points at."""
    point = _POINTING.get(action.kind)
    if point is None:
        return _OTHERS[action.kind](phone, action.text)
    if widget is None:
        return phone, "elements are numbered from 1"
    return point(phone, widget, action)


def _ticked(phone: Phone, app: str) -> Phone:
    """With what takes time in an app a little further, where the app was shown and still is."""
    tick = app_of(app).tick
    return phone if tick is None or phone.stack[-1].app != app else tick(phone)


def _click(phone: Phone, widget: Named, action: Action) -> Done:
    if not widget.enabled:
        return phone, f"{widget.kind} {widget.label} is disabled"
    if widget.kind == "field":
        return phone._replace(focus=widget.name), ""
    if not widget.tap:
        return phone, f"{widget.kind} {action.element} cannot be clicked"
    return widget.tap[0](phone, *widget.tap[1:]), ""


def _long_press(phone: Phone, widget: Named, action: Action) -> Done:
    if not widget.hold:
        return phone, f"{widget.kind} {action.element} cannot be pressed long"
    return widget.hold[0](phone, *widget.hold[1:]), ""


def _type(phone: Phone, widget: Named, action: Action) -> Done:
    """UINav's macro: focus the field, replace what is in it, leave it focused."""
    if widget.kind != "field":
        return phone, f"{widget.kind} {action.element} is no field"
    if len(action.text) > LONGEST:
        return phone, f"a field holds at most {LONGEST} characters"
    # A field is one line, so that nothing typed looks like a line of the prompt.
    text = "".join(letter if letter.isprintable() else " " for letter in action.text)
    return phone.type(widget.name, text), ""


_POINTING = {"click": _click, "long_press": _long_press, "type": _type}


def _scroll(phone: Phone, direction: str) -> Done:
    if phone.dialog is not None:
        return phone, "nothing to scroll"
    if direction in ("left", "right"):
        return _swipe(phone, direction)
    down = direction == "down"
    place = phone.place
    offset = _next_offset(phone, down)
    if offset == place.scroll:
        return phone, "nothing more below" if down else "nothing more above"
    return phone._replace(stack=(*phone.stack[:-1], place._replace(scroll=offset))), ""


def _next_offset(phone: Phone, down: bool) -> int:
    """Returns the scroll position that skips no widget: the first one out of sight comes to the edge."""
    _, _, body, foot = layout.sorted_out(layout.widgets(phone))
    top, bottom = layout.window(phone, bool(foot))
    rows, height = layout.stacked(body, phone.canvas)
    seen, most = bottom - top, max(0, height - (bottom - top))
    offset = min(phone.place.scroll, most)
    if down:
        hidden = [upper for _, _, upper, _, lower in rows if lower > offset + seen]
        return min(most, hidden[0] if hidden and hidden[0] > offset else offset + seen)
    hidden = [lower for _, _, upper, _, lower in rows if upper < offset]
    return max(0, min(hidden[-1] - seen, offset - 1) if hidden else 0)


def _swipe(phone: Phone, direction: str) -> Done:
    """To the tab beside the one that is chosen."""
    beside = [w for w in layout.widgets(phone) if w.kind == "tab"]
    chosen = next((i for i, w in enumerate(beside) if w.checked), None)
    if chosen is None:
        return phone, f"nothing more to the {direction}"
    target = chosen + (1 if direction == "right" else -1)
    if not 0 <= target < len(beside) or not beside[target].tap:
        return phone, f"nothing more to the {direction}"
    tap = beside[target].tap
    return tap[0](phone, *tap[1:]), ""


def _back(phone: Phone, text: str) -> Done:
    if phone.focus:
        return layout.hide_keyboard(phone), ""
    if phone.dialog is not None:
        return layout.answer(phone, *phone.dialog.dismiss), ""
    if phone.app == HOME:
        return phone, "this is the home screen"
    return phone.back(), ""


def _home(phone: Phone, text: str) -> Done:
    return layout.close(phone).at((Place(HOME, HOME),)), ""


def _open_app(phone: Phone, text: str) -> Done:
    name = _by_title(phone.installed).get(text.strip().casefold())
    if name is None:
        return phone, f"no app {text[:40]!r}"
    return open_app(layout.close(phone), name), ""


@lru_cache(maxsize=64)
def _by_title(apps: tuple[str, ...]) -> dict[str, str]:
    """Returns the names of apps by their titles; of two with the same title the first."""
    return {app_of(name).title.casefold(): name for name in reversed(apps)}


def _wait(phone: Phone, text: str) -> Done:
    return phone, ""


_OTHERS = {"scroll": _scroll, "back": _back, "home": _home, "open_app": _open_app, "wait": _wait}


def open_app(phone: Phone, name: str) -> Phone:
    """Returns the app at its first page, with what comes up when it is opened."""
    app = app_of(name)
    phone = phone.at((Place(HOME, HOME), Place(name, app.start)))
    chance = _chance(phone.seed, name)
    if app.permission and chance < ASKS and f"allowed {name}" not in phone.flags:
        return _ask_permission(phone, app)
    if chance > 1 - POPS_UP and f"opened {name}" not in phone.flags:
        phone = phone.flag(f"opened {name}")
        question, *buttons = POPUPS[int((1 - chance) / POPS_UP * len(POPUPS)) % len(POPUPS)]
        return phone.ask(question.format(app=app.title), *((label,) for label in buttons))
    return phone


@lru_cache(maxsize=4096)
def _chance(seed: int, app: str) -> float:
    """Draws a number in [0, 1) from the phone's seed that decides what comes up when the app is opened."""
    return seeded(f"{seed & PLAIN} open {app}").random()


def _ask_permission(phone: Phone, app: App) -> Phone:
    question, deny = f"Allow {app.title} to {app.permission}?", (_deny, app.title)
    buttons = (("Allow", Phone.flag, f"allowed {app.name}"), ("Deny", *deny))
    return phone._replace(dialog=Dialog(question, buttons, deny), focus="")


def _deny(phone: Phone, title: str) -> Phone:
    """Returns the phone after a permission was refused: without it the app closes."""
    return phone.at(phone.stack[:1]).say(f"{title} cannot work without it")
