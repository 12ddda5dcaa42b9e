"""Training, sampling, resuming and evaluation on a GPU, or on one that only pretends: see tests/pretend_device.py.

`pytest tests/test_pretend_device.py --device cuda` runs the same on a real one.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretend_device import DeviceMismatchError, is_there, pretend_device
from tiny_models import save_gemma, save_seeing_gemma

from agents import PPO, make_vec_env, preflight, train_ppo, train_sft
from agents.rollout import Rollout
from backbones.backbone import Backbone
from backbones.generate import generate
from backbones.model.tokens import TokenBatch
from backbones.roles import LoRASettings
from evaluation import evaluate
from rewards import train_reward_model

LETTER = "toy_tasks:starts_with_i"
WHOLE = {
    "HH, the default reward": ("HH-v0", None, {}, {}),
    "half, shared": (
        "HH-v0", None,
        {"lora_layers": "half", "value_adapter": "shared"},
        {"n_steps": 2, "ent_coef": 0.01, "kl_target": 1.0, "normalize_scores": True, "n_epochs": 2},
    ),
    "half, mixed": ("HH-v0", None, {"lora_layers": "half", "precision": "mixed"}, {}),
    "bf16": ("HH-v0", None, {"precision": "bf16"}, {}),
    "dora": ("HH-v0", LETTER, {"lora_variant": "dora"}, {}),
    "pissa": ("HH-v0", LETTER, {"lora_init": "pissa", "lora_targets": "all-linear"}, {}),
    "images": ("VQAv2-v0", "gold", {}, {}),
    "a phone": ("UINav-v0", "gold", {}, {"n_steps": 3}),
    "groups": ("HH-v0", "toy_tasks:letters", {}, {"algorithm": "grpo", "group_size": 3, "n_steps": 1}),
    "all weights": ("HH-v0", LETTER, {"full": True}, {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def there(request):
    """What "cuda" needs: nothing where it is real."""
    if request.config.getoption("--device") == "cuda":
        if not torch.cuda.is_available():
            pytest.fail("--device cuda: there is none here; --device pretend needs none.")
        return nullcontext
    return pretend_device


@pytest.fixture(scope="module")
def is_real(request):
    return request.config.getoption("--device") == "cuda"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"text": str(save_gemma(folder / "text")), "images": str(save_seeing_gemma(folder / "images"))}


@contextmanager
def alone():
    """Has no backbone in memory before and after it."""
    Backbone.release_all()
    yield
    Backbone.release_all()


def ppo(case, paths, device, n_envs=6):
    env, reward, of_policy, others = WHOLE[case]
    path = {"VQAv2-v0": paths["images"]}.get(env, paths["text"]) if reward else "tiny"  # which has a reward model
    options = {} if reward is None else {"reward": reward}
    settings = {"backbone": path, "max_new_tokens": 6, **of_policy}
    envs = make_vec_env(env, n_envs, seed=0, **options)
    return PPO("LoRAPolicy", envs, policy_kwargs=settings, batch_size=4, seed=0, device=device, **others)


def weights(algorithm):
    return torch.cat([p.detach().cpu().flatten() for _, p in sorted(algorithm.policy.named_parameters())])


@pytest.mark.parametrize("case", WHOLE)
def test_ppo_learns_what_it_learns_on_the_cpu(case, paths, there, is_real):
    with alone():
        cpu = ppo(case, paths, "cpu")
        start = weights(cpu)
        cpu.learn(6 * cpu.n_steps)
        expected, said = weights(cpu), cpu.rollout.responses
    with alone(), there() as device:
        algorithm = ppo(case, paths, "cuda")
        assert algorithm.policy.backbone.device == torch.device("cuda:0")
        assert all(p.device == torch.device("cuda:0") for p in algorithm.policy.parameters())
        algorithm.learn(6 * algorithm.n_steps)
        assert all(check.passed for check in algorithm.preflight_checks)
        got, same = weights(algorithm), algorithm.rollout.responses == said
        assert isinstance(algorithm.policy.predict(algorithm.last_observation, deterministic=True)[0][0], str)
    if device is not None:
        assert device.operations > 3000
        assert same
    if device is not None and algorithm.policy.backbone.precision == "fp32":
        assert torch.allclose(expected, got, atol=1e-5)
    elif (
        same
    ):  # bf16 rounds a last bit into its eighth; a token between two others may be drawn as another on a real one
        assert float((expected - got).norm()) <= 0.05 * float((expected - start).norm())
    assert float((expected - start).norm()) > 0


@pytest.mark.parametrize(("saved_on", "loaded_on"), [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device(saved_on, loaded_on, paths, there, tmp_path):
    case = "dora"
    with alone():
        straight = ppo(case, paths, "cpu")
        straight.learn(12)
        expected = weights(straight)
    with alone(), there() as device:
        first = ppo(case, paths, saved_on)
        first.learn(6)
        first.save(tmp_path / "saved")
        Backbone.release_all()
        again = PPO.load(tmp_path / "saved", make_vec_env("HH-v0", 6, reward=LETTER), device=loaded_on)
        assert again.policy.backbone.device.type == loaded_on
        again.learn(6, reset_num_timesteps=False)
        got = weights(again)
    if device is not None:
        assert torch.allclose(expected, got, atol=1e-5)


def test_the_commands_train_and_evaluate(paths, there, tmp_path, capsys):
    common = {"env": "HH-v0", "backbone": paths["text"], "threads": 1, "device": "cuda", "batch_size": 8}
    with alone(), there() as device:
        merged = train_sft.train(train_sft.Options(
            **common, records=16, eval_records=8, output_dir=str(tmp_path / "sft")
        ))  # fmt: skip
        on_it = {**common, "backbone": str(merged)}
        for start in ("random", "probe"):
            model = train_reward_model.train(train_reward_model.Options(
                **on_it, pairs=24, eval_pairs=12, start=start, policy_pairs=4, lora_layers="half", epochs=2,
                output_dir=str(tmp_path / start),
            ))  # fmt: skip
            assert model.role.backbone.device == torch.device("cuda:0")
        Backbone.release_all()  # what is read again is read onto the device
        run = str(tmp_path / "run")
        train_ppo.train(train_ppo.Options(
            **on_it, reward=str(tmp_path / "random"), total_timesteps=8, n_envs=8, max_new_tokens=6, eval_prompts=4,
            output_dir=run,
        ))  # fmt: skip
        said = capsys.readouterr().out
        assert said.count("device: cuda:0, precision: fp32\n") == 4
        with pytest.MonkeyPatch.context() as patched:
            arguments = [
                "evaluate",
                run,
                "--prompts",
                "4",
                "--validation-prompts",
                "4",
                "--samples",
                "2",
                "--device",
                "cuda",
            ]
            patched.setattr("sys.argv", arguments)
            evaluate.main()
    assert device is None or device.operations > 10_000


def test_greedy_samples_are_those_of_the_cpu(paths, there, is_real):
    prompts = [[5, 6, 7], [8, 9], [3, 4, 5, 6, 7, 8]]
    with alone():
        expected = generate(Backbone.load(paths["text"], "cpu").reference, prompts, 8, 0.0)
    with alone(), there():
        backbone = Backbone.load(paths["text"], "cuda")
        assert is_real or is_there(backbone.model.get_input_embeddings().weight)
        assert generate(backbone.reference, prompts, 8, 0.0) == expected


@pytest.mark.parametrize(
    ("device", "gap", "passes"), [("cpu", 1e-6, False), ("cuda", 1e-6, True), ("cuda", 1e-3, False)]
)
def test_what_is_exactly_0_on_the_cpu_may_be_rounding_elsewhere(device, gap, passes, paths, there):
    with alone(), there():
        algorithm = ppo("dora", paths, device, n_envs=2)
        algorithm.learn(2)
        rollout = algorithm.rollout
        fresh = ppo("dora", paths, device, n_envs=2)
        shifted = replace(rollout, reference_log_probs=rollout.old_log_probs + gap)
        checks = preflight.before_update(fresh.policy, shifted, algorithm.score_settings, fresh=True)
    assert {check.question: check.passed for check in checks[:2]} == {
        "reference equals policy": passes, "KL is exactly 0": passes
    }  # fmt: skip


# Whether the pretend device sees what it is there for: bugs that are put in, and the line that it names.


def a_batch_on_the_cpu(algorithm, patched):
    def batch(self, prompts, responses):
        return TokenBatch.of(prompts, responses, self.pad_id, torch.device("cpu"), self.frozen_states)

    patched.setattr(Backbone, "batch", batch)


def a_part_of_the_rollout_on_the_cpu(algorithm, patched):
    part = Rollout.part

    def half_moved(self, rows, policy):
        moved = part(self, rows, policy)
        return moved._replace(old_log_probs=self.old_log_probs[rows, : moved.batch.length])

    patched.setattr(Rollout, "part", half_moved)


def figures_that_are_not_fetched(algorithm, patched):
    patched.setattr(torch.Tensor, "cpu", lambda self: self)


def an_adapter_that_is_not_moved(algorithm, patched):
    next(iter(algorithm.policy.policy_role.layers.values())).lora_B["policy"].to("cpu")


BUGS = {
    a_batch_on_the_cpu: r"backbones/\w+.*\.py:\d+: aten.embedding",
    a_part_of_the_rollout_on_the_cpu: r"agents/algorithms/functional.py:\d+: aten",
    figures_that_are_not_fetched: r"(backbones|rewards|agents)/\w+.*\.py:\d+: ",
    an_adapter_that_is_not_moved: r"backbones/\w+.*\.py:\d+: aten",
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_pretend_device_names_a_bug(bug, paths):
    with alone(), pretend_device(), pytest.MonkeyPatch.context() as patched:
        algorithm = ppo("dora", paths, "cuda")
        bug(algorithm, patched)
        with pytest.raises(DeviceMismatchError, match=BUGS[bug]):
            algorithm.learn(6)


def test_it_names_a_head_and_an_array(paths):
    with alone(), pretend_device():
        backbone = Backbone.load(paths["text"], "cuda")
        role = backbone.add_role("value", LoRASettings(4), head=True)
        role.head.to("cpu")
        states = torch.zeros(2, 32, device="cuda")
        with pytest.raises(DeviceMismatchError, match=r"tests/test_pretend_device.py:\d+: aten"):
            role.head(states)
        with pytest.raises(DeviceMismatchError, match="numpy of a tensor on cuda:0"):
            states.numpy()
        with pytest.raises(DeviceMismatchError, match="numpy of a tensor on cuda:0"):
            np.asarray(states)


def test_it_has_the_rules_of_cuda():
    with pretend_device():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert (there + torch.tensor(1.0)).device == torch.device("cuda:0")  # of no dimension
        assert there[torch.tensor([0, 1])].is_cuda  # a CPU's index
        assert here.copy_(there).device == torch.device("cpu")
        assert there.new_zeros(2).is_cuda
        assert torch.zeros_like(there).is_cuda
        assert there[1:].is_cuda  # a view
        for wrong in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: here[torch.tensor([0], device="cuda")],
            lambda: here + torch.tensor(1.0, device="cuda"),
            lambda: here.__setitem__([0, 1], there[:2]),
        ):
            with pytest.raises(DeviceMismatchError, match=r"tests/test_pretend_device.py:\d+: "):
                wrong()
        leaf = torch.ones(2, requires_grad=True)
        (leaf.to("cuda") * 2).sum().backward()
        assert not leaf.grad.is_cuda
