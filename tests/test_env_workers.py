"""Episodes played in worker processes: those of no workers, bit for bit, and whatever goes wrong there is one line."""

import copy
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import toy_troubles
from gymnasium.error import ClosedEnvironmentError
from hypothesis import given, settings
from hypothesis import strategies as st
from test_architecture import ROOT
from tiny_models import gemma

from agents import PPO, make_vec_env
from agents.checkpoint import set_state
from backbones.checkpoints import read_checkpoint
from envs.core import TaskVectorEnv
from envs.episodes import Episodes
from perlhf.errors import RewardError, UserError

NUM_ENVS, WORKERS = 5, 2  # so that they do not share evenly
KINDS = {
    "HH-v0": ("perlhf/HH-v0", {"reward": "gold"}),
    "UINav-v0": ("perlhf/UINav-v0", {"reward": "gold", "max_episode_steps": 4}),
    "VQAv2-v0": ("perlhf/VQAv2-v0", {"reward": "toy_troubles:brightness"}),
    "orders": ("test/Orders-v0", {"reward": "toy_troubles:length", "max_episode_steps": 6}),
}


def assert_same(first, second):
    """Equal values of equal types, down to the last bit of a picture."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, np.ndarray) and first.dtype == object:
        assert_same(first.tolist(), second.tolist())
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)
    else:
        assert first == second


@pytest.fixture(scope="module")
def pairs():
    """Each kind of env without workers and with some, made once: a worker takes a while to start."""
    before = set(multiprocessing.active_children())
    made = {
        name: [gym.make_vec(env_id, NUM_ENVS, workers=n, render_mode="ansi", **options) for n in (0, WORKERS)]
        for name, (env_id, options) in KINDS.items()
    }
    yield made
    for pair in made.values():
        for env in pair:
            env.close()
    assert set(multiprocessing.active_children()) <= before


def responses_of(name, env, rng):
    """Plausible responses; of orders any that do no harm."""
    if name == "orders":
        return tuple(str(order) for order in rng.choice(toy_troubles.ORDERS, NUM_ENVS, p=(0.7, 0.1, 0.1, 0.1)))
    return env.plausible_action(rng)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 9), draws=st.integers(0, 99))
def test_episodes_are_those_of_no_workers_bit_for_bit(pairs, name, seed, steps, draws):
    plain, workers = pairs[name]
    assert_same(plain.reset(seed=seed), workers.reset(seed=seed))
    rngs = [np.random.default_rng(draws) for _ in range(2)]
    for _ in range(steps):
        said, the_same = (responses_of(name, env, rng) for env, rng in zip((plain, workers), rngs, strict=True))
        assert said == the_same
        assert_same(plain.step(said), workers.step(said))
    assert plain.oracle() == workers.oracle()
    assert plain.render() == workers.render()
    assert rngs[0].random() == rngs[1].random()  # it has moved on as far
    assert plain.get_state() == workers.get_state()


def test_orders_end_cut_and_fail_as_they_are_told(pairs):
    """So that the test above has seen all of them."""
    _, env = pairs["orders"]
    env.reset(seed=0)
    _, rewards, terminated, truncated, infos = env.step(("on", "over", "cut", "fail", "on"))
    assert rewards.tolist() == [2 / 7, 4 / 7, 3 / 7, 4 / 7, 2 / 7]
    assert terminated.tolist() == [False, True, False, False, False]
    assert truncated.tolist() == [False, False, True, True, False]
    assert infos["final_info"]["_failed"].tolist() == [False, False, False, True, False]
    assert infos["final_info"]["gold"].tolist() == [0, 0, 0, 0, 0]
    assert infos["final_info"]["_gold"].tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("name", KINDS)
def test_a_state_goes_from_any_number_of_workers_to_any_other(pairs, name):
    plain, workers = pairs[name]
    for source, target in ((plain, workers), (workers, plain)):
        source.reset(seed=11)
        rng = np.random.default_rng(1)
        for _ in range(2):
            source.step(responses_of(name, source, rng))
        target.reset(seed=12)
        shown = target.set_state(source.get_state())
        said = responses_of(name, source, rng)
        assert_same(shown["prompt"], source.set_state(source.get_state())["prompt"])
        assert_same(target.step(said), source.step(said))
        assert_same(target.reset(), source.reset())  # which goes on with the generators


def test_options_of_a_reset_seeds_and_mistakes_are_those_of_no_workers(pairs):
    for plain, workers in (pairs["UINav-v0"], pairs["HH-v0"]):
        seeds = [7, None, 3, 3, None]
        for env in (plain, workers):
            env.reset(seed=5)
        assert_same(plain.reset(seed=seeds), workers.reset(seed=seeds))
    said = []
    for env in pairs["UINav-v0"]:
        with pytest.raises(UserError) as caught:
            env.reset(options={"template": "nothing_of_the_kind"})
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert_same(*(env.reset(seed=1, options={"seed": 4}) for env in pairs["UINav-v0"]))


def test_the_view_of_stable_baselines_is_the_same():
    plain, workers = (make_vec_env("HH-v0", 3, seed=0, reward="gold", workers=n) for n in (0, 2))
    assert_same(plain.reset(), workers.reset())
    assert plain.env_method("oracle", indices=[2]) == workers.env_method("oracle", indices=[2])
    assert workers.get_attr("task")[0].shipped_backbone == "tiny"
    for env in (plain, workers):
        env.set_attr("max_episode_steps", 1)
    said = tuple(plain.env_method("oracle"))
    *first, infos = plain.step(said)
    *second, same_infos = workers.step(said)
    for info in (*infos, *same_infos):
        info["episode"].pop("t")  # wall clock
    assert_same([*first, infos], [*second, same_infos])
    workers.close()
    with pytest.raises(ClosedEnvironmentError):
        workers.unwrapped.task_env.step(said)


def test_more_workers_than_envs_are_as_many_as_envs():
    before = set(multiprocessing.active_children())
    env = gym.make_vec("test/Orders-v0", 2, workers=7, reward="toy_troubles:length")
    assert len(set(multiprocessing.active_children()) - before) == 2
    env.reset(seed=0)
    assert env.step(("on", "over"))[1].tolist() == [2 / 7, 4 / 7]
    env.close()
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("workers", [-1, 1.5, True, "2"])
def test_another_number_of_workers_is_refused(workers):
    with pytest.raises(UserError, match="workers must be at least 0, a whole number, got"):
        gym.make_vec("test/Orders-v0", 2, workers=workers)


def test_a_reward_that_fails_leaves_the_episodes_where_they_were(pairs):
    scores = []

    def sometimes(turns):
        return [float("nan")] * len(turns) if len(scores) == 1 else [1.0] * len(turns)

    env = TaskVectorEnv("toy_troubles:Orders", 3, reward=sometimes, workers=2)
    env.reset(seed=0)
    before = env.get_state()
    scores.append(0)
    with pytest.raises(RewardError):
        env.step(("on", "over", "cut"))
    assert env.get_state() == before
    scores.append(0)
    assert env.step(("on", "over", "on"))[2].tolist() == [False, True, False]
    env.close()


# What goes wrong in a worker.


def test_an_error_of_the_task_is_one_line_and_the_env_goes_on(pairs):
    _, env = pairs["orders"]
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(UserError) as caught:
        env.step(("on", "on", "on", "raise", "raise"))
    assert str(caught.value).startswith("in a worker process: KeyError: 'no page of this name' (")
    assert f"{toy_troubles.__file__}:" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" in caught.value.__notes__[0]  # for whoever debugs the task
    with pytest.raises(UserError, match=r"in a worker process: TypeError: cannot pickle '_thread.lock' object"):
        env.step(("on", "lock", "on", "on", "on"))
    assert env.get_state() == before
    env.step(("on",) * NUM_ENVS)


def test_a_class_that_a_worker_cannot_find_is_named():
    env = TaskVectorEnv(toy_troubles.local_class(), 2, workers=1)
    with pytest.raises(UserError, match=r"toy_troubles has no 'local_class\.<locals>\.Local'"):
        env.reset()
    env.close()


def test_a_worker_that_is_killed_is_one_line():
    env = gym.make_vec("test/Orders-v0", NUM_ENVS, workers=2, reward="toy_troubles:length")
    env.reset(seed=0)
    for _ in range(2):  # and again, whoever goes on with it
        with pytest.raises(
            UserError,
            match=r"worker process 2 of 2, which plays envs 3 to 4, has ended \(SIGKILL\); its episodes are lost",
        ):
            env.step(("on", "on", "on", "on", "die"))
    env.close()


def test_an_env_that_is_closed_in_the_middle_of_a_turn_says_nothing(capfd):
    env = gym.make_vec("test/Orders-v0", 2, workers=2, reward="toy_troubles:length")
    env.reset(seed=0)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            env.step(("nap", "nap"))
    finally:
        signal.signal(signal.SIGALRM, before)
    env.close()
    assert capfd.readouterr().err == ""


def test_ctrl_c_while_workers_start_says_nothing_in_them(capfd):
    before = set(multiprocessing.active_children())
    env = gym.make_vec("test/Orders-v0", 2, workers=2, reward="toy_troubles:length")
    for worker in set(multiprocessing.active_children()) - before:
        os.kill(worker.pid, signal.SIGINT)  # as a terminal does to all
    env.reset(seed=0)
    assert env.step(("on", "over"))[2].tolist() == [False, True]
    env.close()
    assert capfd.readouterr().err == ""


def test_copies_and_pickles_are_refused(pairs):
    with pytest.raises(UserError, match="worker processes cannot be copied or pickled"):
        copy.deepcopy(pairs["orders"][1].unwrapped)
    plain = pairs["orders"][0].unwrapped
    plain.reset(seed=0)
    twin = copy.deepcopy(plain)
    assert twin.task is plain.task
    assert_same(twin.step(("over",) * NUM_ENVS), plain.step(("over",) * NUM_ENVS))


def test_episodes_stand_alone():
    episodes = Episodes(toy_troubles.Orders(), 2)
    episodes.seed([0, 1])
    episodes.start({})
    assert [turn.response for turn in episodes.play(["on", "over"])] == ["on", "over"]
    assert list(episodes.settle(None).over) == [1]


SCRIPT = """
import sys, gymnasium as gym
import toy_troubles
from toy_troubles import Orders
if "own" in sys.argv:
    class Orders(Orders):
        pass
from envs.core import TaskVectorEnv
from perlhf.errors import run_command
def main():
    env = TaskVectorEnv(Orders, 3, reward="toy_troubles:length", workers=2)
    env.reset(seed=0)
    print(*[each.pid for each in __import__("multiprocessing").active_children()], flush=True)
    print(env.step(tuple(sys.argv[1].split(",")))[1].sum() * 7)
run_command(main)
"""


def start(tmp_path, *arguments):
    """Starts a script that has no `if __name__ == "__main__":` and plays one step in two workers."""
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    words = [sys.executable, str(tmp_path / "script.py"), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Who starts the tests in the background ignores SIGINT, and so would this process.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(words, env=environment, **pipes, start_new_session=True, preexec_fn=heed)


def is_running(pid):
    """Whether a process runs; one that has ended and that nobody has asked after yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_gone(pids, seconds=60):
    end = time.monotonic() + seconds
    while any(map(is_running, pids)):
        assert time.monotonic() < end, "a worker outlives the process that started it"
        time.sleep(0.05)


def test_a_script_needs_no_guard(tmp_path):
    out, errors = start(tmp_path, "on,on,over").communicate(timeout=120)
    assert out.splitlines()[1:] == ["8.0"], errors
    assert errors == ""


def test_a_task_of_the_script_itself_is_refused(tmp_path):
    process = start(tmp_path, "on,on,on", "own")
    assert process.communicate(timeout=120)[1] == (
        "error: task Orders is defined in the script that runs, which worker processes do not run again; "
        "move it to a module of its own, such as my_task.py, and import it from there.\n"
    )
    assert process.returncode == 2


def test_a_killed_worker_ends_a_command_with_one_line(tmp_path):
    process = start(tmp_path, "on,on,die")
    out, errors = process.communicate(timeout=120)
    assert errors.startswith("error: worker process 2 of 2, which plays envs 2 to 2, has ended (SIGKILL)")
    assert errors.count("\n") == 1
    assert process.returncode == 2
    assert_gone(out.split())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_no_worker_outlives_the_main_process_in_the_middle_of_a_turn(tmp_path, number):
    process = start(tmp_path, "on,on,hang")
    pids = process.stdout.readline().split()
    assert len(pids) == 2
    assert all(map(is_running, pids))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    assert errors == ""
    assert_gone(pids)


# Training.


def test_a_run_with_workers_goes_on_without(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)

    def algorithm(workers):
        env = make_vec_env("test/TwoTurns-v0", 3, seed=0, reward="toy_tasks:starts_with_i", workers=workers)
        settings_ = {"backbone": str(folder), "max_new_tokens": 4}
        return PPO("LoRAPolicy", env, batch_size=3, policy_kwargs=settings_, seed=0, device="cpu")

    straight, first = algorithm(0), algorithm(2)
    straight.learn(9)
    straight.save(folder / "straight")
    first.learn(3)  # in the middle of all episodes
    first.save(folder / "first")
    second = algorithm(0)
    set_state(second, *read_checkpoint(folder / "first"))
    second.learn(6, reset_num_timesteps=False)
    second.save(folder / "second")
    (tensors, state), (same_tensors, same_state) = (read_checkpoint(folder / name) for name in ("straight", "second"))
    assert all((tensors[name] == same_tensors[name]).all() for name in tensors | same_tensors)
    assert state["env"] == same_state["env"]
    first.env.close()
