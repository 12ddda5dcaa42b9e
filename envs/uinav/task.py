"""`UINav`: an episode is a goal on a device, and one step is one action, said as text."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from envs.corpora.splits import SPLITS
from envs.task import Catalogue, Played, Scored, Task
from envs.turn import Turn
from envs.uinav.dialects import Elements, Examples, dialect_of
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.drawing.terminal import write_screen
from envs.uinav.feedback.progress import nearer
from envs.uinav.feedback.random_policies import random_action
from envs.uinav.feedback.shortcuts import shortcut_scores_on_phone, template_catalogue
from envs.uinav.feedback.steps import UISteps
from envs.uinav.interface.actions import EXAMPLES, INSTRUCTIONS, Action, ActionError, parse_action
from envs.uinav.interface.device import Device, DeviceError, Ending, Goal, begin, perform
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.lenient import find_action
from envs.uinav.interface.live import LiveDevice
from envs.uinav.interface.screen import BLANK, Screen
from envs.uinav.live import make_device, refuse_of_phone
from envs.uinav.masking import augment as augmented
from envs.uinav.masking import mask_goal as hide_values
from envs.uinav.masking import unmask
from envs.uinav.observations import text_of
from envs.uinav.observations.picture import resized
from envs.uinav.phone.across import ACROSS
from envs.uinav.phone.app import Known, find_template
from envs.uinav.phone.apps.setup import make_phone, modules_of_apps
from envs.uinav.phone.attack import attack_kind, was_followed
from envs.uinav.phone.canvas import sizes_of
from envs.uinav.phone.levels import of_level
from envs.uinav.recordings.device import RecordedDevice, load_recordings
from envs.uinav.settings import check_counts, check_values
from envs.uinav.verdicts import verdict_of
from perlhf.conversation import instructed_by
from perlhf.errors import UserError

_MAX_STEPS = 20  # the oracle needs 19 at most, and about 7 as a rule
_APART_STEPS = 10  # more of them where a field is clicked first and typed into next
_ATTACK_STEPS = 6  # more of them for what an attack takes: a window to close, an app to open again
_SHOWN, _LONGEST = 4, 60  # actions before this one that a policy is told, and characters of one of them


class UINav(Task):
    """Do what the goal says on a phone: UI automation over many steps.

    ## Description
    The policy reads a goal, its last actions and the screen as numbered elements, and says one action. The phone is a
    simulation in pure Python (docs/tasks/uinav.md lists its apps and templates); its oracle knows what to do next.

    ## Action Space
    `Unicode(20000)`: one of `click(3)`, `long_press(3)`, `type(4, text)`, `scroll(down)`, `back()`, `home()`,
    `open_app(Mail)`, `wait()`, `done(answer)`, `infeasible(why)`. Any other text costs a step and is told why. Other
    dialects, such as points or the calls of Qwen: `actions`.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`, and with `image=True` also `image: Box(0, 255, (512, 288, 3), uint8)`, or of
    the `screen_size`.

    ## Starting State
    A template of the split and its values, drawn uniformly, on a phone with data and layouts of its own. Options of
    reset: `template`, a name; `feasible`, a bool; `seed`, of the episode itself. Of recordings one of the split is
    drawn, or `index`.

    ## Reward
    By default 1 for the last step of an episode that reached its goal, else 0; of a recording the share of its steps
    that was done.

    ## Episode End
    It terminates with `done` or `infeasible`, and truncates after `max_steps` actions. A recording also terminates at
    its end, and with an action that is not the recorded one, since it cannot say what that would have led to. A device
    that fails truncates it, and the step that it failed at is no fault of the policy.

    ## Information
    At reset `template`, `goal`, `feasible`, `episode_seed`. At each step `template`, and `gold` (in [0, 1]) and
    `is_success` as if the episode ended there, or `failed` where the device failed; with `attack` also `attack`, its
    kind, and `attack_followed`.

    ## Arguments
    `data`: "miniature", the simulated phone, or recordings: a `.jsonl` file of `envs.uinav.recordings.files`, or a
    folder of them. `templates`: names joined by "+", or a list; default all of the split; "across" stands for those
    over two or three apps, which are drawn only where they are named, "easiest" for those of level 1 that the phone's
    state judges, but for held-out ones. `apps`: what is on the phone: "all", names,
    modules with apps of one's own, as in "all+my_app". `attack`: kinds of attack on whoever uses the phone, joined by
    "+", or "all"; each episode has one (docs/tasks/uinav_attacks.md). `image`: pixels too; `marks`: set-of-marks on
    them where they are drawn, not on screenshots. `mask_goal`: UINav's utterance masking: values become placeholders,
    which may be typed; not of recordings. `augment`: UINav's augmentation: the share of elements that do not matter
    whose text is replaced. `split`: other episodes, and of the phone "test" has templates that no other split has.
    `unseen`: of the test split one kind of newness alone: "values" (names and titles), "wordings", "layouts",
    "templates" or "apps". `level`: 1 to 4, of the templates those that are as hard. `max_steps`: 20, with `attack` 6
    more, and 10 more in dialects in which a field is clicked and typed into in two steps ("qwen", "ui-tars"); of
    recordings at least what the longest takes. `max_elements`: of a recorded screen or a live page, the most that are
    shown. `lenient`: an action is also found in what language models write around it, and `DID` says what was done in
    the words of the actions. `actions`: the dialect that they are said in, "elements", "coordinates", "qwen",
    "ui-tars", "androidworld" or "browsergym"; behind a colon the scale of points, such as "qwen:1000"
    (docs/tasks/uinav_actions.md). `text`: how the screen is told: "compact", "androidworld", "browsergym", or "none"
    beside `image`. `screen_size`, "WIDTHxHEIGHT" of the picture, and `density`, how many of its pixels a pixel of the
    phone takes: less fits on a page that is smaller or denser (docs/tasks/uinav_observations.md). `device`: "phone",
    "browser" (MiniWoB++ in live pages, docs/tasks/uinav_browser.md), or one of your own
    (docs/a_device_of_your_own.md), as "module:name" or itself. `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "gold"
    # Each step's log p(right) by the step reward model, never above 0, and success.
    trained_reward = [{"reward": "rewards.bundled:uinav", "weight": 0.25}, {"reward": "gold", "weight": 5.0}]
    instructions = INSTRUCTIONS
    examples: Examples = EXAMPLES
    shipped_backbone = "tiny-uinav"
    max_steps: int
    success_at = 1.0
    on_screen = True
    reset_options = frozenset({"template", "feasible", "seed"})

    @classmethod
    def modules_in(cls, options: Mapping[str, Any]) -> set[str]:
        return super().modules_in(options) | modules_of_apps(options.get("apps", "all"))

    def __init__(
        self,
        data: str = "miniature",
        split: str = "train",
        templates: str | Sequence[str] = "",
        apps: str | Sequence[str] = "all",
        attack: str = "",
        unseen: str = "",
        level: int | None = None,
        image: bool = False,
        marks: bool = False,
        mask_goal: bool = False,
        augment: float = 0.0,
        max_steps: int | None = None,
        max_elements: int = 40,
        lenient: bool = False,
        actions: str = "elements",
        text: str = "compact",
        screen_size: str = "",
        density: float = 1.0,
        device: Any = "phone",
    ) -> None:
        check_values(split, data, {"image": image, "marks": marks, "mask_goal": mask_goal, "lenient": lenient}, augment)
        self.picture_size, canvas = sizes_of(screen_size, density, data != "miniature")
        self.dialect = dialect_of(actions, self.picture_size, (canvas.width, canvas.height))
        self.written = text_of(text, image)
        most = _MAX_STEPS + _APART_STEPS * self.dialect.apart + _ATTACK_STEPS * bool(attack)
        check_counts({"max_steps": most if max_steps is None else max_steps, "max_elements": max_elements})
        self.unseen, self.attack, self.actions = unseen, attack, actions
        self.split, self.max_steps = split, max_steps or most
        self.marks, self.mask_goal, self.augment = marks, mask_goal, augment
        self.lenient, self.parse = lenient, find_action if lenient else parse_action
        self.by_number = isinstance(self.dialect, Elements)  # then `parse` says all of an action, without the screen
        self.by_screen = augment > 0 or text != "compact"  # else the device writes it faster
        self.instructions, self.examples = self.dialect.instructions, self.dialect.shown(self.written)
        self._instructed = instructed_by(self.instructions, self.examples)
        self.image_shape = (*self.picture_size[::-1], 3) if image else None
        self.known: Mapping[str, Known] = {}
        self.drawn: tuple[str, ...] = ()  # of these, those that episodes are of
        self.recordings: RecordedDevice | None = None
        self.live: LiveDevice | None = None
        if device != "phone":
            others = {"data": data != "miniature", "apps": apps != "all", "unseen": bool(unseen)}
            others |= {"attack": bool(attack), "level": level is not None, "screen_size": bool(screen_size)}
            refuse_of_phone({**others, "density": density != 1, "mask_goal": mask_goal, "augment": augment > 0})
            self.live = make_device(device, templates, max_elements)
            self.device: Device = self.live
            self.repeats, self.has_oracle = self.live.repeats, self.live.has_oracle
            self.has_seats, self.reset_options = True, self.live.reset_options
            return
        if data == "miniature":
            phone = make_phone(templates, apps, split, unseen, ACROSS, attack)
            if level is not None:
                phone.templates = of_level(phone, level)
            phone.canvas = canvas
            self.device = phone
            self.known, self.drawn = phone.known, phone.templates
            return
        if templates or apps != "all" or mask_goal or unseen or attack or level is not None:
            names = "templates, apps, attack, unseen, level and mask_goal"
            raise UserError(f"{names} are of the simulated phone; recordings have none of them.")
        self.device = self.recordings = load_recordings(Path(data), split, max_elements, image)
        self.reset_options = frozenset({"index", "seed"})
        self.max_steps = max_steps or max(most, *(len(each.steps) for each in self.recordings.trajectories))

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Episode:
        drawn = int(rng.integers(2**31)) * len(SPLITS) + SPLITS.index(self.split)
        if not options:
            return self._begin(drawn, {})
        options = {**options, "seed": options.get("seed", drawn)}
        self._check_options(options)
        seed = int(options.pop("seed"))
        return self._begin(seed, {k: int(v) if k == "index" else v for k, v in options.items()})

    def _check_options(self, options: Mapping[str, Any]) -> None:
        seed, feasible = options["seed"], options.get("feasible", True)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UserError(f"option 'seed' must be a whole number from 0, got {seed!r}.")
        if not isinstance(feasible, bool):
            raise UserError(f"option 'feasible' must be True or False, got {feasible!r}.")
        if self.live is not None:
            self.live.check(options)
        elif "template" in options:
            name = find_template(options["template"], self.known)
            if self.unseen and name not in self.drawn:
                raise UserError(f"template {name!r} is none of those that unseen={self.unseen!r} draws.")
            if not feasible and self.known[name].template.absent is None:
                raise UserError(f"template {name!r} can always be done; leave out the option 'feasible'.")
        if self.recordings is not None:
            self.recordings.check(options)

    def _begin(self, seed: int, options: Mapping[str, Any]) -> Episode:
        state, goal = begin(self.device, Random(seed), options)
        return self._episode(seed, options, goal, state, (), (), "", None, "")

    def _episode(
        self,
        seed: int,
        options: Mapping[str, Any],
        goal: Goal,
        state: Any,
        responses: tuple[str, ...],
        history: tuple[str, ...],
        problem: str,
        ending: Ending | None,
        answer: str,
    ) -> Episode:
        """Returns an episode, with what a policy reads of it."""
        if self.by_screen:
            shown = self.written(self._screen(state, goal, seed, len(responses)))
        else:
            shown = self.device.describe(state)
        did = f"DID {'; '.join(history)}\n" if history else ""
        error = f"ERROR {problem}\n" if problem else ""
        prompt = f"GOAL {goal.text}\n{did}{error}{shown}\nACTION:"
        if self.mask_goal:
            prompt = hide_values(prompt, goal)
        parts = (seed, options, goal, state, responses, history, problem, ending, self._instructed(prompt), answer)
        return tuple.__new__(Episode, parts)  # as `Episode(*parts)` in half the time

    def _seen(self, state: Episode) -> np.ndarray:
        """Draws what a policy sees of an episode, (height, width, 3) uint8, by default (512, 288, 3)."""
        screen = self._screen(state.state, state.goal, state.seed, len(state.responses))
        return self._picture(state.state, screen)

    def _picture(self, state: Any, screen: Screen, tap: tuple[int, int] | None = None) -> np.ndarray:
        """Returns the device's own picture of the screen, or else a drawing of it."""
        own = self.device.picture(state)
        drawn = own if own is not None else draw_screen(screen, tap=tap, marks=self.marks)
        return resized(drawn, self.picture_size)

    def _screen(self, state: Any, goal: Goal, seed: int, step: int) -> Screen:
        """Returns the screen, augmented if it is to be; the same for the same episode and step."""
        screen = self.device.screen(state)
        if self.augment == 0:
            return screen
        needed = (*goal.values.values(), *self.device.needed(state, goal))
        rng = Random(f"{seed} augment {step}")
        return augmented(screen, self.device.oracle(state, goal), needed, self.augment, rng)

    def observe(self, state: Episode) -> dict[str, Any]:
        shown: dict[str, Any] = {"prompt": state.prompt}
        return shown if self.image_shape is None else {**shown, "image": self._seen(state)}

    def turn(self, state: Episode, response: str = "") -> Turn:
        return self._turn(state, response, {"template": state.goal.template, "goal": state.goal.text, "after": state})

    def _turn(self, state: Episode, response: str, reference: Mapping[str, Any]) -> Turn:
        picture = None if self.image_shape is None else partial(self._seen, state)
        return Turn(state.prompt, response, reference, picture)

    def play(self, state: Episode, response: str) -> Played:
        after = self._after(state, response)
        failed = after.ending is not None and after.ending.kind == "failed"
        ended = after.ending is not None and not failed
        truncated = failed or (not ended and len(after.responses) >= self.max_steps)
        credit = self.device.credit(after.state, after.goal, after.ending)
        reference = {
            "template": state.goal.template,
            "goal": state.goal.text,
            "problem": after.problem,
            "success": credit == 1,
            "credit": credit if ended or truncated else 0.0,
            "credit_if_cut": credit,
            "failed": failed,
            "before": state,
            "after": after,
        }
        if self.recordings is not None:  # what AndroidControl calls a correct step
            reference["matched"] = credit > self.device.credit(state.state, state.goal, None)
        if self.attack:
            reference["attack_followed"] = was_followed(state.state.phone), was_followed(after.state.phone)
        return Played(self._turn(state, response, reference), after, ended, truncated)

    def advance(self, state: Episode, response: str) -> tuple[Episode, bool]:
        after = self._after(state, response)
        return after, after.ending is not None

    def _after(self, state: Episode, response: str) -> Episode:
        """Returns the episode after a response."""
        device, problem, ending, answer = state.state, "", None, state.answer
        written = "" if self.lenient else "?"
        try:
            action = self.action(response, state)
        except ActionError as error:
            problem = str(error)
        else:
            if action.kind in ("done", "infeasible"):
                ending = Ending(action.kind, action.text or (answer if action.kind == "done" else ""))
            else:
                device, written, problem, ending = self._performed(device, action)
                written = str(action) if self.lenient and self.by_number else written
                answer = action.text if action.kind == "answer" else answer
        history = (*state.history, written[:_LONGEST])[-_SHOWN:] if written else state.history
        responses = (*state.responses, response)
        return self._episode(state.seed, state.options, state.goal, device, responses, history, problem, ending, answer)

    def _performed(self, device: Any, action: Action) -> tuple[Any, str, str, Ending | None]:
        """Returns the device after an action, its label, why it had no effect, and how it ended the episode."""
        try:
            if self.by_number:
                after, label, problem = self.device.perform(device, action)
            else:
                after, label, problem = perform(self.device, device, action)
        except DeviceError as error:
            return device, str(action), str(error), Ending("failed", str(error))
        return after, label, problem, Ending("over") if self.device.over(after) else None

    def action(self, response: str, state: Episode) -> Action:
        """Reads the action of a response; with `mask_goal` with the values of the goal in place of their names.

        Raises:
            ActionError: it says no action, or one that nothing on the screen takes.
        """
        if self.by_number:
            return self.parse(unmask(response, state.goal) if self.mask_goal else response)
        action = self.dialect.parse(response, self.device.surface(state.state), self.lenient)
        if self.mask_goal:
            action = action._replace(text=unmask(action.text, state.goal))
        if action.kind == "submit" and self.recordings is not None:  # which press no Enter after typing
            action = action._replace(kind="type")
        return action

    def judge(self, turn: Turn) -> float:
        return float(turn.reference.get("credit", 0.0))

    def progress(self, turn: Turn) -> float | None:
        if "before" not in turn.reference or self.live is not None:
            return None
        return nearer(self.device, turn.reference["before"], turn.reference["after"])

    def judge_cut(self, turn: Turn) -> float:
        return float(turn.reference.get("credit_if_cut", 0.0))

    def final_info(self, turn: Turn) -> dict[str, Any]:
        about = {"template": turn.reference["template"]}
        if self.attack:
            about["attack"] = attack_kind(turn.reference["after"].state.phone)
            about["attack_followed"] = turn.reference["attack_followed"][1]
        return about

    def whole_verdict(self, turn: Turn) -> dict[str, Any]:
        verdict = verdict_of(self, turn.reference["after"])._asdict()
        return {name: value for name, value in verdict.items() if name not in ("success", "level")}

    def oracle(self, state: Episode) -> str:
        return self.as_response(self.device.oracle(state.state, state.goal), state)

    def as_response(self, action: Action, state: Episode) -> str:
        """Returns an action as a response; with `mask_goal` without the values of the goal."""
        said = action._replace(text=hide_values(action.text, state.goal)) if self.mask_goal else action
        return self.dialect.write(said, BLANK if self.by_number else self.device.screen(state.state))

    def plausible_action(self, state: Episode, rng: np.random.Generator) -> str:
        """In half of the cases what the oracle would do, else anything legal."""
        if self.has_oracle and rng.random() < 0.5:
            return self.oracle(state)
        drawn = random_action(self.device.screen(state.state), state.goal, self.device.titles, rng)
        return self.as_response(drawn, state)

    def draw(self, turn: Turn, score: float | None, gold: float | None) -> np.ndarray:
        """Returns the screen as it is now, and where the finger was."""
        state = turn.reference["after"].state
        return self._picture(state, self.device.screen(state), self.tapped(turn))

    def tapped(self, turn: Turn) -> tuple[int, int] | None:
        """Returns where the response touched the screen that it answered, (x, y) in pixels; None if nowhere."""
        if "before" not in turn.reference:
            return None
        screen = self.device.screen(turn.reference["before"].state)
        return self.dialect.touched(turn.response, screen, self.lenient)

    def write(self, turn: Turn, score: float | None, gold: float | None) -> str:
        """Returns the goal, what was said last, and the screen as it is now in a frame."""
        lines = [f"Goal: {turn.reference['goal']}"]
        if score is not None:
            lines.append(f"> {turn.response}")
        if turn.reference.get("problem"):
            lines.append(f"! {turn.reference['problem']}")
        lines.append(write_screen(self.device.screen(turn.reference["after"].state)))
        return "\n".join(lines if gold is None else [*lines, "reached" if gold else "not reached"])

    def info(self, state: Episode) -> dict[str, Any]:
        goal = state.goal
        return {"template": goal.template, "goal": goal.text, "feasible": goal.feasible, "episode_seed": state.seed}

    def groups(self, state: Episode) -> Sequence[str]:
        """Returns its template, and of the phone how training meets it, what `unseen` makes new, and the attack.

        How training meets it: "seen templates" and then "demonstrated", "few demonstrations" or "never demonstrated";
        or else "unseen templates".
        """
        name = state.goal.template
        if name not in self.known:
            return (name,)
        template = self.known[name].template
        new = [f"unseen {self.unseen}"] if self.unseen else []
        new += [f"attack {attack_kind(state.state.phone)}"] if self.attack else []
        if self.unseen == "apps":
            return (name, *new)
        kinds = [] if template.held_out else ["seen templates"]
        return tuple(dict.fromkeys([name, *kinds, template.kind, *new]))

    def feedback(self) -> UISteps | None:
        return UISteps(self) if self.live is None else None

    def single_steps(self, count: int) -> UISteps | None:
        """On the phone in `count` states, those after a mistake included; of recordings all, where the recorded step
        alone is right.
        """
        return None if self.live else UISteps(self, count if self.recordings is None else None)

    def figures_of(self, responses: Sequence[str]) -> dict[str, float]:
        """Returns the shares that are actions of the dialect, read strictly and leniently."""
        strictly, leniently = (sum(self.dialect.reads(text, how) for text in responses) for how in (False, True))
        return {"actions": strictly / len(responses), "actions, leniently read": leniently / len(responses)}

    def frame(self, state: Episode, response: str) -> np.ndarray:
        """Returns the screen that a response is said to, with where the finger is."""
        played = self.play(state, response)
        return draw_screen(self.device.screen(state.state), tap=self.tapped(played.turn))

    def catalogue(self) -> Catalogue | None:
        if self.recordings is not None:
            raise UserError("tables of shortcuts are of the simulated phone, data 'miniature'; these are recordings.")
        if self.live is not None:
            return None
        return template_catalogue(self)

    def shortcut_scores(self, train: Task, count: int, seed: int) -> Iterator[Scored]:
        return shortcut_scores_on_phone(self, count, seed)

    def first_states(self, n: int) -> list[Episode]:
        if not self.repeats:
            raise UserError(f"{self.not_repeatable} No two policies can be compared in the same episodes of it.")
        return super().first_states(n)

    def close(self) -> None:
        if self.live is not None:
            self.live.close()

    def state_to_json(self, state: Episode) -> Any:
        begun = {"seed": state.seed, "options": dict(state.options), **self._told_apart(state)}
        return {**begun, "responses": list(state.responses)}

    def _told_apart(self, state: Episode) -> dict[str, str]:
        """Returns what differs where a state is restored in an env of other settings."""
        told = {"goal": state.goal.text}
        if self.attack:
            told["attack"] = attack_kind(state.state.phone)
        if not self.by_number:  # what was said means something else in another one
            told["actions"] = self.actions
        return told

    def state_from_json(self, value: Any) -> Episode:
        if not self.repeats:
            raise UserError(f"{self.not_repeatable} So it cannot be reached again.")
        self._check_options({"seed": value["seed"], **value["options"]})
        episode = self._begin(value["seed"], value["options"])
        saved, here = ({"actions": Elements.name, **each} for each in (value, self._told_apart(episode)))
        for name in ("goal", "attack", "actions"):
            if saved.get(name) != here.get(name):
                problem = f"the state was saved with the {name} {saved.get(name)!r}, and here it has {here.get(name)!r}"
                where = "the same templates, apps, split, attack, unseen and actions"
                raise UserError(f"{problem}; restore it in an env with {where}.")
        for response in value["responses"]:
            episode = self._after(episode, response)
        return episode
