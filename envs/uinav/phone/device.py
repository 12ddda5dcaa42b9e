"""The phone as a device: draws episodes, performs actions, judges."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from envs.uinav.actions import Action
from envs.uinav.device import Ending, Goal, Performed
from envs.uinav.phone import layout
from envs.uinav.phone.app import HOME, App, app_of, templates_of
from envs.uinav.phone.layout import Arranged
from envs.uinav.phone.oracle import next_action, reaches
from envs.uinav.phone.state import Dialog, Phone, Place
from envs.uinav.phone.widgets import Widget
from envs.uinav.phone.words import POPUPS
from envs.uinav.screen import Screen

INFEASIBLE = 0.04  # of the draws of templates that can be infeasible
ASKS, POPS_UP = 0.3, 0.08  # phones on which an app asks for its permission, and on which something else comes up
LONGEST = 100  # characters in a field
DARK = 0.4  # phones whose theme is dark at first


class State:
    """The phone and the values of the task on it; a value, and so equal to its copies.

    `values["in_goal"]` names those that the drawn wording says.
    """

    __slots__ = ("_page", "phone", "values")

    def __init__(self, phone: Phone, values: Mapping[str, Any]) -> None:
        self.phone, self.values = phone, values
        self._page: Arranged | None = None

    @property
    def page(self) -> Arranged:
        """What the phone shows, arranged when it is first asked for."""
        if self._page is None:
            self._page = layout.arrange(self.phone)
        return self._page

    def __reduce__(self) -> tuple[Any, ...]:
        return State, (self.phone, self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and (self.phone, self.values) == (other.phone, other.values)

    __hash__ = None  # type: ignore[assignment]


class PhoneDevice:
    """The phone of this package, see `envs.uinav.device.Device`.

    Args:
        apps: names of the apps on it.
        templates: names of the templates that are drawn from, each as often as the others.
    """

    def __init__(self, apps: Sequence[str], templates: Sequence[str]) -> None:
        self.apps, self.templates = tuple(apps), tuple(templates)
        self.known = templates_of(apps)

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[State, Goal]:
        """Options: "template", to be the one drawn; "feasible", a bool."""
        name = options.get("template") or self._draw(rng, options)
        phone = Phone(rng.getrandbits(32), self.apps, dark=rng.random() < DARK)
        template = self.known[name][1]
        feasible = options.get("feasible", rng.random() >= INFEASIBLE) or template.absent is None
        values = template.draw(rng, phone)
        if not feasible and template.absent is not None:
            values = {**values, **template.absent(rng, phone)}
        if template.prepare is not None:
            phone = template.prepare(phone, values)
        wording = template.goals[int(rng.random() * len(template.goals))]
        named = {k: v for k, v in values.items() if f"{{{k}}}" in wording}
        return State(phone, {**values, "in_goal": tuple(named)}), Goal(name, wording.format(**named), named, feasible)

    def _draw(self, rng: Random, options: Mapping[str, Any]) -> str:
        """A template; one that can be infeasible where that is asked for."""
        names: Sequence[str] = self.templates
        if options.get("feasible") is False:
            names = [name for name in names if self.known[name][1].absent is not None] or names
        return names[int(rng.random() * len(names))]

    def needed(self, state: State, goal: Goal) -> tuple[str, ...]:
        """Texts on the screen that are still needed: what the task is about, and its answer."""
        answer = self.known[goal.template][1].answer
        said = () if answer is None or not goal.feasible else (answer(state.phone, state.values),)
        return (*said, *(value for value in state.values.values() if isinstance(value, str)))

    def screen(self, state: State) -> Screen:
        """What the phone shows."""
        return layout.screen_of(state.phone, state.page)

    def describe(self, state: State) -> str:
        """What the phone shows, as text."""
        return layout.describe(state.phone, state.page)

    def perform(self, state: State, action: Action) -> Performed:
        """See `envs.uinav.device.Device.perform`."""
        before, told, pointed = state.phone, str(action), None
        if action.element:
            front = state.page.front
            if action.element > len(front):
                return Performed(state, told, f"no element {action.element}, the last is {len(front)}")
            pointed = front[action.element - 1]
            told = f"{action.kind} {pointed.label.partition(',')[0]}"
        phone, problem = _PERFORMERS[action.kind](before.quiet(), pointed, action)
        tick = app_of(before.app).tick
        if tick is not None and phone.app == before.app:
            phone = tick(phone)
        return Performed(State(phone, state.values), told, problem)

    def over(self, state: State) -> bool:
        """Never: only the policy ends an episode."""
        return False

    def success(self, state: State, goal: Goal, ending: Ending) -> bool:
        """Whether the goal is reached."""
        return reaches(state.phone, self.known[goal.template][1], goal, state.values, ending)

    def credit(self, state: State, goal: Goal, ending: Ending | None) -> float:
        """1 for a goal that is reached, else 0."""
        return float(ending is not None and self.success(state, goal, ending))

    def picture(self, state: State) -> None:
        """None: the phone is drawn."""

    def oracle(self, state: State, goal: Goal) -> Action:
        """A right next action."""
        app, template = self.known[goal.template]
        return next_action(state.phone, app, template, goal, state.values)


# What each action does: (phone, the widget that it points at, action) -> (phone, why it had no effect).
Done = tuple[Phone, str]


def _click(phone: Phone, widget: Widget | None, action: Action) -> Done:
    if widget is None:
        return phone, "elements are numbered from 1"
    if not widget.enabled:
        return phone, f"{widget.kind} {widget.label} is disabled"
    if widget.kind == "field":
        return phone._replace(focus=widget.name), ""
    if not widget.tap:
        return phone, f"{widget.kind} {action.element} cannot be clicked"
    return widget.tap[0](phone, *widget.tap[1:]), ""


def _long_press(phone: Phone, widget: Widget | None, action: Action) -> Done:
    if widget is None:
        return phone, "elements are numbered from 1"
    if not widget.hold:
        return phone, f"{widget.kind} {action.element} cannot be pressed long"
    return widget.hold[0](phone, *widget.hold[1:]), ""


def _type(phone: Phone, widget: Widget | None, action: Action) -> Done:
    """UINav's macro: focus the field, replace what is in it, leave it focused."""
    if widget is None:
        return phone, "elements are numbered from 1"
    if widget.kind != "field":
        return phone, f"{widget.kind} {action.element} is no field"
    if len(action.text) > LONGEST:
        return phone, f"a field holds at most {LONGEST} characters"
    # A field is one line, so that nothing typed looks like a line of the prompt.
    text = "".join(letter if letter.isprintable() else " " for letter in action.text)
    return phone.fill(**{widget.name: text})._replace(focus=widget.name), ""


def _scroll(phone: Phone, widget: Widget | None, action: Action) -> Done:
    if phone.dialog is not None:
        return phone, "nothing to scroll"
    if action.text in ("left", "right"):
        return _swipe(phone, action.text)
    down = action.text == "down"
    place = phone.place
    offset = _next_offset(phone, down)
    if offset == place.scroll:
        return phone, "nothing more below" if down else "nothing more above"
    return phone._replace(stack=(*phone.stack[:-1], place._replace(scroll=offset))), ""


def _next_offset(phone: Phone, down: bool) -> int:
    """Where the body is scrolled to, so that no widget is skipped: the first one out of sight comes to the edge."""
    _, _, body, foot = layout.sorted_out(layout.widgets(phone))
    top, bottom = layout.window(phone, bool(foot))
    rows, height = layout.stacked(body)
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


def _back(phone: Phone, widget: Widget | None, action: Action) -> Done:
    if phone.focus:
        return layout.hide_keyboard(phone), ""
    if phone.dialog is not None:
        return layout.answer(phone, *phone.dialog.dismiss), ""
    if phone.app == HOME:
        return phone, "this is the home screen"
    return phone.back(), ""


def _home(phone: Phone, widget: Widget | None, action: Action) -> Done:
    return layout.close(phone).at((Place(HOME, HOME),)), ""


def _open_app(phone: Phone, widget: Widget | None, action: Action) -> Done:
    wanted = action.text.strip().casefold()
    for name in phone.installed:
        if app_of(name).title.casefold() == wanted:
            return open_app(layout.close(phone), name), ""
    return phone, f"no app {action.text[:40]!r}"


def _wait(phone: Phone, widget: Widget | None, action: Action) -> Done:
    return phone, ""


_PERFORMERS = {
    "click": _click,
    "long_press": _long_press,
    "type": _type,
    "scroll": _scroll,
    "back": _back,
    "home": _home,
    "open_app": _open_app,
    "wait": _wait,
}


def open_app(phone: Phone, name: str) -> Phone:
    """The app at its first page, with what comes up when it is opened."""
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
    """What comes up when the app is opened on the phone of this seed, as a number in [0, 1)."""
    return Random(f"{seed} open {app}").random()


def _ask_permission(phone: Phone, app: App) -> Phone:
    question, deny = f"Allow {app.title} to {app.permission}?", (_deny, app.title)
    buttons = (("Allow", Phone.flag, f"allowed {app.name}"), ("Deny", *deny))
    return phone._replace(dialog=Dialog(question, buttons, deny), focus="")


def _deny(phone: Phone, title: str) -> Phone:
    """Without it the app closes."""
    return phone.at(phone.stack[:1]).say(f"{title} cannot work without it")
