"""Gymnasium envs of text that others wrote: as tasks, in vector envs, in PPO, in the commands, and what is refused."""

import gc
import json
import re
import warnings

import foreign_envs as foreign
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.evaluation import evaluate_policy
from tiny_models import gemma
from toy_callbacks import After

from agents import PPO, make_vec_env
from agents.gym_vec_env import GymVecEnv
from agents.setup import Setup
from agents.train_ppo import Options, train
from agents.vec_env import TaskVecEnv
from envs.core import TaskEnv, TaskVectorEnv
from envs.gym_seats import EnvSource
from envs.gym_spaces import TextSpaces
from envs.gym_task import PATIENCE, GymTask, NotRepeatableError, own_reward
from envs.registry import task_of
from envs.spaces import Unicode
from evaluation.audit_reward import Options as AuditOptions
from evaluation.audit_reward import bench_of
from evaluation.evaluator import Evaluator
from perlhf.errors import RewardError, UserError

ID = "foreign/Letters-v0"
SAME_STEP = AutoresetMode.SAME_STEP


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def small(path, env, **kwargs):
    options = {"n_envs": 4, "batch_size": 4, "seed": 0, "device": "cpu", **kwargs}
    return PPO("LoRAPolicy", env, policy_kwargs={"backbone": path, "max_new_tokens": 4}, **options)


def played(env, actions, seed=0):
    """Prompts and rewards of one episode of a plain env."""
    observation, _ = env.reset(seed=seed)
    rows = [(observation, 0.0)]
    for action in actions:
        observation, reward, *_ = env.step(action)
        rows.append((observation, reward))
    return rows


# A state is a seed and what was said.


def test_gymnasiums_checker_has_nothing_to_say():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(TaskEnv(GymTask, env=ID), skip_render_check=True)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99), moves=st.lists(st.tuples(st.integers(0, 30), st.text("IYWTx", max_size=3)), max_size=12)
)
def test_going_on_from_any_state_is_as_if_nobody_else_had(seed, moves):
    """States of one episode are gone on from in any order; each is what the plain env shows after the same words."""
    task = GymTask(foreign.Letters)
    states = [task.start(np.random.default_rng(seed), {})]
    for which, response in moves:
        before = states[which % len(states)]
        if before.over:
            continue
        after = task.play(before, response)
        rows = played(foreign.Letters(), after.state.said, before.seed)
        assert after.state.said == (*before.said, response)
        assert (after.state.shown["prompt"], after.turn.reference["reward"]) == rows[-1]
        assert after.state.total == sum(reward for _, reward in rows)
        assert task.state_from_json(json.loads(json.dumps(task.state_to_json(after.state)))).shown == after.state.shown
        states.append(after.state)


def test_splits_share_no_seed():
    seeds = {
        split: {GymTask(foreign.Letters, split=split).start(np.random.default_rng(i), {}).seed for i in range(50)}
        for split in ("train", "validation", "test")
    }
    assert max(seeds["train"]) < min(seeds["validation"]) <= max(seeds["validation"]) < min(seeds["test"])


def test_no_more_envs_are_made_than_are_played_in_at_once():
    made = []

    def make():
        made.append(foreign.Letters(turns=2))
        return made[-1]

    env = make_vec_env(make, 3, seed=0)
    env.reset()
    for _ in range(10):
        env.step(["I"] * 3)
    env.reset()
    assert len(made) == 3
    task = env.get_attr("task")[0]
    states = task.first_states(50)
    for state in states:
        task.play(state, "x")
    assert len(made) == 5  # two that repeat each other, one of which plays


def test_closing_closes_all_envs():
    closed = []

    class Heavy(foreign.Letters):
        def close(self):
            closed.append(self)

    env = make_vec_env(Heavy, 3, seed=0)
    env.reset()
    env.close()
    assert closed == []
    del env
    assert len(closed) == 3


# Whatever an env is given as.


class Twice(gym.vector.VectorRewardWrapper):
    def rewards(self, rewards):
        return 2 * rewards


@pytest.mark.parametrize(
    "give",
    [
        lambda: ID,
        lambda: gym.make(ID),
        lambda: foreign.Letters(),
        lambda: foreign.Letters,
        lambda: [foreign.Letters] * 4,
        lambda: [lambda: gym.make(ID) for _ in range(4)],
        lambda: gym.make_vec(ID, 4),
        lambda: SyncVectorEnv([foreign.Letters] * 4, autoreset_mode=SAME_STEP),
        lambda: gym.wrappers.vector.RecordEpisodeStatistics(
            SyncVectorEnv([foreign.Letters] * 4, autoreset_mode=SAME_STEP)
        ),
        lambda: gym.wrappers.vector.RecordEpisodeStatistics(
            SyncVectorEnv([foreign.Letters] * 4, autoreset_mode=AutoresetMode.DISABLED)
        ),
        lambda: AsyncVectorEnv([foreign.Letters] * 4, autoreset_mode=SAME_STEP, shared_memory=False),
    ],
    ids="id made instance callable list lambdas make_vec sync wrapped disabled async".split(),
)
def test_an_env_is_taken_however_it_is_given(give):
    env = give()
    made = env if isinstance(env, (gym.vector.VectorEnv, list)) else None
    env = make_vec_env(env, None if made is not None else 4, seed=5)
    shown = env.reset()["prompt"]
    assert all(re.fullmatch(r"Say a word with [IYWT]\.\n", prompt) for prompt in shown)
    total = np.zeros(4)
    for turn in range(3):
        before = shown
        said = [prompt[16] + "x" if i else "no" for i, prompt in enumerate(before["prompt"] if turn else shown)]
        shown, rewards, dones, infos = env.step(said)
        total += rewards
        assert dones.tolist() == [turn == 2] * 4
    assert total.tolist() == [0, 3, 3, 3]
    assert [info["gold"] for info in infos] == [0, 3, 3, 3]
    assert [info["episode"]["r"] for info in infos] == [0, 3, 3, 3]
    assert [info["is_success"] for info in infos] == [False, True, True, True]
    assert infos[1]["terminal_observation"]["prompt"].endswith("x'.\n")
    assert re.fullmatch(r"Say a word with [IYWT]\.\n", shown["prompt"][1])
    env.close()


def test_wrappers_of_ones_own_count():
    env = gym.wrappers.TimeLimit(
        gym.wrappers.TransformReward(foreign.Loud(foreign.Letters()), lambda reward: reward - 0.5), 2
    )
    env = make_vec_env(gym.wrappers.RecordEpisodeStatistics(env), 2, seed=0)
    assert env.reset()["prompt"][0].startswith("SAY A WORD")
    env.step(["no", "no"])
    _, rewards, dones, infos = env.step(["no", "no"])
    assert (rewards.tolist(), dones.tolist()) == ([-0.5] * 2, [True] * 2)
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert infos[0]["gold"] == -1.0


def test_the_time_limit_of_an_id_counts():
    env = make_vec_env("foreign/Short-v0", 2, seed=0)
    env.reset()
    env.step(["no", "no"])
    assert env.step(["no", "no"])[3][0]["TimeLimit.truncated"]


def test_wrappers_around_our_own_envs_count_too():
    single = gym.make("perlhf/HH-v0", reward="gold")
    env = make_vec_env(gym.wrappers.TransformReward(single, lambda reward: 10 + reward), 2, seed=0)
    env.reset()
    _, rewards, _, infos = env.step(["I can't help with that."] * 2)
    assert rewards.tolist() == [10 + info["gold"] for info in infos]
    many = Twice(gym.make_vec("perlhf/HH-v0", num_envs=2, reward="gold"))
    env = make_vec_env(many, seed=0)
    env.reset()
    _, rewards, _, infos = env.step(["I can't help with that."] * 2)
    assert rewards.tolist() == [2 * info["gold"] for info in infos]


def test_each_episode_draws_one_of_several_envs():
    env = make_vec_env([foreign.Letters, lambda: foreign.Loud(foreign.Letters(turns=1))], seed=0)
    assert env.num_envs == 2
    prompts = [prompt for _ in range(20) for prompt in env.reset()["prompt"]]
    assert {prompt[:4] for prompt in prompts} == {"Say ", "SAY "}


def test_pictures_are_shown():
    env = make_vec_env(foreign.Bright, 2, seed=0)
    assert env.get_attr("shipped_backbone") == ["tiny-vqav2"] * 2
    assert env.reset()["image"].shape == (2, 24, 32, 3)
    assert (env.step(["a", "b"])[0]["image"] == 1).all()


def test_a_reward_of_ones_own_is_mixed_with_the_envs():
    reward = [{"reward": "bundled"}, {"reward": "toy_tasks:always_one", "weight": 10.0}]
    env = make_vec_env(ID, 1, seed=0, reward=reward)
    letter = env.reset()["prompt"][0][16]
    assert env.step([letter])[1].tolist() == [11.0]
    assert env.step(["?"])[1].tolist() == [10.0]
    gold = make_vec_env(ID, 1, seed=0, reward="gold")
    gold.reset()
    assert [gold.step([letter])[1][0], gold.step(["?"])[1][0], gold.step(["?"])[1][0]] == [0, 0, 1]  # at the end


def test_worker_processes_play_the_same_episodes():
    one, two = (make_vec_env(ID, 3, seed=1, workers=workers) for workers in (0, 2))
    assert one.reset() == two.reset()
    for _ in range(4):
        for here, there in zip(one.step(["I", "Y", "W"])[:3], two.step(["I", "Y", "W"])[:3], strict=True):
            assert np.array_equal(here, there) if isinstance(here, np.ndarray) else here == there
    two.close()


# PPO on it.


@pytest.mark.parametrize("form", ["id", "vector env"])
def test_ppo_trains_and_is_evaluated(path, form):
    env = ID if form == "id" else AsyncVectorEnv([foreign.Letters] * 4, autoreset_mode=SAME_STEP, shared_memory=False)
    model = small(path, env)
    model.learn(12)
    assert model.num_timesteps == 12
    assert len(model.ep_info_buffer) == 4
    assert isinstance(model.env.unwrapped, TaskVecEnv if form == "id" else GymVecEnv)
    mean, _ = evaluate_policy(model, make_vec_env(ID, 2, seed=9), n_eval_episodes=4)
    assert 0 <= mean <= 3
    model.env.close()


def test_a_vector_env_that_is_used_as_it_is_has_no_task():
    env = make_vec_env(AsyncVectorEnv([foreign.Succeeding] * 2, autoreset_mode=SAME_STEP, shared_memory=False), seed=0)
    assert env.get_attr("task") == [None, None]
    letters = [prompt[16] for prompt in env.reset()["prompt"]]
    for said in (letters, ["?"] * 2, ["?"] * 2):
        infos = env.step(said)[3]
    assert [info["is_success"] for info in infos] == [False, False]
    env.close()


def test_groups_begin_alike(path):
    model = small(path, ID, n_envs=4, algorithm="grpo", group_size=2)
    prompts = []

    def note(model):
        prompts.append([model.policy.backbone.decode(row) for row in model.rollout.prompts[:4]])

    model.learn(12, callback=After(note))
    first = prompts[0]
    assert first[0] == first[1]
    assert first[2] == first[3]


def test_an_env_that_takes_no_notice_of_the_seed_plays_in_no_groups(path):
    with pytest.raises(
        UserError, match=r"^env 'foreign/Counting-v0' shows something else after each reset[^\n]*Groups"
    ):
        small(path, "foreign/Counting-v0", algorithm="grpo", group_size=2)
    with pytest.raises(UserError, match="give PPO the id of the env or callables"):
        small(path, Twice(gym.make_vec("perlhf/HH-v0", 2)), algorithm="grpo", group_size=2)


def test_an_env_that_takes_no_notice_of_the_seed_plays_whole_episodes_of_its_own(path):
    model = small(path, "foreign/Counting-v0", algorithm="reinforce++", group_size=1)
    model.learn(12)
    assert model.num_timesteps == 12
    with pytest.raises(UserError, match=r"^frontier: env 'foreign/Counting-v0' shows something else[^\n]*leave it out"):
        small(path, "foreign/Counting-v0", algorithm="reinforce++", group_size=1, frontier=0.5)


@pytest.mark.parametrize("workers", [0, 2])
def test_whole_episodes_one_by_one_are_those_that_are_drawn_anyway(workers):
    env = TaskVectorEnv(GymTask, 3, env=gym.spec(ID), workers=workers)
    plain = env.reset(seed=3)
    whole = env.reset(seed=3, options={"group_size": 1})
    assert str(whole) == str(plain)
    over = [env.step(["I"] * 3)[2].tolist() for _ in range(4)]
    assert over == [[False] * 3, [False] * 3, [True] * 3, [False] * 3]  # and waits then
    assert env.get_state()["over"] == [True] * 3
    env.close()


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.policy.named_parameters()}


def test_a_resume_in_the_middle_of_episodes_is_exact(path, tmp_path):
    whole = small(path, ID, n_steps=2)
    whole.learn(8)
    whole.save(tmp_path / "saved")
    whole.learn(8, reset_num_timesteps=False)
    again = PPO.load(tmp_path / "saved", env=ID, device="cpu")
    assert again.last_observation["prompt"][0].count("You said") == 1  # after two of three turns, twice
    again.learn(8, reset_num_timesteps=False)
    for name, parameter in weights(again).items():
        assert parameter.equal(weights(whole)[name])
    assert again.last_observation == whole.last_observation


@pytest.mark.parametrize("form", ["counting", "vector env"])
def test_where_episodes_cannot_go_on_new_ones_begin_and_a_line_says_so(path, tmp_path, capsys, form):
    def env():
        if form == "counting":
            return "foreign/Counting-v0"
        return Twice(SyncVectorEnv([foreign.Letters] * 4, autoreset_mode=SAME_STEP))

    model = small(path, env(), n_steps=2)
    model.learn(8)
    model.save(tmp_path / "saved")
    capsys.readouterr()
    again = PPO.load(tmp_path / "saved", env=env(), device="cpu")
    assert "the env cannot go back to the episodes that were under way: new ones begin." in capsys.readouterr().err
    assert again.last_observation is None
    again.learn(8, reset_num_timesteps=False)
    assert again.num_timesteps == 16


def test_an_env_that_has_changed_since_is_found_out(tmp_path):
    task = GymTask(foreign.Letters)
    value = task.state_to_json(task.play(task.start(np.random.default_rng(0), {}), "abc").state)
    with pytest.raises(
        NotRepeatableError, match=r"^env 'Letters' does not repeat itself: after reset\(seed=\d+\) and 1 "
    ):
        GymTask(lambda: foreign.Loud(foreign.Letters())).state_from_json(value)


class Own(foreign.Letters):
    """Counts its own resets."""

    count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count += 1
        return f"Number {self.count}.", {}


class Born(foreign.Letters):
    """Shows with which number it was made, or for one seed in four."""

    made, rare = 0, False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        Born.made += 1
        self.number = Born.made

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return f"Number {0 if self.rare and seed % 4 != 2 else self.number}.", {}


class Rarely(Born):
    rare = True


@pytest.mark.parametrize(
    ("make", "repeats"),
    [(foreign.Letters, True), (foreign.Bright, True), (foreign.Counting, False), (Own, False), (Born, False),
     (Rarely, False)],
)  # fmt: skip
def test_whether_an_env_repeats_itself_is_seen_in_two_envs_and_some_seeds(make, repeats):
    assert GymTask(make).repeats == repeats


@pytest.mark.parametrize(("kind", "repeats"), [(foreign.Letters, True), (Own, False)])
def test_an_env_that_cannot_be_copied_is_tried_alone(kind, repeats):
    class Socket(kind):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle 'socket' object")

    assert GymTask(Socket()).repeats == repeats


# The commands.


def test_many_episodes_are_played_in_a_bounded_number_of_envs():
    made = []

    def make():
        made.append(foreign.Knowing())
        return made[-1]

    evaluator = Evaluator(GymTask(make), own_reward, n=100)
    assert evaluator.oracle().golds.tolist() == [3.0] * 100
    assert len(made) <= 40  # 100 before there were blocks


def test_whether_there_is_gold_is_known_without_a_step():
    task = GymTask(foreign.Fragile)
    assert task.has_gold(task.start(np.random.default_rng(0), {}))
    evaluated = task_of("perlhf/HH-v0", split="test")
    assert evaluated.has_gold(evaluated.first_state(0))


def test_looks_and_audits_that_an_env_cannot_have_are_one_line(path, tmp_path):
    folder = str(tmp_path / "run")
    options = {"backbone": path, "total_timesteps": 8, "n_envs": 4, "batch_size": 4, "output_dir": folder}
    with pytest.raises(UserError, match=r"^--eval-every: env 'foreign/Counting-v0' shows something else[^\n]*$"):
        train(Options(env="foreign/Counting-v0", eval_every=1, eval_prompts=4, device="cpu", **options))
    setup = Setup.of("foreign/Knowing-v0")
    with pytest.raises(UserError, match=r"^foreign/Knowing-v0 gives its rewards itself[^\n]*$"):
        bench_of(setup, AuditOptions(env="foreign/Knowing-v0"))


def test_the_commands_close_what_they_have_opened(path, tmp_path, monkeypatch):
    opened, closed = set(), set()
    make, close = foreign.Knowing.__init__, foreign.Knowing.close

    def __init__(self, **kwargs):
        make(self, **kwargs)
        opened.add(id(self))
        kept.append(self)

    def closing(self):
        closed.add(id(self))
        close(self)

    kept = []  # so that no id is given twice
    monkeypatch.setattr(foreign.Knowing, "__init__", __init__)
    monkeypatch.setattr(foreign.Knowing, "close", closing)
    train(Options(
        env="foreign/Knowing-v0", backbone=path, total_timesteps=8, n_envs=4, batch_size=4, max_new_tokens=4,
        eval_prompts=4, eval_every=1, output_dir=str(tmp_path / "run"), device="cpu", lora_rank=2,
    ))  # fmt: skip
    gc.collect()
    assert opened
    assert closed == opened


def test_tiny_stands_for_a_model_that_sees_what_the_env_shows():
    assert Setup.of("foreign/Bright-v0").backbone_name == "tiny-vqav2"
    assert Setup.of(ID, "turns=2").backbone_name == "tiny"
    assert Setup.of("foreign/Bright-v0", backbone="mine").backbone_name == "mine"


@pytest.mark.parametrize("name", ["Knowing", "Letters", "Counting"])
def test_the_command_trains_and_compares_where_it_can(path, tmp_path, capsys, name):
    folder = tmp_path / "run"
    summary = train(Options(
        env=f"foreign_envs:foreign/{name}-v0", backbone=path, total_timesteps=8, n_envs=4, batch_size=4,
        max_new_tokens=4, eval_prompts=4, output_dir=str(folder), device="cpu", lora_rank=2,
    ))  # fmt: skip
    said = capsys.readouterr()
    if name == "Counting":
        assert "shows something else after each reset" in said.err
        assert "no comparison with SFT" in said.err
        assert "policy" not in summary
        return
    assert summary["policy"]["n"] == 4
    assert ("oracle" in summary) == (name == "Knowing")
    if name == "Knowing":
        assert summary["oracle"]["gold"] == 3.0
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["rollout/failed"] == 0


# What is refused, and what is lost.


class Bare(gym.ObservationWrapper):
    """Keeps the picture alone."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Dict({"image": env.observation_space["image"]})

    def observation(self, observation):
        return {"image": observation["image"]}


class Dropping(gym.ObservationWrapper):
    """Keeps the picture alone, and says nothing of it."""

    def observation(self, observation):
        return {"image": observation["image"]}


def numbers():
    return foreign.Letters(prompts=spaces.Box(0, 1, (3,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gym.make("CartPole-v1"), r"env 'CartPole-v1' takes no text: its action space is Discrete\(2\),"),
        (numbers, r"env 'Letters' shows no text: its observation space is a Box, expected gymnasium.spaces.Text, or a"),
        (lambda: Bare(foreign.Bright()), r"env 'Bright' shows no text: .* Dict with 'image' and no text under"),
        (lambda: foreign.Letters(prompts=spaces.Dict(prompt=spaces.Text(9), image=spaces.Box(0, 1, (2, 2)))),
         r"env 'Letters' shows an image of Box.*; expected a Box of uint8, height x width x 3."),
        (lambda: 3, r"<lambda> gave int, expected a gymnasium.Env."),
        (lambda: 1 / 0, r"env '<lambda>' cannot be made: ZeroDivisionError: division by zero."),
    ],
)  # fmt: skip
def test_an_env_of_another_kind_is_one_line(make, message):
    with pytest.raises(UserError, match=f"^{message}[^\n]*$"):
        make_vec_env(make)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({"after_reset": 3}, r"after reset\(seed=\d+\) showed a prompt .* int instead of text"),
        ({"after_reset": "é"}, r"after reset\(seed=\d+\) showed .* the character 'é' is not in its charset"),
        ({"after_reset": "x" * 201}, r"after reset\(seed=\d+\) showed a prompt .* 201 characters, not 1 to 200"),
        ({"after_reset": "\ud800", "prompts": Unicode(9)}, r"after reset.* a lone surrogate, which is no text"),
        ({"after_reset": RuntimeError("no\nway")}, r"raised RuntimeError in reset\(seed=\d+\): no"),
        ({"after_step": ("", 0.0, True, False, {})}, r"at step 1 after .* 0 characters, not 1 to 200"),
        ({"after_step": ("Bye.", 0.0, True, {})}, r"at step 1 .* returned \('Bye.', .*, expected \(obs"),
        ({"after_step": ("Bye.", float("nan"), True, False, {})}, r"at step 1 .* the reward nan, expected one finite"),
        ({"after_step": ("Bye.", "3", True, False, {})}, r"at step 1 .* the reward '3', expected one finite"),
    ],
)  # fmt: skip
def test_what_an_env_gives_that_it_should_not_is_one_line(shown, message):
    with pytest.raises(UserError, match=f"^env 'Says' {message}[^\n]*$") as caught:  # noqa: PT012
        env = make_vec_env(lambda: foreign.Says(**shown))
        env.reset()
        env.step(["x"])
    assert isinstance(caught.value, RewardError) == ("the reward" in message)


def test_a_wrapper_that_drops_the_prompt_is_one_line():
    env = make_vec_env(lambda: Dropping(foreign.Bright()))
    with pytest.raises(UserError, match=r"^env 'Bright' after reset\(seed=\d+\) showed no 'prompt', which its space"):
        env.reset()


def test_parts_that_nobody_sees_are_said(capsys):
    prompts = spaces.Dict(prompt=spaces.Text(9), score=spaces.Discrete(3))
    GymTask(lambda: foreign.Letters(prompts=prompts))
    assert capsys.readouterr().err == "env 'Letters': of its observation a policy is not shown 'score'.\n"


def test_an_episode_that_the_env_breaks_off_is_not_learned_from_and_counted(path, capsys):
    model = small(path, lambda: foreign.Fragile(trouble="I", turns=1), n_envs=16, batch_size=16)
    seen = []
    model.learn(16, callback=After(lambda model: seen.append((model.rollout, dict(model.logger.name_to_value)))))
    rollout, logged = seen[0]
    asked = [model.policy.backbone.decode(row) for row in rollout.prompts]
    lost = [prompt.startswith("Say a word with I") for prompt in asked]
    assert 0 < sum(lost) < 16
    assert rollout.failed.tolist() == lost
    assert not rollout.response_mask[rollout.failed].any()
    assert logged["rollout/failed"] == sum(lost)
    line = (
        r"an episode is lost and not learned from \(rollout/failed counts them\): env 'Fragile' raised RuntimeError at "
        r"step 1 after reset\(seed=\d+\), response '.*': the dictionary is lost\n"
    )
    assert re.search(line, capsys.readouterr().err)


def test_an_env_that_always_raises_ends_the_run(path):
    model = small(path, foreign.Fragile, n_envs=PATIENCE, batch_size=4)
    message = rf"^env 'Fragile' raised RuntimeError at step 1 [^\n]* \(the {PATIENCE}th episode in a row that is lost"
    with pytest.raises(UserError, match=message):
        model.learn(PATIENCE)


def test_a_vector_env_that_raises_is_one_line():
    env = make_vec_env(Twice(SyncVectorEnv([foreign.Fragile], autoreset_mode=SAME_STEP)), seed=0)
    env.reset()
    with pytest.raises(UserError, match=r"^vector env 'SyncVectorEnv' raised RuntimeError at step 1: the dictionary"):
        env.step(["x"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Twice(SyncVectorEnv([foreign.Letters])), "begins a new episode one step too late"),
        (lambda: AsyncVectorEnv([foreign.Letters], autoreset_mode=SAME_STEP), "make it with shared_memory=False"),
        (lambda: gym.make_vec("CartPole-v1", 2), "env 'CartPole-v1' takes no text"),
    ],
)
def test_a_vector_env_that_would_not_do_is_one_line(make, message):
    env = make()
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*$"):
        make_vec_env(env)
    env.close()


@given(
    text=st.text(max_size=30),
    charset=st.sets(st.characters(codec="utf-8"), min_size=1, max_size=20),
    lengths=st.tuples(st.integers(0, 8), st.integers(1, 8)),
)
def test_every_response_becomes_one_that_the_env_takes(text, charset, lengths):
    space = spaces.Text(max(lengths), min_length=min(lengths), charset="".join(charset))
    found = TextSpaces("x", spaces.Text(9), space)
    fitted = found.fitted(text)
    assert space.contains(fitted)
    assert found.fitted(fitted) == fitted
    assert found.takes(text) == (fitted == text)


@pytest.mark.parametrize(
    ("said", "heard"), [("abc", "abc"), ("a b-c", "abc"), ("abcabcabc", "abcabc"), ("", "aa"), ("-c-", "ca")]
)
def test_a_response_outside_the_action_space_is_made_to_fit(said, heard, capsys):
    env = foreign.Letters(answers=spaces.Text(6, min_length=2, charset="cba"))
    vec_env = make_vec_env(env, seed=0)
    vec_env.reset()
    vec_env.step([said])
    assert env.heard == [heard]
    told = capsys.readouterr().err
    assert told.count("env 'Letters': a response is not in its action space") == (said != heard)


@pytest.mark.parametrize(("given", "read"), [(0, 0.0), (2, 2.0), (None, np.inf)])
def test_success_at_is_the_envs(given, read):
    env = foreign.Letters()
    env.success_at = given
    assert GymTask(env).success_at == read


@pytest.mark.parametrize("given", ["high", np.nan, [1]])
def test_success_at_that_is_no_number_is_one_line(given):
    env = foreign.Letters()
    env.success_at = given
    with pytest.raises(UserError, match=r"^env 'Letters' has success_at [^\n]*, expected a number, or None for none.$"):
        GymTask(env)


def test_gold_that_is_no_number_is_one_line():
    task = GymTask(foreign.Says(after_step=("Bye.\n", 0.0, True, False, {"gold": float("nan")})))
    state = task.start(np.random.default_rng(0), {})
    with pytest.raises(RewardError, match=r"^env 'Says' at step 1 after [^\n]* gave the gold nan, expected one finite"):
        task.play(state, "x")


def test_what_cannot_be_copied_says_what_to_do():
    class Socket(foreign.Letters):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle 'socket' object")

    env = make_vec_env(Socket(), 1, seed=0)
    env.reset()
    env.reset()
    with pytest.raises(UserError, match=r"cannot copy .*; give a callable that makes such an env, or n_envs=1\.$"):
        make_vec_env(Socket(), 2, seed=0).reset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "foreign/Nothing-v0"}, "env 'foreign/Nothing-v0' cannot be made: NameNotFound"),
        ({"env": ID, "arguments": {"sides": 3}}, "env 'foreign/Letters-v0' cannot be made: TypeError: .*sides"),
        ({"env": foreign.Letters, "arguments": {"turns": 3}}, "turns given with an env that is made already"),
        ({"env": ID, "data": "x.jsonl"}, "data 'x.jsonl': env 'foreign/Letters-v0' was not written for perlhf"),
        ({"env": ID, "split": "tst"}, "unknown split 'tst'. Did you mean 'test'"),
        ({"env": []}, "expected at least one env, got an empty list."),
        ({"env": 3}, "expected the id of an env, an env, or a callable that makes one, got int."),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    with pytest.raises(UserError, match=f"^{message}[^\n]*$"):
        GymTask(**arguments)


def test_arguments_of_an_id_reach_the_env():
    env = make_vec_env(ID, 1, seed=0, turns=1)
    env.reset()
    assert env.step(["x"])[2].tolist() == [True]


def test_a_vector_env_of_a_source_is_pickled_without_its_envs():
    import pickle

    env = TaskVectorEnv(GymTask, 2, env=ID)
    env.reset(seed=0)
    env.step(["a", "b"])
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        assert twin.step(["c", "d"])[0] == env.step(["c", "d"])[0]


def test_a_source_gives_an_env_again_when_its_seat_is_free():
    source = EnvSource.of(foreign.Letters, {})
    seat = source.take()
    first = seat.env
    assert source.take().env is not first
    del seat
    assert source.take().env is first
