"""VQAv2-v0: pictures in observations, VQA's accuracy as the reward, folders of real files, cards, baselines."""

import gzip
import json
import logging
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_files import write_vqa

import envs  # noqa: F401 - registers perlhf/*
from envs.corpora.images import letterbox, read_image
from envs.render import BAD, GOOD, RESPONSE
from envs.vqav2.accuracy import vqa_accuracy
from envs.vqav2.files.folders import SOURCES
from envs.vqav2.scenes.corpus import FAMILIES, LEVELS, miniature_vqa
from envs.vqav2.task import VQAv2
from evaluation.baselines.__main__ import Options, print_tables
from evaluation.baselines.shortcuts import shortcut_means
from perlhf.errors import DataError, RewardError, UserError

VQA = "perlhf/VQAv2-v0"
ROOT = Path(__file__).parents[1]
REAL = ROOT / "../shared/data"
QUESTIONS, PAIRS = "v2_OpenEnded_mscoco_{}_questions.json", "v2_mscoco_{}_complementary_pairs.json"


def real(name):
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"the real files of {name} are not on this machine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Miniature records in the layout of VQAv2: 60 of training and 20 of validation."""
    path = tmp_path_factory.mktemp("vqa")
    write_vqa(miniature_vqa("train"), path, 60)
    write_vqa(miniature_vqa("validation"), path, 20)
    return path


@pytest.fixture
def copied(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def same(first, second):
    return first["prompt"] == second["prompt"] and np.array_equal(first["image"], second["image"])


# An episode


def test_an_episode_is_a_question_a_picture_and_an_answer():
    env, corpus = gym.make(VQA), miniature_vqa("train")
    for index in (0, 13, 19_999):
        observation, info = env.reset(seed=0, options={"index": index})
        record = corpus[index]
        assert observation["prompt"] == f"QUESTION: {record.question}\n\nANSWER:"
        assert (observation["image"].shape, observation["image"].dtype) == ((64, 64, 3), np.uint8)
        assert np.array_equal(observation["image"], corpus.image(index))
        assert info == {
            "index": index,
            "question_id": record.question_id,
            "answer_type": record.answer_type,
            "question_type": record.question_type,
            "image_size": (64, 64),
        }
        _, reward, terminated, truncated, info = env.step(f"{record.multiple_choice_answer.upper()}.")
        assert (reward, terminated, truncated) == (1.0, True, False)
        assert info == {"gold": 1.0, "is_success": True}


def test_the_reward_is_how_far_people_agree():
    env, index = gym.make(VQA), 13  # nine say no and one says yes
    for answer, reward, success in (("no", 1.0, True), ("Yes!", 0.3, False), ("a star", 0.0, False)):
        env.reset(options={"index": index})
        _, given_reward, _, _, info = env.step(answer)
        assert given_reward == info["gold"] == pytest.approx(reward)
        assert info["is_success"] is success


def test_three_of_ten_people_make_a_success():
    three = vqa_accuracy("red", ["red"] * 3 + ["pink"] * 7)
    two = vqa_accuracy("red", ["red"] * 2 + ["pink"] * 8)
    assert two < VQAv2.success_at <= three


def test_gold_is_the_default_reward():
    task = VQAv2(split="test")
    default, gold = (gym.make(VQA, split="test", **reward) for reward in ({}, {"reward": "gold"}))
    for index in range(20):
        answer = task.plausible_action(index, np.random.default_rng(index))
        default.reset(options={"index": index}), gold.reset(options={"index": index})
        assert default.step(answer)[1] == gold.step(answer)[1] == task.judge(task.turn(index, answer))


@pytest.mark.parametrize("size", [32, 48, 96])
def test_image_size_is_the_side_of_the_square(size, folder):
    for data in ("miniature", str(folder)):
        env = gym.make(VQA, image_size=size, data=data)
        observation, info = env.reset(seed=1)
        assert env.observation_space["image"].shape == observation["image"].shape == (size, size, 3)
        assert info["image_size"] == ((size, size) if data == "miniature" else (64, 64))


def test_passes_gymnasiums_checker_over_files_too(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(VQA, data=str(folder), image_size=48, levels="").unwrapped)


@pytest.mark.parametrize("levels", ["1+2", "2+1", [1, 2], (2, 1)])
def test_levels_are_those_of_the_miniature_data(levels):
    records = VQAv2(levels=levels).records[:40]
    assert {record.meta["level"] for record in records} == {1, 2}
    assert records[7].question == miniature_vqa("train", (1, 2))[7].question
    assert {record.meta["level"] for record in VQAv2(levels=4).records[:8]} == {4}


def test_what_a_policy_does_to_its_picture_stays_with_it():
    env = gym.make(VQA)
    observation, _ = env.reset(options={"index": 3})
    observation["image"][:] = 0
    env.unwrapped.task.turn(3).image[:] = 0
    assert env.reset(options={"index": 3})[0]["image"].max() > 0


def test_few_pictures_are_kept_in_memory():
    task = VQAv2(image_size=512)
    assert task.shown.cache_info().maxsize == 85  # 64 MiB of 512 x 512 x 3 bytes
    task.observe(0), task.turn(0), task.info(0)
    assert task.shown.cache_info().misses == 1
    assert VQAv2(image_size=1024).shown.cache_info().maxsize == 64


def test_any_text_is_an_answer_with_a_reward_from_0_to_1():
    env = gym.make(VQA, render_mode="ansi")

    @given(st.text(max_size=60) | st.sampled_from(["yes", "No.", "2", "two", "a red"]), st.integers(0, 99))
    @settings(max_examples=300)
    def check(text, index):
        env.reset(options={"index": index})
        _, reward, terminated, _, info = env.step(text)
        assert round(reward, 9) in (0.0, 0.3, 0.6, 0.9, 1.0)
        assert (info["gold"], terminated) == (reward, True)
        assert f"> {text}" in env.render()

    check()


def test_pairs_ask_the_same_of_two_pictures(folder):
    for task in (VQAv2(), VQAv2(data=str(folder), split="test")):
        assert len(task.pairs) == len(task.records) // 2
        for first, second in task.pairs[:10]:
            one, two = task.records[first], task.records[second]
            assert one.question == two.question
            assert one.consensus != two.consensus
            assert task.oracle(first) != task.oracle(second)


# Copies, many side by side, other processes


@pytest.mark.parametrize("data", ["miniature", "files"])
def test_a_vector_env_shows_the_pictures_of_the_single_ones(data, folder):
    options = {"data": str(folder) if data == "files" else data}
    vector, singles = gym.make_vec(VQA, num_envs=3, **options), [gym.make(VQA, **options) for _ in range(3)]
    assert vector.observation_space["image"].shape == (3, 64, 64, 3)
    observations, infos = vector.reset(seed=5)
    for i, env in enumerate(singles):
        observation, info = env.reset(seed=5 + i)
        assert same({key: observations[key][i] for key in observation}, observation)
        assert infos["image_size"][i] == info["image_size"]
    for _ in range(4):
        before = observations
        observations, rewards, *_, infos = vector.step(("yes", "2", "red"))
        assert (observations["image"].dtype, observations["image"].shape) == (np.uint8, (3, 64, 64, 3))
        for i, env in enumerate(singles):
            observation, reward, *_ = env.step(("yes", "2", "red")[i])
            assert reward == rewards[i]
            assert same(infos["final_obs"][i], observation)
            assert same({key: before[key][i] for key in observation}, observation)
            assert same({key: observations[key][i] for key in observation}, env.reset()[0])


def test_a_pickle_made_mid_episode_shows_the_same_picture(folder):
    for data in ("miniature", str(folder)):
        env = gym.make(VQA, data=data)
        observation, _ = env.reset(seed=2)
        twin = pickle.loads(pickle.dumps(env))
        (after, *rest), (twin_after, *twin_rest) = env.step("yes"), twin.step("yes")
        assert same(after, twin_after)
        assert same(after, observation)
        assert rest == twin_rest
        assert same(env.reset()[0], twin.reset()[0])


def test_two_processes_see_the_same_pictures(folder):
    code = """
import hashlib, sys
import gymnasium as gym, envs
for data in ("miniature", sys.argv[1]):
    env = gym.make("perlhf/VQAv2-v0", data=data, split="test")
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        print(observation["prompt"], hashlib.sha256(observation["image"].tobytes()).hexdigest(), info)
        print(env.unwrapped.oracle())
"""
    command = [sys.executable, "-c", code, str(folder)]
    runs = [
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=120)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.splitlines()) == 40, runs[0].stderr  # a prompt has three lines, and then the oracle's


def test_importing_envs_is_light():
    code = "import sys, envs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "envs" in done.stdout.split()
    assert not {"PIL", "torch", "envs.vqav2.task"} & set(done.stdout.split())


def test_stable_baselines_gets_pictures_as_they_are():
    make_vec_env = pytest.importorskip("agents").make_vec_env
    env = make_vec_env("VQAv2-v0", 2, seed=7)
    assert env.observation_space["image"].shape == (64, 64, 3)
    observations, alone = env.reset(), [gym.make(VQA).reset(seed=seed)[0] for seed in (7, 8)]
    assert (observations["image"].shape, observations["image"].dtype) == ((2, 64, 64, 3), np.uint8)
    for i in range(2):
        assert same({key: observations[key][i] for key in ("prompt", "image")}, alone[i])
    after, rewards, dones, infos = env.step(env.env_method("oracle"))
    assert rewards.tolist() == [1.0, 1.0]
    assert dones.tolist() == [True, True]
    assert same(infos[0]["terminal_observation"], alone[0])
    assert (after["image"] != observations["image"]).any()


# Folders of files


def test_exported_files_are_read_back(folder):
    task, corpus = VQAv2(data=str(folder), split="test"), miniature_vqa("validation")
    assert len(task.records) == 20  # val2014, beside train2014, is the test split
    for index, record in enumerate(task.records):
        written = corpus[index]
        assert record.question == written.question
        assert record.answers == tuple(answer["answer"] for answer in written.answers)
        assert record.meta["question_id"] == written.question_id
        assert record.meta["answer_type"] == written.answer_type
        assert task.oracle(index) == written.multiple_choice_answer
        difference = task.turn(index).image.astype(int) - corpus.image(index)
        assert np.abs(difference).mean() < 3  # JPEG


def test_a_tenth_of_the_training_files_is_validation(folder):
    ids = [
        {r.meta["image_id"] for r in VQAv2(data=str(folder), split=split).records} for split in ("train", "validation")
    ]
    assert ids[0] | ids[1] == set(range(1, 61))
    assert not ids[0] & ids[1]
    assert 0 < len(ids[1]) < 20


def test_a_file_that_is_alone_is_split(copied):
    for path in {*copied.glob("*val2014*.json"), *copied.glob("*complementary*")}:
        path.unlink()
    counts = [len(VQAv2(data=str(copied), split=split).records) for split in ("train", "validation", "test")]
    assert sum(counts) == 60
    assert counts[0] > 40
    assert VQAv2(data=str(copied)).pairs == ()


def test_packed_files_of_version_1_are_read(copied):
    for path in [*copied.glob("v2_*.json")]:
        (copied / f"{path.name.removeprefix('v2_')}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert len(VQAv2(data=str(copied), split="test").records) == 20


def test_questions_without_a_picture_are_reported_and_left_out(copied, caplog):
    (copied / "val2014" / "COCO_val2014_000000100004.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        task = VQAv2(data=str(copied), split="test")
    assert len(task.records) == 19
    assert 100_004 not in {record.meta["image_id"] for record in task.records}
    assert len(task.pairs) == 9
    (line,) = caplog.messages
    assert "image_id 100004" in line
    assert "its picture is not in" in line


def test_a_damaged_picture_is_named_when_it_is_shown(copied):
    path = copied / "val2014" / "COCO_val2014_000000100001.jpg"
    path.write_bytes(path.read_bytes()[:300])
    env = gym.make(VQA, data=str(copied), split="test")
    with pytest.raises(DataError, match=r"COCO_val2014_000000100001\.jpg: the JPEG file is damaged") as caught:
        env.reset(options={"index": 0})
    assert "\n" not in str(caught.value)
    assert env.reset(options={"index": 1})[1]["index"] == 1


def test_a_folder_without_pictures_says_so(copied):
    shutil.rmtree(copied / "train2014")
    with pytest.raises(DataError, match=r"its pictures are missing; put them into a folder train2014 beside it\.$"):
        VQAv2(data=str(copied))


def nlvr(folder, part, directories):
    """Statements of NLVR with pictures of one colour."""
    (folder / "images").mkdir(exist_ok=True)
    rows = []
    for i, directory in enumerate(directories):
        identifier = f"{i}-{directory}"
        Image.new("RGB", (40, 10), (i, 0, 0)).save(folder / "images" / f"{part}-{identifier}-0.png")
        label = ("true", "false")[i % 2]
        rows.append({"sentence": f"{part} {i}", "label": label, "identifier": identifier, "directory": directory})
    (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_nlvr_alone_is_split_by_directories_and_in_parts_by_their_names(tmp_path):
    def sentences(split):
        return [record.question for record in VQAv2(data=str(tmp_path), split=split).records]

    nlvr(tmp_path, "dev", "0123456789"[:6])
    assert sentences("train") == ["dev 0", "dev 1", "dev 2", "dev 3"]
    assert (sentences("validation"), sentences("test")) == (["dev 4"], ["dev 5"])
    env = gym.make(VQA, data=str(tmp_path), split="test")
    observation, info = env.reset()
    assert observation["prompt"] == "QUESTION: dev 5\n\nANSWER:"
    assert (observation["image"][0] == 128).all()  # grey above and below the picture
    assert observation["image"][32].tolist() == [[5, 0, 0]] * 64
    assert (info["image_size"], info["answer_type"]) == ((10, 40), "true/false")
    assert env.step("False")[1] == 1.0


def test_nlvrs_dev_is_validation_where_there_is_a_test_file(tmp_path):
    for part in ("train", "dev", "test"):
        nlvr(tmp_path, part, "0123")
    for split, part in (("train", "train"), ("validation", "dev"), ("test", "test")):
        task = VQAv2(data=str(tmp_path.parent / tmp_path.name), split=split)
        assert {record.question.split()[0] for record in task.records} == {part}


# The real files, where they are on this machine


@real("nlvr")
def test_real_nlvr():
    tasks = [VQAv2(data=str(REAL / "nlvr"), split=split) for split in ("train", "validation", "test")]
    assert sum(len(task.records) for task in tasks) == 989
    observation = tasks[0].observe(0)
    assert observation["image"].shape == (64, 64, 3)
    assert tasks[0].info(0)["image_size"] == (100, 400)
    assert tasks[0].judge(tasks[0].turn(0, tasks[0].oracle(0))) == 1.0


@real("shapes")
def test_real_shapes():
    tasks = [VQAv2(data=str(REAL / "shapes"), split=split) for split in ("train", "validation", "test")]
    assert len(tasks[0].records) + len(tasks[1].records) == 64 + 640
    assert len(tasks[2].records) == 1024
    assert tasks[2].info(0)["image_size"] == (30, 30)
    assert {tasks[2].oracle(index) for index in range(100)} == {"true", "false"}


@real("coco_tiny_free")
def test_real_photographs_without_answers():
    env = gym.make(VQA, data=str(REAL / "coco_tiny_free"), image_size=224, render_mode="rgb_array")
    observation, info = env.reset(seed=0)
    assert observation["image"].shape == (224, 224, 3)
    assert (max(info["image_size"]), info["answer_type"], env.unwrapped.oracle()) == (640, None, "")
    with pytest.raises(RewardError, match="VQAv2 has no judge of its own for these data"):
        env.step("sunny")
    env = gym.make(VQA, data=str(REAL / "coco_tiny_free"), reward=lambda turns: [0.5] * len(turns))
    env.reset(seed=0)
    assert env.step("sunny")[1:] == (0.5, True, False, {})


@real("vqa_v2_text")
def test_real_questions_without_pictures_say_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="no picture questions; looked for v2_OpenEnded_mscoco_train2014") as caught:
        VQAv2(data=str(REAL / "vqa_v2_text"))
    assert "vqa_questions_train.json.gz" in str(caught.value)
    for name, official in (("questions", QUESTIONS), ("annotatons", "v2_mscoco_{}_annotations.json")):
        packed = REAL / "vqa_v2_text" / f"vqa_{name}_valid.json.gz"
        shutil.copy(packed, tmp_path / f"{official.format('train2014')}.gz")
    with pytest.raises(DataError, match="its pictures are missing; put them into a folder train2014"):
        VQAv2(data=str(tmp_path))
    (tmp_path / "train2014").mkdir()
    with pytest.raises(DataError, match=r"no file is named like COCO_train2014_000000458752\.jpg"):
        VQAv2(data=str(tmp_path))
    Image.new("RGB", (64, 48)).save(tmp_path / "train2014" / "COCO_train2014_000000413918.jpg")
    questions = [r.question for s in ("train", "validation", "test") for r in _all(tmp_path, s)]
    assert "What insurance company is a sponsor?" in questions


def _all(folder, split):
    try:
        return VQAv2(data=str(folder), split=split).records[:]
    except DataError:  # one picture, whose questions are all in one split
        return []


# Mistakes


@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splitt": "test"}, "VQAv2 has no option 'splitt'. Did you mean 'split'?"),
        ({"split": "tset"}, "unknown split 'tset'. Did you mean 'test'?"),
        ({"data": "no/such"}, "no/such: no such folder; give one of VQA's, NLVR's or SHAPES' files, or 'miniature'."),
        ({"data": "hub"}, "hub: no such folder"),
        ({"data": 3}, "data must be 'miniature', 'hub' or a path, got 3."),
        ({"levels": "1+5"}, "levels must be some of 1, 2, 3, 4, as in '1+2', got '1+5'."),
        ({"levels": "easy"}, "got 'easy'."),
        ({"levels": []}, "got []."),
        ({"levels": True}, "got True."),
        ({"levels": 1.5}, "got 1.5."),
        ({"levels": [[1]]}, "got [[1]]."),
        ({"levels": None}, "got None."),
        ({"image_size": 8}, "image_size must be a whole number from 32 to 1024 pixels, got 8."),
        ({"image_size": 2000}, "got 2000."),
        ({"image_size": "64"}, "got '64'."),
        ({"image_size": 64.0}, "got 64.0."),
        ({"image_size": True}, "got True."),
    ],
)
def test_a_wrong_argument_is_one_line(make, arguments, message):
    with pytest.raises(UserError) as caught:
        make(VQA, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levels_of_real_files_are_refused(folder):
    with pytest.raises(UserError, match="levels are those of the miniature data"):
        VQAv2(data=str(folder), levels="1")


@pytest.mark.parametrize("index", [-1, 20_000, "3", 1.0, True])
def test_an_index_outside_the_split_is_refused(index):
    with pytest.raises(UserError, match="'index' must be a record from 0 to 19999"):
        gym.make(VQA).reset(options={"index": index})


def test_an_empty_folder_names_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        VQAv2(data=str(tmp_path))
    assert all(name in str(caught.value) for name in SOURCES)
    assert str(caught.value).endswith("there is nothing.")


# Pictures of an episode


def card(answer=None, index=13, **options):
    env = gym.make(VQA, render_mode="rgb_array", **options)
    env.reset(options={"index": index})
    if answer is not None:
        env.step(answer)
    return env.render()


def has(image, colour):
    return (image == colour).all(axis=-1).sum() > 5000


def test_the_answer_has_the_colour_of_its_gold():
    green, amber, red = card("no"), card("yes"), card("perhaps")
    assert has(green, GOOD)
    assert not has(green, BAD)
    assert has(red, BAD)
    assert not has(amber, GOOD)
    assert not has(amber, BAD)
    assert not has(card(), RESPONSE)


def test_the_card_shows_the_picture_as_large_as_fits(folder):
    shown = card(index=6)[70:350, 16:296]
    drawn = miniature_vqa("train").image(6, 256)
    assert np.abs(read_small(shown) - read_small(drawn)).mean() < 6
    assert (card(index=0, data=str(folder), split="test") != card(index=1, data=str(folder), split="test")).any()


def read_small(image):
    return np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX)).astype(int)


@pytest.mark.parametrize(
    "text", ["é" * 20_000, "漢字 " * 5_000, "a\n" * 10_000, "", "\0\x1b\u202e\u0301\u2028", "W" * 300]
)
def test_no_text_breaks_the_card(text):
    assert card(text).shape == (512, 512, 3)


def test_the_text_form_says_what_is_to_be_seen_and_what_people_say():
    env = gym.make(VQA, render_mode="ansi")
    env.reset(options={"index": 13})
    before = [
        "Question: Does the orange diamond look smaller than the red star?",
        "Picture: small black rubber circle top center, small red wood star top right, "
        "small orange wood diamond middle left",
        "People: no (9), yes (1)",
    ]
    assert env.render().splitlines() == before
    env.step("yes")
    assert env.render().splitlines() == [*before, "> yes", "score +0.30   gold 0.30"]


# Baselines, and the page


def test_the_baselines_are_those_of_the_questions_alone():
    train, test = VQAv2(levels="2"), VQAv2(split="test", levels="2")
    train.records = train.records[:400]
    rows = dict(shortcut_means(test.shortcut_scores(train, 200, 0)))
    assert rows["oracle"]["all"]["mean"] == 1.0
    assert rows['always "yes"']["number"]["mean"] == 0.0
    expected = np.mean([vqa_accuracy("yes", record.answers) for record in test.records[:200]])
    assert rows['always "yes"']["all"]["mean"] == pytest.approx(expected)
    assert all(row["all"]["mean"] < 0.7 for name, row in rows.items() if name != "oracle")
    assert set(rows["oracle"]) == {
        "all",
        "all, official script",
        "yes/no",
        "number",
        "other",
        "level 2",
        "seen combinations",
        "unseen combinations",
    }


def test_the_tables_of_files(folder, capsys):
    tasks = [VQAv2(str(folder), split) for split in ("train", "test")]
    print_tables(*tasks, Options(env="VQAv2-v0", data=str(folder), prompts=10))
    shown = capsys.readouterr().out
    head = "| policy | all | all, official script | yes/no | number | other |\n|---|---|---|---|---|---|\n"
    assert shown.startswith(f'{head}| always "yes" |')
    assert "| oracle | 1.000 [1.000, 1.000] |" in shown
    assert "level" not in shown


def test_questions_without_answers_have_no_tables(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.jpg")
    (tmp_path / "images").mkdir()
    shutil.move(tmp_path / "one.jpg", tmp_path / "images" / "one.jpg")
    photo = {"file_name": "one.jpg", "license": 4, "flickr_url": "u", "width": 8, "height": 8}
    numbers = range(60)  # enough that each split has one
    content = {
        "images": [{**photo, "id": i} for i in numbers],
        "vqa_v1_val2014_questions": [{"question_id": i, "image_id": i, "question": "Why?"} for i in numbers],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    tasks = [VQAv2(str(tmp_path), split) for split in ("train", "test")]
    with pytest.raises(UserError, match="has questions that nobody answered"):
        print_tables(*tasks, Options(env="VQAv2-v0", data=str(tmp_path)))


PAGE = ROOT / "docs" / "tasks" / "vqav2.md"


def test_the_page_names_arguments_levels_families_and_the_command():
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith("# VQAv2-v0\n")
    assert re.findall("^## (.*)", text, flags=re.M)[:5] == [
        "The real corpus", "Scoring", "Reward models, SFT, a backbone", "The miniature corpus",
        "What it cannot be won by",
    ]  # fmt: skip
    assert 'gym.make("perlhf/VQAv2-v0"' in text
    assert "`python -m evaluation.baselines --env VQAv2-v0`" in text
    for argument in ("data", "split", "levels", "image_size", "reward", "index"):
        assert f"`{argument}`" in text
    for level in LEVELS:
        row = next(line for line in text.splitlines() if line.startswith(f"| {level} |"))
        assert all(family.name in row for family in FAMILIES.values() if family.level == level)
    assert '"synthetic": true' in text
    assert "licence" in text.lower()


def test_the_examples_of_the_page_are_read(tmp_path):
    rows = re.findall(r"^    (\{.*\}|\[.*\])$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    question, annotation, pair, statement = map(json.loads, rows[:4])
    (tmp_path / "train2014").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "train2014" / f"COCO_train2014_{question['image_id']:012d}.jpg")
    (tmp_path / QUESTIONS.format("train2014")).write_text(json.dumps({"questions": [question]}))
    (tmp_path / "v2_mscoco_train2014_annotations.json").write_text(json.dumps({"annotations": [annotation]}))
    (record,) = [record for split in ("train", "validation", "test") for record in _all(tmp_path, split)]
    assert (record.question, len(record.answers)) == (question["question"], 10)
    assert question["question_id"] in pair
    assert set(statement) == {"sentence", "label", "identifier", "directory"}


def test_the_miniature_example_of_the_page_is_a_record():
    text = PAGE.read_text(encoding="utf-8")
    index = int(re.search(r"`VQAv2\(\)\.records\[(\d+)\]`", text)[1])
    record = VQAv2().records[index]
    assert record.question in text
    assert record.meta["caption"] in text
    assert all(f"{answer}" in text for answer in record.answers)


def test_a_square_picture_is_not_changed_by_its_canvas(folder):
    path = folder / "val2014" / "COCO_val2014_000000100001.jpg"
    shown = VQAv2(data=str(folder), split="test", image_size=64).turn(0).image
    assert np.array_equal(shown, read_image(path))
    assert np.array_equal(shown, letterbox(read_image(path), 64, 64))
