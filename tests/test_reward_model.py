"""Reward models: the loss, what they learn, and that others can open them."""

import copy
import json
import math
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from tiny_models import gemma, save_architecture
from transformers import AutoModelForSequenceClassification
from written_files import write_hh

import rewards.bundled
import rewards.reward_model as reward_model_module
from backbones.backbone import Backbone
from backbones.fit import FitSettings, fit
from backbones.forward import log_probs_of
from backbones.roles import LoRASettings
from envs.corpora.records import LabelledRecord, Record
from envs.hh.task import HH
from envs.turn import Turn
from evaluation.reward_models import evaluate_reward_model
from evaluation.reward_report import describe_doubt, describe_failure, is_below_baselines
from perlhf.errors import UserError
from rewards.preferences import Labels, Learned, Pairs, drawn, sampled
from rewards.reward_model import RewardModel, learned_model, score
from rewards.rows import encode, pairwise_loss, pointwise_loss
from rewards.train_reward_model import Options, centre, train

TURNS = [Turn("Human: Hello", "yes"), Turn("Human: Hello there", "no maybe"), Turn("Human:", "")]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def pair_loss(model, rows):
    return Learned(Pairs(), [Record("", "", "", {})] * len(rows), rows).loss(model)


def length(row):
    return len(row[0]) + len(row[1])


def fresh(backbone, full=False, seed=0):
    """A reward model that is not at its start, where LoRA says nothing."""
    role = backbone.add_role("reward", None if full else LoRASettings(4), head=True, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return RewardModel(role, centre=0.25)


def test_pairwise_loss_by_hand():
    # -log sigmoid(1) = log(1 + 1/e); -log sigmoid(-1) = that + 1
    near = math.log(1 + math.exp(-1))
    loss = pairwise_loss(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0]))
    assert loss.item() == pytest.approx((near + near + 1) / 2)


def test_what_is_scored_ends_with_the_end_token(backbone):
    prompt, response = encode(backbone, "Human: Hello", "  yes ")
    assert prompt == backbone.encode_prompt("Human: Hello")
    assert response == [*backbone.encode_response("yes"), backbone.end_ids[0]]


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_scores_do_not_depend_on_the_batch(backbone, weight):
    model = fresh(backbone)
    model.log_prob_weight = weight
    together = model(TURNS)
    alone = [model([turn])[0] for turn in TURNS]
    assert together == pytest.approx(alone, abs=1e-5)
    assert all(isinstance(s, float) for s in together)


def test_the_score_adds_the_log_probability_of_the_response(backbone):
    model = fresh(backbone)
    head_alone = model(TURNS)
    rows = [encode(backbone, t.prompt, t.response) for t in TURNS]
    log_probs = log_probs_of(model.role, [p for p, _ in rows], [r for _, r in rows]).sum(1)
    model.log_prob_weight = 0.5
    expected = [score + 0.5 * float(nats) for score, nats in zip(head_alone, log_probs, strict=True)]
    assert model(TURNS) == pytest.approx(expected, abs=1e-4)
    assert min(abs(a - b) for a, b in zip(model(TURNS), head_alone, strict=True)) > 0.5


def test_a_score_with_log_probabilities_is_saved_whole(backbone, tmp_path):
    model = fresh(backbone)
    model.log_prob_weight, model.score_limit = 0.3, 2.5
    model.save(tmp_path)
    before = model(TURNS)
    loaded = RewardModel.load(tmp_path, backbone)
    assert (loaded.log_prob_weight, loaded.score_limit) == (0.3, 2.5)
    assert RewardModel.load(tmp_path, backbone)(TURNS) == before


def test_scores_end_at_the_limit(backbone):
    model = fresh(backbone)
    free = model(TURNS)
    for limit in (min(map(abs, free)) / 2, 0.1, 100.0):
        model.score_limit = limit
        assert model(TURNS) == pytest.approx([max(-limit, min(limit, score)) for score in free])


@pytest.mark.parametrize(
    "change",
    [{"log_prob_weight": "x"}, {"log_prob_weight": None}, {"log_prob_weight": -1}, {"score_limit": 0},
     {"score_limit": "x"}, {"centre": None}, {"centre": True}],
)  # fmt: skip
def test_numbers_that_save_did_not_write_are_one_line(backbone, tmp_path, change):
    fresh(backbone).save(tmp_path)
    file = tmp_path / "perlhf.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=r"perlhf\.json is damaged: centre"):
        RewardModel.load(tmp_path, backbone)


def test_a_limit_changes_rewards_and_no_figure_of_the_model(backbone):
    texts = ["yes", "no", "maybe", "good", "bad yes", "no no"] * 4
    records = [LabelledRecord("Human: Hello", text, float("yes" in text or text == "good"), {}) for text in texts]
    task = SimpleNamespace(can_rate=False)
    model = fresh(backbone)
    model.centre = 50.0
    free = evaluate_reward_model(model, Labels(), task, records, records)
    model.score_limit = 0.1
    assert evaluate_reward_model(model, Labels(), task, records, records) == free
    assert model([Turn("Human: Hello", text) for text in texts]) == pytest.approx([-0.1] * len(texts))


@pytest.mark.parametrize("name", ["Llama", "OPT"])
def test_a_full_model_with_log_probabilities_is_saved_whole(name, tmp_path):
    backbone = Backbone.load(str(save_architecture(name, tmp_path / "base")))
    model = fresh(backbone, full=True)
    model.log_prob_weight = 0.2
    before = model(TURNS)
    model.save(tmp_path / "reward")
    assert RewardModel.load(tmp_path / "reward", backbone)(TURNS) == pytest.approx(before, abs=1e-5)


def test_the_log_probability_tells_what_a_head_has_to_learn(backbone, tmp_path):
    """The word of the prompt has to come back: gradients reach the adapter through the likelihood."""
    pairs = [Record(f"Human: {w}", w, v, {}) for w, v in (("yes", "no"), ("no", "yes")) * 16]
    model = RewardModel(backbone.add_role("reward", LoRASettings(4), head=True), log_prob_weight=0.3)
    rows = [Pairs().rows(backbone, pair) for pair in pairs]
    settings = FitSettings(epochs=8, batch_size=16, learning_rate=3e-2)
    lengths = [max(map(length, pair)) for pair in rows]
    fit(model.role, lengths, pair_loss(model, rows), settings, np.random.default_rng(0), tmp_path / "log")
    scores = [model([Turn(p.prompt, p.chosen), Turn(p.prompt, p.rejected)]) for p in pairs[:2]]
    assert all(chosen > rejected for chosen, rejected in scores)


@pytest.mark.parametrize("opener", ["peft", "auto"])
def test_plain_peft_gives_the_same_scores(backbone, tmp_path, opener):
    model = fresh(backbone)
    model.save(tmp_path)
    if opener == "auto":
        plain = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path)
    else:
        base = AutoModelForSequenceClassification.from_pretrained(backbone.path)
        plain = PeftModel.from_pretrained(base, tmp_path)
    assert_same_scores(plain, model, backbone)


def test_plain_transformers_opens_a_full_model_with_the_same_scores(backbone, tmp_path):
    model = fresh(backbone, full=True)
    model.save(tmp_path)
    assert_same_scores(AutoModelForSequenceClassification.from_pretrained(tmp_path), model, backbone)


def assert_same_scores(plain, model, backbone):
    encoded = [encode(backbone, t.prompt, t.response) for t in TURNS]
    rows = [prompt + response for prompt, response in encoded]
    width = max(map(len, rows))
    ids = torch.tensor([row + [backbone.pad_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        theirs = plain.eval()(input_ids=ids, attention_mask=mask).logits[:, 0]
    ours = torch.tensor(model(TURNS)) + model.centre
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


@pytest.mark.parametrize("full", [False, True])
def test_save_and_load_give_identical_scores(backbone, tmp_path, full):
    model = fresh(backbone, full)
    before = model(TURNS)
    model.save(tmp_path)
    again = RewardModel.load(tmp_path)
    assert again is not model
    assert again(TURNS) == before
    assert again.centre == 0.25
    assert score(TURNS, str(tmp_path)) == before


def test_the_same_folder_is_the_same_model_until_it_is_written_again(backbone, tmp_path):
    fresh(backbone, seed=1).save(tmp_path)
    first = RewardModel.load(tmp_path)
    assert RewardModel.load(tmp_path) is first
    other = fresh(backbone, seed=2)
    other.save(tmp_path)
    assert RewardModel.load(tmp_path)(TURNS) == other(TURNS)


def test_a_model_that_another_process_wrote_anew_is_opened_anew(backbone, tmp_path):
    for name, seed in (("one", 1), ("two", 2)):
        fresh(backbone, seed=seed).save(tmp_path / name)
    first = RewardModel.load(tmp_path / "one")
    before = first(TURNS)
    shutil.copytree(tmp_path / "two", tmp_path / "one", dirs_exist_ok=True)
    assert RewardModel.load(tmp_path / "one")(TURNS) != before
    assert first(TURNS) == before  # who holds it goes on with it
    shutil.rmtree(tmp_path / "two")
    assert RewardModel.load(tmp_path / "one") is RewardModel.load(tmp_path / "one")


def test_all_models_of_an_env_stay_loaded_however_many(backbone, tmp_path, monkeypatch):
    folders = [str(tmp_path / str(seed)) for seed in range(6)]
    for seed, folder in enumerate(folders):
        fresh(backbone, seed=seed).save(Path(folder))
    first = [score(TURNS, folder) for folder in folders]
    monkeypatch.setattr(reward_model_module, "load_role", None)  # nothing is loaded again
    assert [score(TURNS, folder) for folder in folders] == first


def test_a_model_goes_with_its_backbone(tmp_path):
    backbone = gemma(tmp_path / "base", seed=31)
    fresh(backbone).save(tmp_path / "reward")
    model = RewardModel.load(tmp_path / "reward")
    backbone.release()
    again = RewardModel.load(tmp_path / "reward")
    assert again is not model
    assert again.role.backbone is Backbone.load(backbone.path)
    assert again.role.backbone is not backbone
    assert again(TURNS) == model(TURNS)


def test_a_loaded_model_is_frozen(backbone, tmp_path):
    fresh(backbone).save(tmp_path)
    model = RewardModel.load(tmp_path)
    with model.role.active():
        assert not any(p.requires_grad for p in model.role.parameters().values())


def test_copies_are_the_same_model_and_pickles_load_it_again(backbone, tmp_path):
    model = fresh(backbone)
    assert copy.deepcopy({"reward": model})["reward"] is model
    with pytest.raises(TypeError, match="never saved"):
        pickle.dumps(model)
    model.save(tmp_path)
    assert pickle.loads(pickle.dumps(model))(TURNS) == model(TURNS)


def test_the_model_behind_a_reward_function_is_found(backbone, tmp_path):
    model = fresh(backbone)
    model.save(tmp_path)
    assert learned_model(model) is model
    assert learned_model(lambda turns: [0.0] * len(turns)) is None


@pytest.mark.parametrize("full", [False, True])
def test_it_learns_to_tell_yes_from_no(backbone, tmp_path, full):
    role = backbone.add_role("reward", None if full else LoRASettings(4), head=True)
    model = RewardModel(role)
    pairs = [Record("Human: Hello there.", "yes " * (1 + i % 3), "no " * (1 + i % 2), {}) for i in range(64)]
    tokens = [(encode(backbone, p.prompt, p.chosen), encode(backbone, p.prompt, p.rejected)) for p in pairs]
    settings = FitSettings(epochs=6, batch_size=16, learning_rate=2e-2 if not full else 3e-3)
    log = tmp_path / "metrics.jsonl"
    fit(
        role,
        [length(c) for c, _ in tokens],
        pair_loss(model, tokens),
        settings,
        np.random.default_rng(0),
        log,
    )
    unseen = model([Turn("Human: Hello.", "yes yes"), Turn("Human: Hello.", "no no")])
    assert unseen[0] > unseen[1] + 1
    losses = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    assert len(losses) == 24
    assert losses[-1] < 0.2 < 0.6 < losses[0]


def test_pointwise_loss_by_hand():
    # label 1: -log sigmoid(2) = log(1 + e^-2); label 0: -log(1 - sigmoid(2)) = log(1 + e^2)
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    assert pointwise_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0])).item() == pytest.approx(expected)
    # a label in between shares out: at logit 0 the loss is log 2 whatever the label
    assert pointwise_loss(torch.tensor([0.0]), torch.tensor([0.25])).item() == pytest.approx(math.log(2))


def test_labels_are_scored_one_row_a_record(backbone):
    record = LabelledRecord("Human: Hello", "yes", 1.0, {})
    assert Labels().rows(backbone, record) == [encode(backbone, "Human: Hello", "yes")]
    assert Labels().good(record) == "yes"
    assert Labels().good(record._replace(label=0.0)) is None
    records = [record, record._replace(label=0.0), record]
    loss, right = Labels().loss(torch.tensor([1.0, -1.0, -1.0]), records)
    # two right, each log(1 + 1/e); one wrong, that + 1
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)) + 1 / 3)
    assert right == 2.0


def test_it_learns_yes_from_no_by_labels(backbone, tmp_path):
    model = RewardModel(backbone.add_role("reward", LoRASettings(4), head=True))
    texts = [("yes", 1.0), ("no", 0.0)] * 32
    records = [LabelledRecord("Human: Hello there.", f"{w} " * (1 + i % 3), y, {}) for i, (w, y) in enumerate(texts)]
    rows = [Labels().rows(backbone, record) for record in records]
    fit(
        model.role, [length(row) for (row,) in rows], Learned(Labels(), records, rows).loss(model),
        FitSettings(epochs=6, batch_size=16, learning_rate=2e-2), np.random.default_rng(0), tmp_path / "log",
    )  # fmt: skip
    good, bad = model([Turn("Human: Hello.", "yes yes"), Turn("Human: Hello.", "no no")])
    assert good > 1
    assert bad < -1  # the logit itself tells, not only the difference
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log").read_text().splitlines()]
    assert losses[-1] < 0.3 < 0.6 < losses[0]


def test_micro_batches_add_up_to_the_whole_batch(backbone, tmp_path):
    pairs = [
        (encode(backbone, "Human:" + " Hello" * i, "yes"), encode(backbone, "Human:", "no " * i)) for i in range(1, 9)
    ]
    gradients = []
    for size in (1, 3, 8):
        role = backbone.add_role("reward", LoRASettings(4), head=True, seed=5)
        loss = pair_loss(RewardModel(role), pairs)
        with role.active():
            for start in range(0, 8, size):
                loss(list(range(start, min(start + size, 8))), list(range(8)))[0].backward()
        gradients.append([p.grad.clone() for p in role.parameters().values() if p.grad is not None])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-6, rtol=1e-4)


def test_a_learning_rate_that_explodes_is_one_clear_line(backbone, tmp_path):
    role = backbone.add_role("reward", LoRASettings(4), head=True)
    with torch.no_grad():
        role.head.weight.fill_(float("nan"))
    tokens = [(encode(backbone, "Human:", "yes"), encode(backbone, "Human:", "no"))]
    with pytest.raises(UserError, match=r"not finite at step 1; lower --learning-rate"):
        fit(
            role, [5], pair_loss(RewardModel(role), tokens), FitSettings(1, 1, 1e-3), np.random.default_rng(0),
            tmp_path / "log",
        )  # fmt: skip


def test_pairs_of_samples_are_labelled_and_differ():
    task, backbone = HH(), Backbone.load("tiny")
    pairs = sampled(Pairs(), task, backbone.reference, 12, np.random.default_rng(0), max_new_tokens=12)
    assert len(pairs) == 12
    assert all(p.chosen != p.rejected for p in pairs)
    again = sampled(Pairs(), task, backbone.reference, 12, np.random.default_rng(0), max_new_tokens=12)
    assert again == pairs


def test_a_policy_whose_responses_are_as_good_gives_fewer_pairs_and_says_so(monkeypatch, capsys):
    task, backbone = HH(), Backbone.load("tiny")
    monkeypatch.setattr(HH, "annotate", lambda self, state, first, second, rng: None)
    assert sampled(Pairs(), task, backbone.reference, 3, np.random.default_rng(0), max_new_tokens=1) == []
    said = "0 samples, not 3: the policy's responses to 266 prompts seldom differ"  # 19 times 14, which is 256 or more
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_data_pairs_are_drawn_without_replacement():
    task = HH(split="validation")
    assert len(drawn(task, None, np.random.default_rng(0))) == 1000
    numbers = drawn(SimpleNamespace(records=range(1000)), 900, np.random.default_rng(0))
    assert len(numbers) == len(set(numbers)) == 900


def test_chosen_responses_score_zero_on_average(backbone):
    model = fresh(backbone)
    pairs = [Record("Human: Hello", text, "no", {}) for text in ("yes", "good", "maybe yes")]
    before = model([Turn(p.prompt, p.chosen) for p in pairs])
    assert abs(sum(before)) > 1e-3
    model.centre = centre(model, Pairs(), pairs)
    assert sum(model([Turn(p.prompt, p.chosen) for p in pairs])) == pytest.approx(0.0, abs=1e-4)


def test_the_command_trains_saves_and_reports(tmp_path):
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "rewards.train_reward_model", "--pairs", "48", "--policy-pairs", "16",
         "--eval-pairs", "60", "--output-dir", str(folder)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["pairs"] == 64
    assert set(summary["accuracy"]) == {"mean", "low", "high", "n"}
    assert summary["accuracy"]["n"] == 60
    assert set(summary["baselines"]) == {"random", "length", "keyword", "tfidf", "always_refuse"}
    assert 0.7 < summary["ceiling"] < 0.9
    assert set(summary["groups"]) == {"harmful", "harmless", "seen topics", "unseen topics"}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert (folder / "adapter_model.safetensors").exists()
    assert "held-out accuracy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "HX-v0"], "unknown env 'HX-v0'. Did you mean 'HH-v0'?"),
        (["--lora-rnk", "4"], "unknown option --lora-rnk. Did you mean '--lora-rank'?"),
        (["--backbone", "tiiny"], "no backbone 'tiiny'"),
        (["--data", "/no/such/file"], "no such file or folder"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "rewards.train_reward_model", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_below_a_baseline_warns_and_says_why(tmp_path, capsys):
    long, lines = "I would be glad to help you with all of that today, step by step.", []
    for record in HH().records[:300]:
        lines.append(json.dumps({"chosen": f"{record.prompt} {long}", "rejected": f"{record.prompt} No."}) + "\n")
    (tmp_path / "pairs.jsonl").write_text("".join(lines))

    def held_out(name, **options):
        train(Options(data=str(tmp_path / "pairs.jsonl"), output_dir=str(tmp_path / name), **options))
        return json.loads((tmp_path / name / "summary.json").read_text())["accuracy"]["mean"], capsys.readouterr().err

    accuracy, said = held_out("default")  # as a newcomer runs it: log p of the longer response is far below
    assert accuracy == 0.0
    (line,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert line.startswith(
        "warning: held-out accuracy 0.000 is below the baseline 'length', 1.000; the head alone has "
    )
    assert "so --log-prob-weight 0.1 outweighs what was learned: try 0; " in line
    assert line.endswith(" optimizer steps are few: raise --epochs, or lower --batch-size.")
    accuracy, said = held_out("as it says", log_prob_weight=0.0, epochs=2)
    assert accuracy == 1.0
    assert "warning: " not in said


@pytest.mark.parametrize(
    ("figures", "below"),
    [
        ({"accuracy": {"high": 0.7}, "baselines": {"random": 0.5, "length": 0.71}}, True),
        ({"accuracy": {"high": 0.71}, "baselines": {"random": 0.5, "length": 0.71}}, False),
        ({"accuracy": {"high": 0.49}, "baselines": {"random": 0.5, "length": 0.4}}, True),
        # An AUC is not compared with the accuracy of the majority class.
        ({"auc": {"high": 0.8}, "accuracy": {"high": 0.1}, "baselines": {"majority_accuracy": 0.9}}, False),
        ({"auc": {"high": 0.6}, "baselines": {"length": 0.61, "majority_accuracy": 0.9}}, True),
    ],
)
def test_below_a_baseline_is_by_more_than_chance(figures, below):
    figures["baselines"].setdefault("random", 0.5)
    assert is_below_baselines(figures) is below


def test_a_model_that_is_no_better_than_what_needs_none_is_doubted():
    report = {"accuracy": {"mean": 0.6, "low": 0.5, "high": 0.7}, "baselines": {"random": 0.5, "tfidf": 0.62}}
    assert describe_doubt(report) == (
        "warning: held-out accuracy 0.600 is no better than the baseline 'tfidf', 0.620: more data or a larger model "
        "is needed before PPO."
    )
    assert describe_doubt({**report, "baselines": {"tfidf": 0.59}}) == ""
    sure = {"accuracy": {"mean": 1.0, "low": 1.0, "high": 1.0}, "baselines": {"length": 1.0}}
    assert describe_doubt(sure).startswith("note: 'length' alone tells all held-out records apart")


def test_where_nothing_measured_explains_a_failure_the_labels_are_named():
    report = {"accuracy": {"mean": 0.4, "low": 0.3, "high": 0.45}, "baselines": {"random": 0.5}}
    assert describe_failure(report, report, 0.0, 400) == (
        "warning: held-out accuracy 0.400 is below the baseline 'random', 0.500; it learned nothing that holds for "
        "other prompts: see --learning-rate and the labels."
    )


def test_real_format_files_train_without_an_annotator(tmp_path):
    write_hh(tmp_path / "pairs.jsonl", HH().records[:200])
    options = Options(data=str(tmp_path / "pairs.jsonl"), pairs=32, eval_pairs=50, output_dir=str(tmp_path / "run"))
    train(options)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ceiling"] is None
    assert "gold_agreement" not in summary
    options = Options(data=options.data, policy_pairs=4, output_dir=str(tmp_path / "other"))
    with pytest.raises(UserError, match="need a labeller"):
        train(options)


def test_the_bundled_model_beats_what_needs_no_model():
    # The labels are noisy (of one draw of 400 pairs .70 agree, of the next .80), so it is held against gold too.
    task = HH(split="test")
    model = learned_model(rewards.bundled.hh)
    report = evaluate_reward_model(model, Pairs(), task, HH(split="train").records[:1000], task.records[:1000])
    assert report["gold_agreement"]["low"] > 0.85
    assert report["accuracy"]["low"] > max(report["baselines"].values()) + 0.1
    assert model.role.backbone is Backbone.load("tiny")


# Where a reward model finds its backbone.


def test_a_reward_model_takes_the_backbone_that_is_there_whatever_its_device(tmp_path):
    backbone = gemma(tmp_path / "base", seed=21)
    fresh(backbone).save(tmp_path / "reward")
    assert RewardModel.load(tmp_path / "reward").role.backbone is backbone
    assert Backbone.load(backbone.path, "cpu:0") is backbone


def moved_run(tmp_path, seed):
    """A reward model whose base lies elsewhere now, and its scores; nothing of it is in memory."""
    backbone = gemma(tmp_path / "old", seed=seed)
    model = fresh(backbone)
    model.save(tmp_path / "reward")
    scores = model(TURNS)
    backbone.release()
    shutil.move(tmp_path / "old", tmp_path / "new")
    return scores


def test_a_moved_run_opens_on_a_backbone_with_the_same_weights(tmp_path):
    scores = moved_run(tmp_path, seed=22)
    backbone = Backbone.load(str(tmp_path / "new"))
    model = RewardModel.load(tmp_path / "reward")
    assert model.role.backbone is backbone
    assert model(TURNS) == scores


def test_a_moved_run_alone_says_where_its_backbone_was_and_what_to_do(tmp_path):
    moved_run(tmp_path, seed=23)
    with pytest.raises(UserError, match=r"if it has moved, load it from its new place first \(--backbone DIR") as error:
        RewardModel.load(tmp_path / "reward")
    assert str(tmp_path / "old") in str(error.value)
    assert "\n" not in str(error.value)


def test_plain_peft_opens_a_reward_model_on_tiny_from_any_folder(tmp_path, monkeypatch):
    backbone = Backbone.load("tiny")
    model = fresh(backbone)
    model.save(tmp_path / "reward")
    monkeypatch.chdir(tmp_path)
    config = json.loads(Path("reward/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == backbone.path
    assert json.loads(Path("reward/perlhf.json").read_text())["backbone"] == "tiny"
    assert_same_scores(AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "reward"), model, backbone)


def test_plain_peft_opens_the_bundled_model_on_tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = learned_model(rewards.bundled.hh)
    folder, backbone = model.folder, Backbone.load("tiny")
    base = AutoModelForSequenceClassification.from_pretrained(backbone.path)
    assert_same_scores(PeftModel.from_pretrained(base, folder), model, backbone)
    # No full path of the machine that trained it.
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "backbones/tiny"


@pytest.mark.parametrize("lacks", ["backbone", "centre"])
def test_what_is_no_reward_model_is_one_clear_line(backbone, tmp_path, lacks):
    fresh(backbone).save(tmp_path)
    provenance = json.loads((tmp_path / "perlhf.json").read_text())
    del provenance[lacks]
    (tmp_path / "perlhf.json").write_text(json.dumps(provenance))
    with pytest.raises(UserError, match=f"says nothing of {lacks}: it is damaged, or of another kind") as error:
        RewardModel.load(tmp_path)
    assert "\n" not in str(error.value)
