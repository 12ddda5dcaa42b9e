"""`UINav`: an episode is a goal on a device, and one step is one action, said as text."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from envs.uinav.interface.actions import EXAMPLES, INSTRUCTIONS, MORE_KINDS, Action, ActionError, parse_action
from envs.uinav.interface.device import Device, DeviceError, Ending, Goal, perform
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.lenient import find_action
from envs.uinav.interface.screen import BLANK, HEIGHT, WIDTH, Screen
from envs.uinav.masking import augment as augmented
from envs.uinav.masking import mask_goal as hide_values
from envs.uinav.masking import unmask
from envs.uinav.phone.app import Known, find_template
from envs.uinav.phone.apps.setup import make_phone
from envs.uinav.recordings.device import RecordedDevice, load_recordings
from perlhf.conversation import instructed_by
from perlhf.errors import UserError, did_you_mean

_MAX_STEPS = 20  # the oracle needs 19 at most, and about 7 as a rule
_MORE_STEPS = 10  # where a field is clicked first and typed into next
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
    `Dict(prompt: Unicode(100000))`, and with `image=True` also `image: Box(0, 255, (512, 288, 3), uint8)`.

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
    `is_success` as if the episode ended there, or `failed` where the device failed.

    ## Arguments
    `data`: "miniature", the simulated phone, or recordings: a `.jsonl` file of `envs.uinav.recordings.files`, or a
    folder of them. `templates`: names joined by "+", or a list; default all of the split. `apps`: what is on the
    phone: "all", names, modules with apps of one's own, as in "all+my_app". `image`: pixels too; `marks`: set-of-marks
    on them where they are drawn, not on screenshots. `mask_goal`: UINav's utterance masking: values become
    placeholders, which may be typed; not of recordings. `augment`: UINav's augmentation: the share of elements that
    do not matter whose text is replaced. `split`: other episodes, and of the phone "test" has templates that no other
    split has. `unseen`: of the test split one kind of newness alone: "values" (names and titles), "wordings",
    "layouts", "templates" or "apps". `max_steps`: 20, or 30 in dialects in which a field is clicked and typed into in
    two steps ("qwen", "ui-tars"); of recordings at least what the longest takes. `max_elements`: of a recorded screen,
    the most that are shown. `lenient`: an action is also found in what language models write around it, and `DID` says
    what was done in the words of the actions. `actions`: the dialect that they are said in, "elements", "coordinates",
    "qwen", "ui-tars", "androidworld" or "browsergym"; behind a colon the scale of points, such as "qwen:1000"
    (docs/tasks/uinav_actions.md). `reward`, `render_mode`: see `envs.core.TaskEnv`.

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

    def __init__(
        self,
        data: str = "miniature",
        split: str = "train",
        templates: str | Sequence[str] = "",
        apps: str | Sequence[str] = "all",
        unseen: str = "",
        image: bool = False,
        marks: bool = False,
        mask_goal: bool = False,
        augment: float = 0.0,
        max_steps: int | None = None,
        max_elements: int = 40,
        lenient: bool = False,
        actions: str = "elements",
    ) -> None:
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), SPLITS)}")
        if not isinstance(data, (str, os.PathLike)):
            raise UserError(f"data must be 'miniature' or a path, got {data!r}.")
        for option, value in {"image": image, "marks": marks, "mask_goal": mask_goal, "lenient": lenient}.items():
            if not isinstance(value, bool):
                raise UserError(f"{option} must be True or False, got {value!r}.")
        if isinstance(augment, bool) or not isinstance(augment, (int, float)) or not 0 <= augment <= 1:
            raise UserError(f"augment must be from 0 to 1, the share of elements that it changes, got {augment!r}.")
        self.dialect = dialect_of(actions)
        most = _MAX_STEPS + _MORE_STEPS * self.dialect.apart
        counts = {"max_steps": most if max_steps is None else max_steps, "max_elements": max_elements}
        for option, number in counts.items():
            if type(number) is not int or number < 1:
                raise UserError(f"{option} must be at least 1, a whole number, got {number!r}.")
        self.unseen = unseen
        self.split, self.max_steps = split, max_steps or most
        self.marks, self.mask_goal, self.augment = marks, mask_goal, augment
        self.lenient, self.parse = lenient, find_action if lenient else parse_action
        self.by_number = isinstance(self.dialect, Elements)  # then `parse` says all of an action, without the screen
        self.instructions, self.examples = self.dialect.instructions, self.dialect.examples
        self._instructed = instructed_by(self.instructions, self.examples)
        self.image_shape = (HEIGHT, WIDTH, 3) if image else None
        self.known: Mapping[str, Known] = {}
        self.drawn: tuple[str, ...] = ()  # of these, those that episodes are of
        self.recordings: RecordedDevice | None = None
        if data == "miniature":
            phone = make_phone(templates, apps, split, unseen)
            self.device: Device = phone
            self.known, self.drawn = phone.known, phone.templates
            return
        if templates or apps != "all" or mask_goal or unseen:
            names = "templates, apps, unseen and mask_goal"
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
        if "template" in options:
            name = find_template(options["template"], self.known)
            if self.unseen and name not in self.drawn:
                raise UserError(f"template {name!r} is none of those that unseen={self.unseen!r} draws.")
            if not feasible and self.known[name].template.absent is None:
                raise UserError(f"template {name!r} can always be done; leave out the option 'feasible'.")
        if self.recordings is not None:
            self.recordings.check(options)

    def _begin(self, seed: int, options: Mapping[str, Any]) -> Episode:
        state, goal = self.device.reset(Random(seed), options)
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
        if self.augment > 0:
            shown = self._screen(state, goal, seed, len(responses)).describe()
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
        """Draws what a policy sees of an episode, (512, 288, 3) uint8."""
        screen = self._screen(state.state, state.goal, state.seed, len(state.responses))
        return self._picture(state.state, screen)

    def _picture(self, state: Any, screen: Screen, tap: tuple[int, int] | None = None) -> np.ndarray:
        """Returns the device's own picture of the screen, or else a drawing of it."""
        own = self.device.picture(state)
        return own if own is not None else draw_screen(screen, tap=tap, marks=self.marks)

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
        about = state.seed, state.options, state.goal
        return self._episode(*about, device, responses, history, problem, ending, answer)

    def _performed(self, device: Any, action: Action) -> tuple[Any, str, str, Ending | None]:
        """Returns the device after an action, its label, why it had no effect, and how it ended the episode."""
        try:
            if action.kind in MORE_KINDS:
                after, label, problem = perform(self.device, device, action)
            else:
                after, label, problem = self.device.perform(device, action)
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
        if "before" not in turn.reference:
            return None
        return nearer(self.device, turn.reference["before"], turn.reference["after"])

    def judge_cut(self, turn: Turn) -> float:
        return float(turn.reference.get("credit_if_cut", 0.0))

    def final_info(self, turn: Turn) -> dict[str, Any]:
        return {"template": turn.reference["template"]}

    def oracle(self, state: Episode) -> str:
        return self.as_response(self.device.oracle(state.state, state.goal), state)

    def as_response(self, action: Action, state: Episode) -> str:
        """Returns an action as a response; with `mask_goal` without the values of the goal."""
        said = action._replace(text=hide_values(action.text, state.goal)) if self.mask_goal else action
        return self.dialect.write(said, BLANK if self.by_number else self.device.screen(state.state))

    def plausible_action(self, state: Episode, rng: np.random.Generator) -> str:
        """In half of the cases what the oracle would do, else anything legal."""
        if rng.random() < 0.5:
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
        """Returns its template, and of the phone how training meets it, and what `unseen` makes new.

        How training meets it: "seen templates" and then "demonstrated", "few demonstrations" or "never demonstrated";
        or else "unseen templates".
        """
        name = state.goal.template
        if self.recordings is not None:
            return (name,)
        template = self.known[name].template
        new = [f"unseen {self.unseen}"] if self.unseen else []
        if self.unseen == "apps":
            return (name, *new)
        kinds = [] if template.held_out else ["seen templates"]
        return tuple(dict.fromkeys([name, *kinds, template.kind, *new]))

    def feedback(self) -> UISteps:
        return UISteps(self)

    def single_steps(self, count: int) -> UISteps:
        """On the phone in `count` states, those after a mistake included; of recordings all, where the recorded step
        alone is right.
        """
        return UISteps(self, count if self.recordings is None else None)

    def figures_of(self, responses: Sequence[str]) -> dict[str, float]:
        """Returns the shares that are actions of the dialect, read strictly and leniently."""
        readers = {"actions": False, "actions, leniently read": True}
        read = self.dialect.said
        return {
            name: sum(is_action(read, text, leniently) for text in responses) / len(responses)
            for name, leniently in readers.items()
        }

    def frame(self, state: Episode, response: str) -> np.ndarray:
        """Returns the screen that a response is said to, with where the finger is."""
        played = self.play(state, response)
        return draw_screen(self.device.screen(state.state), tap=self.tapped(played.turn))

    def catalogue(self) -> Catalogue:
        if self.recordings is not None:
            raise UserError("tables of shortcuts are of the simulated phone, data 'miniature'; these are recordings.")
        return template_catalogue(self)

    def shortcut_scores(self, train: Task, count: int, seed: int) -> Iterator[Scored]:
        return shortcut_scores_on_phone(self, count, seed)

    def state_to_json(self, state: Episode) -> Any:
        return {
            "seed": state.seed,
            "options": dict(state.options),
            "goal": state.goal.text,
            "responses": list(state.responses),
        }

    def state_from_json(self, value: Any) -> Episode:
        self._check_options({"seed": value["seed"], **value["options"]})
        episode = self._begin(value["seed"], value["options"])
        if episode.goal.text != value["goal"]:
            problem = f"the state was saved with the goal {value['goal']!r}, and here it has {episode.goal.text!r}"
            raise UserError(f"{problem}; restore it in an env with the same templates, apps, split and unseen.")
        for response in value["responses"]:
            episode = self._after(episode, response)
        return episode


def is_action(read: Callable[[str, bool], object], response: str, leniently: bool) -> bool:
    """Tells whether a reader of actions finds one in a response."""
    try:
        read(response, leniently)
    except ActionError:
        return False
    return True
