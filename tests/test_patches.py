"""What hooks into torch, peft and transformers stands in one folder, and does on this version what the plain path does.

The first file to run after an upgrade of one of them: a few seconds, one test for each patch.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import save_architecture, save_gemma
from torch import nn
from transformers import DynamicCache

from backbones import Backbone, LoRASettings, generate
from backbones.draws import row_seeds
from backbones.forward import log_probs_of, packed_end_states, packed_end_states_and_sums, response_states
from backbones.memory import RoleSettings, plan_memory, skeleton
from backbones.model.anatomy import cache_argument, decoder_layers
from backbones.model.loading import LoadSettings, load_model
from backbones.model.tokens import Piece, TokenBatch
from backbones.passes import Shape
from backbones.shortcuts.growing_cache import growing_cache, grows
from backbones.shortcuts.head_states import HeadRule, head_rule, states_at_the_head, without_head
from backbones.shortcuts.low_rank import UpProjection
from backbones.shortcuts.packing import Packed
from backbones.shortcuts.precision import HalfLinear
from backbones.shortcuts.sampled_states import SampledStates
from backbones.shortcuts.shared_lines import shared_lines
from backbones.shortcuts.skipped_layers import skipped, states_after
from backbones.shortcuts.top_mlp import top_mlp_at

ROOT = Path(__file__).parents[1]
SHORTCUTS = ROOT / "backbones" / "shortcuts"
FILES = [p for package in ("perlhf", "envs", "backbones", "rewards", "agents", "evaluation", "integrations")
         for p in sorted((ROOT / package).rglob("*.py"))]  # fmt: skip
PATCHED = {"torch", "peft", "transformers", "tokenizers", "safetensors"}
IDS = torch.tensor([[3, 4, 5, 6], [5, 3, 6, 4]])
ROWS = IDS.tolist()


# Where patches may stand.


def roots(tree):
    """Which library each name of a module is of: {"LlamaModel": "transformers"}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name.split(".")[0]): alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(alias.asname or alias.name): node.module.split(".")[0] for alias in node.names}
    return found


def first_name(node):
    """ "a" of a.b[0].c."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def targets(node):
    """What a statement assigns or deletes."""
    given = getattr(node, "targets", [])  # of an assignment or a deletion
    if isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For):
        given = [node.target]
    every = [each for target in given for each in ast.walk(target)]
    return [each for each in every if isinstance(getattr(each, "ctx", None), ast.Store | ast.Del)]


def patches(tree):
    """Descriptions of all in a module that changes what is torch's, peft's or transformers' own."""
    libraries = roots(tree)

    def foreign(node):
        return libraries.get(first_name(node)) in PATCHED

    for node in ast.walk(tree):
        for target in targets(node):
            if isinstance(target, ast.Attribute) and target.attr in ("__class__", "forward"):
                yield f".{target.attr} ="
            elif isinstance(target, ast.Attribute | ast.Subscript) and foreign(target):
                yield ast.unparse(target)
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else first_name(node.func)
            if re.fullmatch(r"register_(\w+_)?hook", name):
                yield name
            elif name == "register" and isinstance(node.func, ast.Attribute) and foreign(node.func):
                yield ast.unparse(node.func)
            elif name in ("setattr", "delattr", "__setattr__") and node.args:
                about = [ast.literal_eval(arg) for arg in node.args if isinstance(arg, ast.Constant)]
                if foreign(node.args[0]) or {"__class__", "forward"} & set(map(str, about)):
                    yield name


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_shortcuts_patch_other_libraries(path):
    if SHORTCUTS not in path.parents:
        assert not list(patches(parse(path)))


@pytest.mark.parametrize(
    "code",
    [
        "module.__class__ = Half",
        "a, layer.forward = 1, f",
        "del layer.forward",
        "model.get_input_embeddings().register_forward_hook(f)",
        "tensor.register_hook(f)",
        "module.register_full_backward_hook(f)",
        "register_module_forward_hook(f)",
        "from transformers import AttentionInterface\nAttentionInterface.register('x', f)",
        "import transformers\ntransformers.AutoModel.register(C, M)",
        "from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as A\nA['x'] = f",
        "import torch\ntorch.nn.Linear.extra_repr = f",
        "import torch.nn.functional as F\nF.linear = f",
        "from peft import LoraModel\nsetattr(LoraModel, 'delete_adapter', f)",
        "setattr(layer, 'forward', f)",
        "object.__setattr__(layer, '__class__', C)",
    ],
)
def test_the_rule_sees_what_it_forbids(code):
    assert list(patches(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "self.weight = w",
        "import gymnasium\ngymnasium.register(id='x')",
        "import torch\nx[torch.arange(2)] = torch.zeros(1)",
    ],
)
def test_the_rule_leaves_other_code_alone(code):
    assert not list(patches(ast.parse(code)))


def test_every_shortcut_says_what_it_patches_and_is_in_the_list():
    files = {path.stem for path in SHORTCUTS.glob("*.py")} - {"__init__"}
    overview = ast.get_docstring(parse(SHORTCUTS / "__init__.py"))
    assert set(re.findall(r"^\| (\w+) \|", overview, re.MULTILINE)) - {"file"} == files
    for name in files:
        assert "\nPatched" in ast.get_docstring(parse(SHORTCUTS / f"{name}.py"))
        assert f"def test_{name}" in Path(__file__).read_text(encoding="utf-8")


# What each of them does on the versions that are installed.


@pytest.fixture(scope="module", params=["Gemma3", "Llama"])
def backbone(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return Backbone.load(str(save_gemma(folder) if request.param == "Gemma3" else save_architecture("Llama", folder)))


@pytest.fixture(autouse=True)
def _nothing_is_left(request):
    """Afterwards no module of the backbone has a hook or a forward of its own."""
    yield
    if "backbone" in request.fixturenames:
        for module in request.getfixturevalue("backbone").model.modules():
            assert "forward" not in vars(module)
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


def perturbed(backbone, **settings):
    role = backbone.add_role("reward", LoRASettings(4, **settings), head=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return role


def close(one, other, tolerance=1e-5):
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@torch.no_grad()
def plain_states(backbone):
    with backbone.reference.active() as model:
        return model.base_model(input_ids=IDS, use_cache=False).last_hidden_state


def ran(module, forwards):
    """How often a module runs in there."""
    calls = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    forwards()
    hook.remove()
    return len(calls)


@torch.no_grad()
def test_frozen_states(backbone):
    plain, lowest = plain_states(backbone), decoder_layers(backbone.model)[0].mlp
    with backbone.frozen_states.kept(1), backbone.reference.active() as model:
        backbone.frozen_states.states(ROWS)
        with backbone.frozen_states.replayed([Piece(row, i, 0) for i, row in enumerate(ROWS)], (2, 4)):
            above = []
            assert not ran(lowest, lambda: above.append(model.base_model(input_ids=IDS, use_cache=False)))
    close(above[0].last_hidden_state, plain)


@torch.no_grad()
def test_skipped_layers(backbone):
    other = load_model(backbone.path)  # a plain model keeps hooks of its own of what follows
    plain = other(input_ids=IDS, output_hidden_states=True, use_cache=False)
    with backbone.reference.active() as model:
        layers = decoder_layers(model)
        with states_after(layers, [1], the_rest=False) as caught:
            assert not ran(layers[1].mlp, lambda: model.base_model(input_ids=IDS, use_cache=False))
        close(caught[1], plain.hidden_states[1])
        with skipped(layers[:1], lambda: False, plain.hidden_states[1]):
            close(model(input_ids=IDS, use_cache=False).logits, plain.logits)


@torch.no_grad()
def test_sampled_states(backbone):
    with backbone.frozen_states.kept(1), backbone.reference.active() as model:
        sampled = SampledStates(backbone.frozen_states, [row[:3] for row in ROWS], 1, backbone.end_ids)
        cache = {cache_argument(model): DynamicCache(config=model.config)}
        for columns in (slice(0, 3), slice(3, 4)):
            with sampled.reading([0, 1]):
                model(input_ids=IDS[:, columns], use_cache=True, **cache)
        sampled.hand_over([row[3:] for row in ROWS])
        lowest = decoder_layers(model)[0].mlp
        kept = []
        assert not ran(lowest, lambda: kept.extend(backbone.frozen_states.states(ROWS)))
    with backbone.frozen_states.kept(1):
        for one, other in zip(kept, backbone.frozen_states.states(ROWS), strict=True):
            close(one, other)


def test_equal_prompts(backbone):
    """A model goes on from repeated rows of its cache, and what each says is what it says alone."""
    assert backbone.repeats_rows
    prompts, seeds = [ROWS[0], ROWS[1], ROWS[0]], row_seeds(0, range(3), 0)
    alone = [generate(backbone.reference, [p], 4, 1.0, [s])[0] for p, s in zip(prompts, seeds, strict=True)]
    assert generate(backbone.reference, prompts, 4, 1.0, seeds) == alone


@torch.no_grad()
def test_shared_lines(backbone):
    prompts, responses = [ROWS[0] * 5] * 3, [[7, 8], [9], [3, 4]]
    batch = shared_lines(backbone, prompts, responses)
    assert len(batch.input_ids) == 1
    with backbone.reference.active() as model:
        together = response_states(model, batch)
        for states, response in zip(together, responses, strict=True):
            alone = response_states(model, backbone.batch(prompts[:1], [response]))[0]
            close(states[: len(response)], alone)


@torch.no_grad()
def test_top_mlp(backbone):
    plain, seen = plain_states(backbone), []
    with backbone.reference.active() as model:
        with top_mlp_at(model, (slice(None), slice(-1, None))):
            pass  # so that the model is known
        hook = decoder_layers(model)[-1].mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
        with top_mlp_at(model, (slice(None), slice(-1, None))):
            states = model.base_model(input_ids=IDS, use_cache=False).last_hidden_state
        hook.remove()
    assert seen[0][:2] == (2, 1)
    close(states[:, -1], plain[:, -1])


@torch.no_grad()
def test_head_states(backbone):
    with backbone.reference.active() as model, states_at_the_head(model) as caught:
        logits = model(input_ids=IDS, use_cache=False).logits
    close(model.get_output_embeddings()(caught[0]), logits)


def test_from_start(backbone):
    """An adapter that began as its map's principal part adds nothing at first, and then what it has moved by."""
    role = backbone.add_role("policy", LoRASettings(4, init="pissa"))
    layer = next(iter(role.layers.values()))
    a, b = layer.lora_A[role.adapter].weight, layer.lora_B[role.adapter].weight
    x = torch.randn(2, 3, a.shape[1], generator=torch.Generator().manual_seed(0))
    with role.active():
        plain = layer.get_base_layer()(x)
        assert torch.equal(layer(x), plain)
        moved = 0.1 * b.detach()
        b.data += moved
        close(layer(x) - plain, x @ a.T @ moved.T * layer.scaling[role.adapter], 1e-4)
    with backbone.reference.active():
        assert torch.equal(layer(x), plain)


def test_a_head_that_is_left_out(backbone):
    with backbone.reference.active() as model:
        assert head_rule(model) == HeadRule()
        with states_at_the_head(model) as caught:
            model(input_ids=IDS, use_cache=False)
        with without_head(model) as alone:
            model(input_ids=IDS, use_cache=False)
    close(alone[0], caught[0])


@pytest.mark.parametrize("name", ["Gemma3", "Llama"])
def test_checkpointed(name, tmp_path):
    path = str(save_gemma(tmp_path) if name == "Gemma3" else save_architecture("Llama", tmp_path))
    found = []
    for again in (False, True):
        backbone = Backbone.load(path, settings=LoadSettings(gradient_checkpointing=again))
        role = perturbed(backbone)
        with role.active() as model:
            batch = TokenBatch.of([row[:2] for row in ROWS], [row[2:] for row in ROWS], 0, backbone.device)
            response_states(model, batch).square().sum().backward()
        found.append([parameter.grad for parameter in role.body_parameters().values()])
        layers = decoder_layers(backbone.model)
        assert ["forward" in vars(layer) for layer in layers] == [again] * (len(layers) - 1) + [False]
    for plain, checkpointed in zip(*found, strict=True):
        close(plain, checkpointed)


def test_low_rank(backbone):
    role = perturbed(backbone)
    ups = [layer.lora_B[role.adapter] for layer in role.layers.values()]
    assert {type(up) for up in ups} == {UpProjection}
    batch = TokenBatch.of([row[:2] for row in ROWS], [row[2:] for row in ROWS], backbone.pad_id, backbone.device)
    found = []
    for kind in (UpProjection, nn.Linear):
        for up in ups:
            up.__class__ = kind
        with role.active() as model:
            response_states(model, batch).square().sum().backward()
        found.append([parameter.grad for parameter in role.body_parameters().values()])
        for parameter in role.parameters().values():
            parameter.grad = None
    for thin, plain in zip(*found, strict=True):
        assert plain.abs().max() > 0
        close(thin, plain, 1e-4)


def test_merging_of_peft_adapters_that_sampling_stands_on(backbone):
    role = perturbed(backbone)
    prompts, responses = [row[:2] for row in ROWS], [row[2:] for row in ROWS]
    plain = log_probs_of(role, prompts, responses)
    batch = TokenBatch.of(prompts, responses, backbone.pad_id, backbone.device)
    with torch.no_grad(), role.active() as model:
        adapted = model(input_ids=IDS).logits
        with role.merged() as model:
            close(model(input_ids=IDS).logits, adapted, 1e-4)
            assert not ran(next(iter(role.layers.values())).lora_A, lambda: model(input_ids=batch.input_ids))
    assert torch.equal(log_probs_of(role, prompts, responses), plain)


def test_precision(backbone):
    half = Backbone.load(backbone.path, settings=LoadSettings("mixed"))
    kinds = {type(module) for module in half.model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {HalfLinear}
    states = plain_states(half)
    assert states.dtype == torch.float32
    close(states, plain_states(backbone), 0.1)  # bf16 has three digits


GROWTH_OF_PRODUCTS = """
import torch
from backbones.model.devices import keep_few_kernels
from perlhf.measure import peak_rss_mb

torch.set_num_threads(1)
keep_few_kernels()
weights = [torch.zeros(shape, dtype=torch.bfloat16) for shape in ((128, 128), (384, 128), (128, 384))]
before = peak_rss_mb()
for rows in range(500, 900):  # 1,200 shapes
    for weight in weights:
        torch.nn.functional.linear(torch.zeros(rows, weight.shape[1], dtype=torch.bfloat16), weight)
print(peak_rss_mb() - before)
"""


def test_precision_keeps_few_kernels_of_the_shapes_that_it_meets():
    # 750 MB without, where the CPU has bf16; 64 with.
    done = subprocess.run([sys.executable, "-c", GROWTH_OF_PRODUCTS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200


@torch.no_grad()
def test_growing_cache(backbone):
    with backbone.reference.active() as model:
        whole = model(input_ids=IDS, use_cache=False).logits
        cache = growing_cache(model.config, 6)
        for column in range(4):
            given = {cache_argument(model): cache}
            logits = model(input_ids=IDS[:, column : column + 1], use_cache=True, **given).logits
            close(logits[:, 0], whole[:, column])
    assert cache.get_seq_length() == 4


@torch.no_grad()
def test_packing(backbone):
    assert backbone.packs
    rows = [(row[:2], row[2:]) for row in (ROWS[0], [3, 4, 9])]
    with backbone.reference.active() as model:
        packed = Packed.of(rows, 2, backbone)
        states, sums = packed_end_states_and_sums(model, packed)
        close(packed_end_states(model, packed), states)
        for (prompt, response), state in zip(rows, states, strict=True):
            ids = torch.tensor([[*prompt, *response]])
            close(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, -1], state)
    close(log_probs_of(backbone.reference, *zip(*rows, strict=True)).sum(1), sums)


def test_shared_prefix(backbone):
    assert backbone.shares_prefixes == grows(backbone.model.config)  # Gemma3 has layers with a window of attention


def test_planned_attention(backbone):
    with torch.no_grad():
        logits = skeleton(backbone.path)(input_ids=torch.zeros(2, 5, dtype=torch.long, device="meta")).logits
    assert logits.shape[:2] == (2, 5)
    plan = plan_memory(backbone.path, RoleSettings(LoRASettings(4), LoRASettings(4), None), Shape(4, 2, 2, 2))
    assert plan.roles["reference"].weights == 4 * backbone.parameter_count
    assert plan.activations > 0
    assert plan.cache > 0


@pytest.mark.filterwarnings("error")
def test_sampling_warns_of_nothing(backbone, caplog):
    responses = generate(perturbed(backbone), ROWS, 3, 1.0, row_seeds(0, range(len(ROWS)), 0))
    assert len(responses) == 2
    assert not caplog.records
