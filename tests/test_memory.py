"""What a run is planned to hold is what it holds: weights by role to the byte, activations nearly."""

import pytest
import torch
from tiny_models import save_architecture, save_gemma, save_seeing_gemma

from agents import PPO, make_vec_env, train_ppo
from agents.hyperparameters import Hyperparameters, PolicySettings
from agents.memory_report import describe_plan, held_by, plan_of
from backbones.backbone import Backbone
from backbones.forward import chosen_log_probs, response_logits
from backbones.live_bytes import peak_bytes, saved_bytes
from backbones.memory import Held, MemoryPlan, RoleSettings, plan_memory, rows_that_fit, skeleton
from backbones.model.loading import BackboneError
from backbones.model.tokens import TokenBatch
from backbones.passes import Shape
from backbones.roles import LoRASettings
from benchmarks.memory_plan.runs import run
from benchmarks.memory_plan.settings import SETTINGS
from perlhf.run_folder import read_summary

SHAPE = Shape(prompt=24, response=16, rows=8, micro_batch=4)


def test_the_plan_of_a_small_gemma_by_hand(tmp_path):
    """Width 32, 2 layers, 4 heads of 8, feed-forward 96, in float32."""
    path = str(save_gemma(tmp_path))
    vocabulary = len(Backbone.load(path).tokenizer)
    norms = 2 * (4 * 32 + 2 * 8) + 32
    weights = 4 * (vocabulary * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 96) + norms)
    rank_8, rank_4 = (4 * 2 * 4 * rank * (32 + 32) for rank in (8, 4))
    plan = plan_memory(path, RoleSettings(LoRASettings(8), LoRASettings(4), LoRASettings(4)), SHAPE)
    head = 4 * 32
    assert plan.roles == {
        "reference": Held(weights),
        "policy": Held(rank_8, rank_8, 2 * rank_8),
        "value": Held(rank_4 + head, rank_4 + head, 2 * (rank_4 + head)),
        "reward": Held(rank_4 + head),
    }
    assert plan.cache == 2 * 2 * 32 * 4 * 8 * 40  # keys and values, layers, width, bytes, rows, tokens
    assert plan.merged == 4 * 2 * 4 * 32 * 32  # bytes, layers, projections
    assert (plan.sampled, plan.states, plan.images, plan.loading) == (0, 0, 0, 0)
    assert plan.checked == rank_8 + rank_4 + head
    assert plan.training == plan.checked + plan.activations + plan.backward
    assert plan.sampling == plan.merged + max(plan.cache, 24 * plan.cache // 40 + plan.reading)
    more = max(plan.sampling, plan.scoring, plan.training)
    assert plan.total == weights + 4 * rank_8 + 4 * (rank_4 + head) + rank_4 + head + more
    assert plan.four_models == 10 * weights + max(plan.cache, plan.activations)


def test_the_plan_of_what_saves_most_by_hand(tmp_path):
    """bf16 linear maps, the tied LM head among them; adapters on one of two layers; a head alone for V."""
    path = str(save_gemma(tmp_path))
    vocabulary = len(Backbone.load(path).tokenizer)
    norms, linear = 2 * (4 * 32 + 2 * 8) + 32, vocabulary * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 96)
    settings = LoRASettings(8, layers=1)
    plan = plan_memory(path, RoleSettings(settings, settings, None, value_is_shared=True), SHAPE, "mixed")
    rank_8, head = 4 * 4 * 8 * (32 + 32), 4 * 32
    assert plan.roles == {
        "reference": Held(2 * linear + 4 * norms),
        "policy": Held(rank_8, rank_8, 2 * rank_8),
        "value": Held(head, head, 2 * head),
    }
    assert plan.plain == 4 * (linear + norms)
    assert plan.merged == 0
    more = max(plan.cache, plan.activations)
    assert plan.four_models == 10 * plan.plain + more
    assert plan.loading == plan.roles["reference"].weights + plan.plain  # the file in float32, and what is made of it
    everywhere = plan_memory(path, RoleSettings(LoRASettings(8), settings, None), SHAPE)
    assert plan.activations < everywhere.activations


def test_states_below_the_adapters_are_kept_for_a_whole_rollout(tmp_path):
    path, half = str(save_gemma(tmp_path)), LoRASettings(8, layers=1)
    plan = plan_memory(path, RoleSettings(half, half, None), SHAPE._replace(rollout=20))
    assert plan.states == 20 * 41 * 4 * 32  # rows, tokens and an end token, bytes, width
    assert plan.sampled == 8 * 41 * 4 * 32
    least = plan.merged + plan.cache + plan.sampled + plan.states
    assert plan.sampling == max(least, plan.merged + 24 * (plan.cache + plan.sampled) // 40 + plan.reading)
    everywhere = plan_memory(path, RoleSettings(LoRASettings(8), half, None), SHAPE._replace(rollout=20))
    assert (everywhere.states, everywhere.sampled) == (0, 0)


def test_equal_prompts_are_read_once_and_layers_that_run_again_keep_less(tmp_path):
    path, roles = str(save_gemma(tmp_path)), RoleSettings(LoRASettings(8), LoRASettings(8), None)
    each, once = (plan_memory(path, roles, SHAPE._replace(prompts=prompts)) for prompts in (0, 2))
    assert once.reading * 4 == pytest.approx(each.reading, rel=0.1)
    again = plan_memory(path, roles, SHAPE._replace(response=4), checkpointing=True)
    assert again.training < plan_memory(path, roles, SHAPE._replace(response=4)).training


def test_images_are_read_with_the_prompts_and_their_pixels_kept_while_training(tmp_path):
    path = str(save_seeing_gemma(tmp_path))
    blind, seeing = (LoRASettings(8, vision=vision) for vision in (False, True))
    plan, adapted = (plan_memory(path, RoleSettings(lora, lora, None), SHAPE) for lora in (blind, seeing))
    pixels = 3 * 32 * 32 * 4
    assert plan.images == 4 * pixels
    assert plan.reading > 8 * pixels
    assert adapted.images > plan.images
    assert plan.states == 0


def test_full_training_copies_the_model_for_policy_and_value(tmp_path):
    plan = plan_memory(str(save_gemma(tmp_path)), RoleSettings(None, None, None), SHAPE)
    base = plan.roles["reference"].weights
    assert plan.roles["policy"] == Held(base, base, 2 * base)
    assert plan.roles["value"].weights == base + 4 * 32
    assert "reward" not in plan.roles


@pytest.mark.parametrize("name", ["Llama", "Qwen3", "OPT", "Granite", "GPTNeoX", "Phi", "Phi3", "GPT2", "sees"])
def test_the_plan_is_what_autograd_keeps(name, tmp_path):
    path = str(save_seeing_gemma(tmp_path) if name == "sees" else save_architecture(name, tmp_path))
    plan = plan_memory(path, RoleSettings(LoRASettings(8), LoRASettings(4), None), SHAPE)
    backbone = Backbone.load(path)
    role = backbone.add_role("policy", LoRASettings(8))
    assert plan.roles["reference"].weights == 4 * backbone.parameter_count
    assert plan.roles["policy"].weights == 4 * sum(p.numel() for p in role.parameters().values())
    batch = TokenBatch.of([[5] * 24] * 4, [[6] * 16] * 4, backbone.pad_id, backbone.device)
    with role.active() as model:
        weights = {p.untyped_storage()._cdata for p in model.parameters()}
        kept = saved_bytes(lambda: chosen_log_probs(response_logits(model, batch, 1.0), batch.response_ids), weights)
    assert plan.activations == pytest.approx(kept, rel=0.2)


def test_a_storage_counts_once_and_weights_do_not():
    weight = torch.ones(3, requires_grad=True)
    x = torch.ones(3)
    assert saved_bytes(lambda: (weight * x) * x, {weight.untyped_storage()._cdata}) == 12
    assert saved_bytes(lambda: (weight * x) * x) == 12  # x alone is kept, for the gradient of the weight
    assert saved_bytes(lambda: weight.exp()) == 12


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_peak_is_what_is_there_at_once(device):
    x = torch.ones(1000, device=device)
    weight = torch.ones(1000, device=device, requires_grad=True)
    but = {t.untyped_storage()._cdata for t in (x, weight)}

    def one_after_the_other():
        y = x * 2
        y = y + 1  # while it is computed, there are two
        return (y * 3).view(10, 100)

    assert peak_bytes(one_after_the_other, but) == 8000
    assert peak_bytes(lambda: x.mul_(2).view(10, 100), but) == 0
    # Two of exp are kept, with the sum and its gradient; then there are two and the gradient of one, 3 times 4,000.
    assert peak_bytes(lambda: (weight * x).exp().exp().sum().backward(), but) == 12008


def test_nothing_is_loaded_for_a_plan(tmp_path):
    path = save_gemma(tmp_path)
    (path / "model.safetensors").unlink()
    assert plan_memory(str(path), RoleSettings(LoRASettings(8), LoRASettings(4), None), SHAPE).total > 0
    assert {p.device.type for p in skeleton(str(path)).parameters()} == {"meta"}


def test_a_backbone_without_a_sound_config_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackboneError, match="has no config to plan with: ") as caught:
        skeleton(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_does_not_run_without_weights_is_one_line_and_can_be_trained(tmp_path, monkeypatch):
    path = str(save_architecture("Mixtral", tmp_path))
    with pytest.raises(BackboneError, match="leave out --memory-report") as caught:
        plan_memory(path, RoleSettings(LoRASettings(8), LoRASettings(4), None), SHAPE)
    assert "\n" not in str(caught.value)
    role = Backbone.load(path).add_role("policy", LoRASettings(8))
    monkeypatch.setattr("backbones.memory.SMALL", 0)
    of_row = 68 * 2 * 32 * 40  # two layers, width 32, 40 tokens
    monkeypatch.setattr("backbones.memory.free_bytes", lambda: 4 * 5 * of_row)  # a quarter of it
    assert rows_that_fit(role, 40, 16) == 5


def test_what_roles_hold_after_an_update_is_what_was_planned(tmp_path):
    path = str(save_gemma(tmp_path))
    env = make_vec_env("HH-v0", 4, reward="gold")
    algorithm = PPO("LoRAPolicy", env, batch_size=4, policy_kwargs={"backbone": path, "max_new_tokens": 4}, seed=0)
    algorithm.learn(4)
    options = train_ppo.Options(reward="gold", n_envs=4, max_new_tokens=4)
    planned = plan_of(options, Hyperparameters(), options.n_envs, options.reward, path)
    assert held_by(algorithm.policy, None) == planned.roles


@pytest.mark.parametrize("how", [{}, {"value_adapter": "shared", "lora_layers": "half", "n_envs": 24}])
def test_a_run_takes_at_most_what_was_planned(how, tmp_path):
    """Tensors that are there at once, which is not what the process holds: at this size that is libraries."""
    path, n_envs = str(save_gemma(tmp_path)), how.pop("n_envs", 8)
    settings = {"backbone": path, "max_new_tokens": 16, "max_prompt_tokens": 64, **how}
    env = make_vec_env("HH-v0", n_envs, reward="gold")
    algorithm = PPO("LoRAPolicy", env, batch_size=8, micro_batch_size=4, policy_kwargs=settings, seed=0, device="cpu")
    model, roles = algorithm.policy.backbone.model, sum(p.nbytes for p in algorithm.policy.parameters())
    weights = {p.untyped_storage()._cdata for p in [*model.parameters(), *algorithm.policy.parameters()]}
    taken = peak_bytes(lambda: algorithm.learn(2 * n_envs), weights)
    rows = Hyperparameters(batch_size=8, micro_batch_size=4)
    plan = plan_of(PolicySettings(**settings), rows, n_envs, "gold", path)
    assert plan.total - plan.base - roles == pytest.approx(taken, rel=0.25)


@pytest.mark.long
@pytest.mark.parametrize("name", SETTINGS)
def test_eight_runs_take_what_was_planned(name, tmp_path):
    assert run(tmp_path, name).ratio == pytest.approx(1, abs=0.15)


def test_the_table_says_every_role_and_the_sum():
    mb = 2**20
    plan = MemoryPlan({"reference": Held(10 * mb), "policy": Held.trained(mb)}, 10 * mb, 3 * mb, 2 * mb, 6 * mb)
    assert describe_plan(plan).split("\n") == [
        "planned, MB    weights gradients      Adam",
        "reference         10.0       0.0       0.0",
        "policy             1.0       1.0       2.0",
        "while sampling 5 (keys and values 3, merged weights 2)",
        "while training 6 (activations 6)",
        "at most 20 in all beside the libraries; as four models, two of them trained in full, 106 (0.19 of that)",
    ]


def test_the_command_says_it_before_it_loads_and_in_its_summary(tmp_path, capsys):
    few = {"total_timesteps": 4, "n_envs": 4, "batch_size": 4, "eval_prompts": 0, "max_new_tokens": 4, "threads": 1}
    train_ppo.train(
        train_ppo.Options(
            backbone=str(save_gemma(tmp_path / "g")), reward="gold", memory_report=True,
            output_dir=str(tmp_path / "run"), **few,
        )
    )  # fmt: skip
    assert capsys.readouterr().out.startswith("planned, MB    weights gradients      Adam\n")
    memory = read_summary(tmp_path / "run")["memory"]
    assert memory["held"] == memory["planned"]
    assert memory["planned_total"] < 0.2 * memory["planned_four_models"] + memory["planned_activations"]
