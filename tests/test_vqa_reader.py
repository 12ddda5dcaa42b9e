"""The readers of VQA, NLVR, SHAPES and annotated COCO photographs, on files made by hand in the original schemas."""

import copy
import gzip
import io
import json
import tarfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from damage import byte_damage, damage_bytes, json_damage, line_damage, number_of, outcomes
from PIL import Image

from envs.corpora.json_array import read_array
from envs.corpora.records import Skipped
from envs.corpora.splits import hashed_split
from envs.vqav2.accuracy import vqa_accuracy
from envs.vqav2.files.coco import read_coco
from envs.vqav2.files.nlvr import parse_nlvr, read_nlvr
from envs.vqav2.files.records import Pixels, TarMember, VQARecord, load_image, split_of
from envs.vqav2.files.shapes import read_shapes
from envs.vqav2.files.vqa import read_pairs, read_vqa
from perlhf.errors import DataError, UserError

REAL = Path(__file__).parents[1] / "../shared/data"


def real(name):
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"the real files of {name} are not on this machine")


def answers(*texts):
    said = ["yes", "maybe", "no"]
    return [{"answer": text, "answer_confidence": said[i % 3], "answer_id": i + 1} for i, text in enumerate(texts)]


QUESTIONS = {
    "info": {"description": "This is v2.0 of the VQA dataset.", "version": "2.0", "year": 2017},
    "task_type": "Open-Ended",
    "data_type": "mscoco",
    "license": {"url": "http://creativecommons.org/licenses/by/4.0/"},
    "data_subtype": "train2014",
    "questions": [
        {"image_id": 458752, "question": "What is this photo taken looking through?", "question_id": 458752000},
        {"image_id": 458752, "question": "Is the man's shirt é?", "question_id": 458752002},
        {"image_id": 262146, "question": "How many skis?", "question_id": 262146000},
    ],
}
ANNOTATIONS = {
    "info": {"version": "2.0"},
    "annotations": [
        {
            "question_type": "how many",
            "multiple_choice_answer": "2",
            "answers": answers(*["2"] * 8, "two", "4"),
            "image_id": 262146,
            "answer_type": "number",
            "question_id": 262146000,
        },
        {
            "question_type": "what is this",
            "multiple_choice_answer": "net",
            "answers": answers("net", "net", "net", "netting", *["mesh"] * 6),
            "image_id": 458752,
            "answer_type": "other",
            "question_id": 458752000,
        },
        {
            "question_type": "is the man's",
            "multiple_choice_answer": "yes",
            "answers": answers(*["yes"] * 10),
            "image_id": 458752,
            "answer_type": "yes/no",
            "question_id": 458752002,
        },
    ],
}
PAIRS = [[458752000, 458752002], [262146000, 458752000], [262146000, 999]]
STATEMENT = {
    "sentence": "Each grey box contains a circle",
    "label": "true",
    "identifier": "1572-0",
    "directory": "2",
    "evals": {"r1": "true"},
    "structured_rep": [[{"y_loc": 80, "type": "triangle", "color": "#0099ff", "x_loc": 80, "size": 20}], [], []],
}
COCO = {
    "licenses": [{"id": 4, "name": "Attribution License"}],
    "images": [
        {"id": 7, "file_name": "000000000007.jpg", "license": 4, "flickr_url": "http://x/7", "width": 4, "height": 2},
        {"id": 8, "file_name": "000000000008.jpg", "license": 5, "flickr_url": "http://x/8", "width": 4, "height": 2},
    ],
    "captions": [{"image_id": 7, "id": 1, "caption": "A dog."}],
    "vqa_v1_val2014_questions": [
        {"question_id": 70, "image_id": 7, "question": "What is it?"},
        {"question_id": 80, "image_id": 8, "question": "Is it day?"},
    ],
}


def changed(value, **fields):
    """A copy; "questions.0.image_id" names a place inside, and ... drops what is there."""
    value = copy.deepcopy(value)
    for path, new in fields.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place = value
        for part in parents:
            place = place[part]
        if new is ...:
            del place[last]
        else:
            place[last] = new
    return value


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = (value if isinstance(value, str) else json.dumps(value)).encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_vqa(folder, questions=QUESTIONS, annotations=ANNOTATIONS):
    return write(folder / "questions.json", questions), write(folder / "annotations.json", annotations)


def picture(path, colour=(9, 9, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 2), colour).save(path)
    return path


# VQA


@pytest.mark.parametrize("end", [".json", ".json.gz"])
def test_questions_and_annotations_are_joined_by_question_id(tmp_path, end):
    questions, annotations = write(tmp_path / f"q{end}", QUESTIONS), write(tmp_path / f"a{end}", ANNOTATIONS)
    content = read_vqa(questions, annotations)
    assert content.skipped == []
    assert [record.question for record in content.records] == [q["question"] for q in QUESTIONS["questions"]]
    first = content.records[0]
    assert first.answers == ("net", "net", "net", "netting", *["mesh"] * 6)
    assert first.confidences == ("yes", "maybe", "no", "yes", "maybe", "no", "yes", "maybe", "no", "yes")
    assert first.image is None
    assert first.meta == {
        "where": f"{questions}:1: questions[0] (question_id 458752000, image_id 458752)",
        "question_id": 458752000,
        "image_id": 458752,
        "question_type": "what is this",
        "answer_type": "other",
        "multiple_choice_answer": "net",
        "split": hashed_split("458752"),
    }
    assert [vqa_accuracy("net", record.answers) for record in content.records] == [0.9, 0.0, 0.0]


def test_the_order_of_the_annotations_does_not_matter(tmp_path):
    content = read_vqa(*write_vqa(tmp_path))
    turned = changed(ANNOTATIONS, annotations=ANNOTATIONS["annotations"][::-1])
    assert read_vqa(*write_vqa(tmp_path, annotations=turned)) == content


def test_all_questions_on_a_picture_are_on_one_side_and_a_known_split_is_taken(tmp_path):
    files = write_vqa(tmp_path)
    assert [split_of(r) for r in read_vqa(*files).records] == [hashed_split(k) for k in ("458752", "458752", "262146")]
    assert {split_of(r) for r in read_vqa(*files, split="validation").records} == {"validation"}


def test_questions_without_annotations_have_no_answers(tmp_path):
    record = read_vqa(write_vqa(tmp_path)[0]).records[0]
    assert (record.answers, record.confidences) == ((), ())
    assert (record.meta["question_type"], record.meta["answer_type"]) == (None, None)


def test_what_has_no_counterpart_is_skipped_and_accounted_for(tmp_path):
    questions = changed(QUESTIONS, **{"questions.0.question_id": 1, "questions.1.question": " \n"})
    q, a = write_vqa(tmp_path, questions)
    content = read_vqa(q, a)
    assert [record.meta["question_id"] for record in content.records] == [262146000]
    assert content.skipped == [
        (f"{q}:1: questions[0] (question_id 1, image_id 458752)", "no annotation has its question_id"),
        (f"{q}:1: questions[1] (question_id 458752002, image_id 458752)", "the question is empty"),
        (f"{a}:1: annotations[1] (question_id 458752000, image_id 458752)", "no question has its question_id"),
    ]


@pytest.mark.parametrize(
    "name", ["COCO_train2014_000000458752.jpg", "000000458752.jpg", "val/COCO_val_000000458752.jpg"]
)
def test_pictures_are_found_by_number_and_read_when_asked_for(tmp_path, name):
    place = picture(tmp_path / "pictures" / name, (200, 10, 10))
    (tmp_path / "pictures/000000262146.jpg").write_bytes(b"no picture")  # not opened while reading
    (tmp_path / "pictures/readme.txt").write_bytes(b"")
    content = read_vqa(*write_vqa(tmp_path), images=tmp_path / "pictures")
    assert [record.image for record in content.records] == [place, place, tmp_path / "pictures/000000262146.jpg"]
    assert load_image(content.records[0]).shape == (2, 4, 3)
    assert abs(int(load_image(content.records[0], root=tmp_path)[0, 0, 0]) - 200) < 9
    with pytest.raises(DataError, match=r"000000262146\.jpg: is no PNG, JPEG or WEBP file"):
        load_image(content.records[2])


def test_missing_pictures_are_reported_with_their_ids(tmp_path):
    picture(tmp_path / "pictures/000000262146.jpg")
    q, a = write_vqa(tmp_path)
    content = read_vqa(q, a, tmp_path / "pictures")
    assert [record.meta["image_id"] for record in content.records] == [262146]
    assert content.skipped == [
        (f"{q}:1: questions[{i}] (question_id {k}, image_id 458752)", f"its picture is not in {tmp_path / 'pictures'}")
        for i, k in ((0, 458752000), (1, 458752002))
    ]


def test_a_folder_without_pictures_is_a_data_error(tmp_path):
    files = write_vqa(tmp_path)
    with pytest.raises(DataError) as caught:
        read_vqa(*files, images=tmp_path)
    example = "COCO_train2014_000000458752.jpg"
    assert str(caught.value) == f"{tmp_path}: no file is named like {example}; give the folder of the pictures."
    with pytest.raises(DataError, match=r"none: cannot be read \(No such file or directory\)"):
        read_vqa(*files, images=tmp_path / "none")
    with pytest.raises(DataError, match=r"questions\.json: is no folder and no unpacked tar file of pictures \("):
        read_vqa(*files, images=files[0])


def test_pictures_may_not_lie_outside_the_folder(tmp_path):
    outside, inside = picture(tmp_path / "out/000000458752.jpg"), tmp_path / "pictures"
    picture(inside / "000000262146.jpg")
    (inside / "linked").symlink_to(outside.parent)  # a folder that is a link is not entered
    files = write_vqa(tmp_path)
    assert len(read_vqa(*files, images=inside).records) == 1
    (inside / "000000458752.jpg").symlink_to(outside)
    record = read_vqa(*files, images=inside).records[0]
    with pytest.raises(DataError, match=r"000000458752\.jpg: leads out of the folder"):
        load_image(record)


def test_a_record_without_a_picture_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"has no picture; read its file with a folder of pictures\."):
        load_image(read_vqa(*write_vqa(tmp_path)).records[0])


def test_complementary_pairs_are_pairs_of_records(tmp_path):
    records = read_vqa(*write_vqa(tmp_path)).records
    path = write(tmp_path / "pairs.json", PAIRS)
    content = read_pairs(path, records)
    assert content.records == [(records[0], records[1]), (records[2], records[0])]
    assert content.skipped == [(f"{path}:1: entry[2] (262146000, 999)", "no record has the question_id 999")]


LONG = "a" * 20_001
Q0, A1 = (
    "questions[0] (question_id 458752000, image_id 458752)",
    "annotations[1] (question_id 458752000, image_id 458752)",
)
FAULTS = [
    ("q", {"questions": ...}, "no field 'questions'; got 'info', 'task_type', 'data_type', 'license', 'data_subtype'."),
    ("q", {"questions": {}}, "questions must be an array, got dict."),
    ("q", {"questions.0": 3}, "questions[0] must be an object, got 3."),
    ("q", {"questions.0.question_id": ...}, "questions[0]: field 'question_id' must be a whole number, got nothing."),
    (
        "q",
        {"questions.0.image_id": "458752"},
        "questions[0] (question_id 458752000): field 'image_id' must be a whole number, got '458752'.",
    ),
    ("q", {"questions.0.question": None}, f"{Q0}: field 'question' must be a string, got NoneType."),
    ("q", {"questions.0.question": LONG}, f"{Q0}: field 'question' has 20001 characters, more than 20000."),
    ("q", {"questions.0.question": "a\0"}, f"{Q0}: field 'question' holds a NUL character."),
    (
        "q",
        {"questions.1.question_id": 458752000},
        "questions[1] (question_id 458752000, image_id 458752): its question_id is also that of QUESTIONS:1: "
        + Q0
        + ".",
    ),
    (
        "a",
        {"annotations.1.image_id": 5},
        "annotations[1] (question_id 458752000, image_id 5): its image_id is not that of QUESTIONS:1: " + Q0 + ".",
    ),
    ("a", {"annotations": ...}, "no field 'annotations'; got 'info'."),
    (
        "a",
        {"annotations.1.answer_type": "colour"},
        f"{A1}: field 'answer_type' must be one of yes/no, number, other, got 'colour'.",
    ),
    ("a", {"annotations.1.question_type": 1}, f"{A1}: field 'question_type' must be a string, got int."),
    ("a", {"annotations.1.answers": "net"}, f"{A1}: field 'answers' must be an array, got 'net'."),
    ("a", {"annotations.1.answers": []}, f"{A1}: field 'answers' is empty; there must be at least one."),
    ("a", {"annotations.1.answers.9": "net"}, f"{A1}: answers[9] must be an object, got 'net'."),
    ("a", {"annotations.1.answers.9.answer": 2}, f"{A1}: answers[9]: field 'answer' must be a string, got int."),
    (
        "a",
        {"annotations.1.answers.9.answer_id": True},
        f"{A1}: answers[9]: field 'answer_id' must be a whole number, got True.",
    ),
    (
        "a",
        {"annotations.1.answers.9.answer_confidence": "sure"},
        f"{A1}: answers[9]: field 'answer_confidence' must be one of yes, maybe, no, got 'sure'.",
    ),
]


def problem_of(read, *args, **options):
    with pytest.raises(DataError) as caught:
        read(*args, **options)
    assert str(caught.value).isprintable(), "not one line"
    return str(caught.value)


@pytest.mark.parametrize(("file", "fault", "problem"), FAULTS)
def test_an_entry_of_another_form_stops_with_its_place(tmp_path, file, fault, problem):
    questions = changed(QUESTIONS, **fault) if file == "q" else QUESTIONS
    annotations = changed(ANNOTATIONS, **fault) if file == "a" else ANNOTATIONS
    q, a = write_vqa(tmp_path, questions, annotations)
    expected = f"{q if file == 'q' else a}:1: {problem}".replace("QUESTIONS", str(q))
    assert problem_of(read_vqa, q, a) == expected


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ({"pairs": []}, "entry must be an array, got dict."),
        ([[1, 2], 3], "entry[1]: must be two question_ids, got 3."),
        ([[1, 2, 3]], "entry[0]: must be two question_ids, got list."),
        ([[5, 5]], "entry[0]: must be two different question_ids, got 5 twice."),
        ([[5, "6"]], "entry[0]: field 'second' must be a whole number, got '6'."),
        ([], "the file has no rows."),
    ],
)
def test_pairs_of_another_form_stop_with_their_place(tmp_path, pairs, problem):
    path = write(tmp_path / "pairs.json", pairs)
    assert problem_of(read_pairs, path, []) == f"{path}:1: {problem}"


# JSON


def entries(path, key="questions"):
    return list(read_array(path, key))


def test_every_entry_comes_with_its_line(tmp_path):
    path = write(tmp_path / "q.json", '{"a": {"b": [1]},\n "questions": [\n  1,\n  {"c":\n 2}, [3]\n ],\n "d": 4}\n')
    assert entries(path) == [
        (f"{path}:3: questions[0]", 1),
        (f"{path}:4: questions[1]", {"c": 2}),
        (f"{path}:5: questions[2]", [3]),
    ]
    assert entries(write(path, " [ ] \n"), None) == []
    assert entries(write(path, '{"questions":[]}')) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: not JSON at column 1: expected '{'."),
        ("[1]", "1: not JSON at column 1: expected '{'."),
        ("\n\n x", "3: not JSON at column 2: expected '{'."),
        ('{"questions": [1 2]}', "1: not JSON at column 18: expected ','."),
        ('{"questions": [1,\n]}', "2: not JSON at line 2, column 1: Expecting value."),
        ('{"questions": [1,\n {"a": 1,,}]}', "2: not JSON at line 2, column 10: "),
        ('{"questions": [1', "1: not JSON at column 17: expected ','."),
        ('{"questions": [1]', "1: not JSON at column 18: expected ','."),
        ('{"questions": [1]}\n{}', "2: not JSON at column 1: more text after the end."),
        ('{"questions" [1]}', "1: not JSON at column 14: expected ':'."),
        ("{1: 2}", "1: not JSON at column 3: expected a key before this, got 1."),
        ('{"a": 1, "a": 2}', "1: key 'a' is given twice."),
        ('{"questions": [1], "questions": [2]}', "1: key 'questions' is given twice."),
        ('{"questions": [\n{"a": 1, "a": 2}]}', "2: key 'a' is given twice."),
        ('{"questions": [NaN]}', "1: NaN is not a JSON number."),
        ('{"questions": [1e999]}', "1: number 1e999 is too large."),
        ('{"a":' + "[" * 100_000, "1: nested too deeply."),
        ("\ufeff{}", "1: starts with a byte-order mark; save the file as plain UTF-8."),
        ("{}", "1: no field 'questions'; got an empty object."),
    ],
)
def test_json_is_read_strictly(tmp_path, text, problem):
    path = write(tmp_path / "q.json", text)
    assert problem_of(entries, path).startswith(f"{path}:{problem}")


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "q.json"
    assert problem_of(entries, path) == f"{path}:1: cannot be read (No such file or directory)."
    path.write_bytes(b'{"a":\n"\xff"}')
    assert problem_of(entries, path) == f"{path}:2: not UTF-8 at byte 7 of the file."
    packed = write(tmp_path / "q.json.gz", QUESTIONS)
    packed.write_bytes(packed.read_bytes()[:-20])
    assert problem_of(entries, packed).startswith(f"{packed}:1: the gzip stream is damaged or cut short (")


# NLVR


def write_lines(path, *rows):
    return write(path, "".join(f"{json.dumps(row)}\n" for row in rows))


def png_bytes():
    file = io.BytesIO()
    Image.new("RGBA", (400, 100), (10, 20, 30, 255)).save(file, "PNG")
    return file.getvalue()


def write_tar(path, *names, content=None):
    with tarfile.open(path, "w") as tar:
        for name in names:
            data = png_bytes() if content is None else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_statement_is_a_record_with_its_label_as_only_answer(tmp_path):
    path = write_lines(tmp_path / "dev.json", STATEMENT, changed(STATEMENT, identifier="9-1", label="false"))
    tar = write_tar(tmp_path / "dev.tar", "dev-1572-0-0.png", "images/dev-9-1-0.png", "dev-9-1-1.png", "readme")
    content = read_nlvr(path, tar)
    assert content.skipped == []
    first, second = content.records
    assert first[:3] == ("Each grey box contains a circle", ("true",), ())
    assert first.image == TarMember(tar, "dev-1572-0-0.png", 512, len(png_bytes()))
    assert first.meta == {
        "where": f"{path}:1",
        "question_id": "1572-0",
        "image_id": "1572-0",
        "question_type": "statement",
        "answer_type": "true/false",
        "directory": "2",
        "split": "train",
    }
    assert second.answers == ("false",)
    assert second.image.name == "images/dev-9-1-0.png"
    assert load_image(second).shape == (100, 400, 3)
    assert load_image(second)[0, 0].tolist() == [10, 20, 30]
    assert [vqa_accuracy("False.", record.answers) for record in content.records] == [0.0, 1.0]


def test_statements_find_their_pictures_in_folders_by_directory(tmp_path):
    path = write_lines(tmp_path / "dev.json", STATEMENT, changed(STATEMENT, identifier="2-2"))
    (tmp_path / "images/2").mkdir(parents=True)
    (tmp_path / "images/2/dev-1572-0-0.png").write_bytes(png_bytes())
    content = read_nlvr(path, tmp_path / "images")
    assert load_image(content.records[0]).shape == (100, 400, 3)
    assert content.skipped == [(f"{path}:2 (identifier 2-2)", f"its picture is not in {tmp_path / 'images'}")]
    assert len(read_nlvr(path).records) == 2  # without pictures


@pytest.mark.parametrize(("directory", "split"), [("0", "train"), ("4", "validation"), ("5", "test"), ("11", "test")])
def test_the_directory_says_the_split(directory, split):
    assert split_of(parse_nlvr(changed(STATEMENT, directory=directory), "x:1")) == split
    assert split_of(parse_nlvr(changed(STATEMENT, directory=directory), "x:1", "train")) == "train"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"label": "True"}, "field 'label' must be true or false, got 'True'."),
        ({"label": True}, "field 'label' must be a string, got bool."),
        ({"identifier": "../x"}, "field 'identifier' must be two whole numbers such as 1572-0, got '../x'."),
        ({"directory": "two"}, "field 'directory' must be a whole number, got 'two'."),
        ({"directory": "²"}, "field 'directory' must be a whole number, got '²'."),
        ({"sentence": ...}, "no field 'sentence'; got 'label', 'identifier', 'directory', 'evals', 'structured_rep'."),
    ],
)
def test_a_statement_of_another_form_stops_with_file_and_line(tmp_path, fault, problem):
    path = write_lines(tmp_path / "dev.json", STATEMENT, changed(STATEMENT, **fault))
    assert problem_of(read_nlvr, path) == f"{path}:2: {problem}"


def test_a_tar_file_that_is_packed_cut_short_or_changed_later_is_a_data_error(tmp_path):
    path = write_lines(tmp_path / "dev.json", STATEMENT)
    tar = write_tar(tmp_path / "dev.tar", "dev-1572-0-0.png")
    packed = tmp_path / "dev.tar.gz"
    packed.write_bytes(gzip.compress(tar.read_bytes()))
    assert problem_of(read_nlvr, path, packed).startswith(f"{packed}: is no folder and no unpacked tar file")
    record = read_nlvr(path, tar).records[0]
    tar.write_bytes(tar.read_bytes()[:600])
    assert problem_of(load_image, record).startswith(f"{tar}: dev-1572-0-0.png: the PNG file is damaged or cut short (")
    tar.unlink()
    assert problem_of(load_image, record) == f"{tar}: cannot be read (No such file or directory)."
    huge = record._replace(image=record.image._replace(size=2**40))
    assert problem_of(load_image, huge) == f"{tar}: dev-1572-0-0.png: has {2**40} bytes, more than 50000000."


def test_a_tar_file_with_a_member_of_negative_size_ends(tmp_path):
    """Python's own reader would go back for ever."""
    path, tar = write_lines(tmp_path / "dev.json", STATEMENT), tmp_path / "dev.tar"
    member = tarfile.TarInfo("dev-1572-0-0.png")
    member.size = -512
    tar.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert problem_of(read_nlvr, path, tar).startswith(f"{tar}: is no folder and no unpacked tar file of pictures (")


# SHAPES


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def write_shapes(folder, count=3, array=None, questions=None, labels=None, end=""):
    array = (
        np.arange(count * 2700, dtype=np.uint32).astype(np.uint8).reshape(count, 30, 30, 3) if array is None else array
    )
    path = folder / f"train.tiny.input.npy{end}"
    path.write_bytes(gzip.compress(npy_bytes(array)) if end else npy_bytes(array))
    write(folder / f"train.tiny.query_str.txt{end}", "is a shape red\n" * count if questions is None else questions)
    write(folder / f"train.tiny.output{end}", "true\n" + "false\n" * (count - 1) if labels is None else labels)
    return path


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_row_of_shapes_is_a_record(tmp_path, end):
    path = write_shapes(tmp_path, end=end)
    content = read_shapes(path)
    assert content.skipped == []
    assert [record.answers for record in content.records] == [("true",), ("false",), ("false",)]
    second = content.records[1]
    assert second.question == "is a shape red"
    assert second.meta["where"] == f"{tmp_path / 'train.tiny.query_str.txt'}{end}:2"
    assert second.meta["question_id"] == 1
    assert isinstance(second.image, Pixels)
    # The file's channels are blue, green, red.
    assert load_image(second)[0, 0].tolist() == [(2700 + channel) % 256 for channel in (2, 1, 0)]
    assert load_image(second).flags.writeable


def test_equal_pictures_of_shapes_are_on_one_side(tmp_path):
    array = np.zeros((40, 30, 30, 3), np.uint8)
    array[20:] = np.arange(20)[:, None, None, None]
    records = read_shapes(write_shapes(tmp_path, 40, array)).records
    assert len({(record.meta["image_id"], split_of(record)) for record in records}) == 20
    assert {split_of(record) for record in read_shapes(tmp_path / "train.tiny.input.npy", split="test").records} == {
        "test"
    }


@pytest.mark.parametrize(
    ("given", "file", "problem"),
    [
        ({"array": np.zeros((3, 30, 30), np.uint8)}, "input.npy", "1: must hold uint8 of shape (N, 30, 30, 3), got "),
        (
            {"array": np.zeros((3, 30, 30, 3), np.int8)},
            "input.npy",
            "1: must hold uint8 of shape (N, 30, 30, 3), got i",
        ),
        (
            {"array": np.zeros((0, 30, 30, 3), np.uint8)},
            "input.npy",
            "1: must hold uint8 of shape (N, 30, 30, 3), got u",
        ),
        ({"labels": "true\nfalse\n"}, "output", "2: has 2 lines, but "),
        ({"labels": "true\nfalse\nFalse\n"}, "output", "3: must be true or false, got 'False'."),
        ({"labels": "true\nfalse\nfalse"}, "output", "3: the last line has no end; the file may be cut short."),
        ({"questions": "a\n\nc\n"}, "query_str.txt", "2: the question is empty."),
        ({"questions": "a\nb\0\nc\n"}, "query_str.txt", "2: holds a sign that is no text."),
        ({"questions": "a\nb\nc\nd\n"}, "query_str.txt", "4: has 4 lines, but "),
    ],
)
def test_shapes_of_another_form_are_refused(tmp_path, given, file, problem):
    path = write_shapes(tmp_path, **given)
    assert problem_of(read_shapes, path).startswith(f"{tmp_path}/train.tiny.{file}:{problem}")


def test_an_array_that_is_damaged_or_has_objects_is_refused(tmp_path):
    path = write_shapes(tmp_path)
    sound = path.read_bytes()
    for content in (b"", sound[:50], sound.replace(b"NUMPY\x01", b"NUMPY\x09"), sound.replace(b"shape", b"shap_")):
        path.write_bytes(content)
        assert problem_of(read_shapes, path).startswith(f"{path}:1: is no sound npy file (")
    for content, size, count in (
        (sound + b"0", 8101, 3),
        (sound[:-1], 8099, 3),
        (sound.replace(b"(3, 30", b"(9999999999999, 30"), 8112, 9999999999999),
    ):
        path.write_bytes(content)
        expected = f"{path}:1: {size} bytes follow a header for {count} pictures of 2700."
        assert problem_of(read_shapes, path) == expected
    path.write_bytes(sound.replace(b"'|u1'", b"'|O' "))
    assert "must hold uint8 of shape (N, 30, 30, 3), got object" in problem_of(read_shapes, path)
    assert problem_of(read_shapes, tmp_path / "x.npy").endswith("must be named NAME.input.npy or NAME.input.npy.gz.")


# COCO photographs


def test_questions_on_photographs_have_no_answers_and_name_the_licence(tmp_path):
    path = write(tmp_path / "annotations.json", COCO)
    place = picture(tmp_path / "images/000000000007.jpg")
    content = read_coco(path, tmp_path / "images")
    (record,) = content.records
    assert record[:4] == ("What is it?", (), (), place)
    assert record.meta == {
        "where": f"{path}:1: vqa_v1_val2014_questions[0] (question_id 70, image_id 7)",
        "question_id": 70,
        "image_id": 7,
        "question_type": None,
        "answer_type": None,
        "file_name": "000000000007.jpg",
        "license": 4,
        "flickr_url": "http://x/7",
        "split": hashed_split("7"),
    }
    where = f"{path}:1: vqa_v1_val2014_questions[1] (question_id 80, image_id 8)"
    assert content.skipped == [Skipped(where, f"its picture is not in {tmp_path / 'images'}")]
    assert load_image(record).shape == (2, 4, 3)
    assert len(read_coco(path).records) == 2
    write(path, changed(COCO, **{"vqa_v1_val2014_questions.1.question": ""}))
    assert read_coco(path).skipped == [Skipped(where, "the question is empty")]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            {"images.0.file_name": "../7.jpg"},
            "images[0]: field 'file_name' must be a name such as 000000522418.jpg, got '../7.jpg'.",
        ),
        ({"images.1.id": 7}, "images[1]: its id 7 is given twice."),
        ({"images.1": []}, "images[1] must be an object, got list."),
        ({"images.0.license": None}, "images[0]: field 'license' must be a whole number, got nothing."),
        (
            {"images.0.id": 9},
            "vqa_v1_val2014_questions[0] (question_id 70, image_id 7): no entry of 'images' has its image_id.",
        ),
        ({"images": ...}, "no field 'images'; got 'licenses', 'captions', 'vqa_v1_val2014_questions'."),
    ],
)
def test_annotations_of_another_form_stop_with_their_place(tmp_path, fault, problem):
    path = write(tmp_path / "annotations.json", changed(COCO, **fault))
    assert problem_of(read_coco, path) == f"{path}:1: {problem}"


# Damaged files


def orphans(content):
    return sum(skipped.reason == "no question has its question_id" for skipped in content.skipped)


def test_200_damaged_files_of_questions(tmp_path):
    q, a = write_vqa(tmp_path)

    def rows(content):
        return number_of(q, "questions") + orphans(content)

    read, refused = outcomes(q, json_damage(QUESTIONS), partial(read_vqa, q, a), rows, [q, a])
    assert min(read, refused) > 20


def test_200_damaged_files_of_annotations(tmp_path):
    q, a = write_vqa(tmp_path)
    answered = Counter()

    def rows(content):
        assert len(content.records) + len(content.skipped) - orphans(content) == 3
        without = sum(skipped.reason == "no annotation has its question_id" for skipped in content.skipped)
        assert number_of(a, "annotations") == 3 - without + orphans(content)
        answered.update(len(record.answers) for record in content.records)
        return 3 + orphans(content)

    read, refused = outcomes(a, json_damage(ANNOTATIONS), partial(read_vqa, q, a), rows, [q, a])
    assert min(read, refused) > 10  # most damage is found
    assert answered[10] > 20


def test_200_damaged_files_of_pairs(tmp_path):
    records = read_vqa(*write_vqa(tmp_path)).records
    path = tmp_path / "pairs.json"
    damaged = json_damage(PAIRS)
    read, refused = outcomes(path, damaged, partial(read_pairs, path, records), lambda _: number_of(path), [path])
    assert min(read, refused) > 20


def test_200_damaged_files_of_statements(tmp_path):
    path, tar = tmp_path / "dev.json", write_tar(tmp_path / "dev.tar", "dev-1572-0-0.png")
    damaged = line_damage([STATEMENT, changed(STATEMENT, identifier="2-2"), changed(STATEMENT, sentence="")])

    def rows(_):
        return len(path.read_bytes().rstrip(b"\n").split(b"\n"))

    read, refused = outcomes(path, damaged, partial(read_nlvr, path, tar), rows, [path])
    assert min(read, refused) > 20


def test_200_damaged_tar_files(tmp_path):
    path, tar = write_lines(tmp_path / "dev.json", STATEMENT), tmp_path / "dev.tar"
    write_tar(tar, "dev-1-1-0.png", "dev-1572-0-0.png")
    loaded = Counter()

    def rows(content):
        for record in content.records:
            try:
                loaded[load_image(record).shape[-1]] += 1
            except DataError as error:
                problem = str(error)
                loaded[problem.startswith(f"{tar}: ") and problem.isprintable()] += 1
        return 1

    read, refused = outcomes(tar, byte_damage(tar.read_bytes()), partial(read_nlvr, path, tar), rows, [tar])
    assert min(read, refused) > 20
    assert not loaded[False]
    assert loaded[3]


@pytest.mark.parametrize("name", ["input.npy", "query_str.txt", "output"])
def test_200_damaged_files_of_shapes(tmp_path, name):
    path = write_shapes(tmp_path)
    file = tmp_path / f"train.tiny.{name}"

    def rows(_):
        return 3

    names = [tmp_path / f"train.tiny.{end}" for end in ("input.npy", "query_str.txt", "output")]
    content = file.read_bytes()
    damaged = byte_damage(content) if name == "input.npy" else partial(damage_bytes, content)
    read, refused = outcomes(file, damaged, partial(read_shapes, path), rows, names)
    assert refused > 20
    assert read + refused == 200


def test_200_damaged_files_of_photographs(tmp_path):
    path, images = tmp_path / "annotations.json", tmp_path / "images"
    picture(images / "000000000007.jpg")

    def rows(_):
        return number_of(path, "vqa_v1_val2014_questions")

    read, refused = outcomes(path, json_damage(COCO), partial(read_coco, path, images), rows, [path])
    assert min(read, refused) > 20


# Real files


@real("vqa_v2_text")
@pytest.mark.parametrize(("name", "number"), [("train", 48061), ("valid", 8977)])
def test_the_real_questions_with_ten_answers(name, number):
    folder = REAL / "vqa_v2_text"
    # "annotatons" is how the files are spelled.
    content = read_vqa(folder / f"vqa_questions_{name}.json.gz", folder / f"vqa_annotatons_{name}.json.gz")
    assert (len(content.records), content.skipped) == (number, [])
    assert {(len(record.answers), len(record.confidences)) for record in content.records} == {(10, 10)}
    types = Counter(record.meta["answer_type"] for record in content.records)
    assert all(0.3 < types[kind] / number < 0.36 for kind in ("yes/no", "number", "other"))
    sides = {}
    for record in content.records:
        assert sides.setdefault(record.meta["image_id"], split_of(record)) == split_of(record)
    shares = Counter(split_of(record) for record in content.records)
    assert 0.75 < shares["train"] / number < 0.85


@real("nlvr")
def test_the_real_statements_and_their_drawings():
    content = read_nlvr(REAL / "nlvr/dev.jsonl.gz", REAL / "nlvr/dev_images_perm0.tar")
    assert (len(content.records), content.skipped) == (989, [])
    assert Counter(record.answers for record in content.records) == {("true",): 547, ("false",): 442}
    assert {load_image(record).shape for record in content.records} == {(100, 400, 3)}
    groups = {(record.meta["directory"], split_of(record)) for record in content.records}
    assert groups == {(str(n), "train") for n in range(4)} | {("4", "validation"), ("5", "test")}


@real("shapes")
@pytest.mark.parametrize(
    ("name", "number", "distinct"), [("train.tiny", 64, 1), ("train.small", 640, 10), ("val", 1024, 16)]
)
def test_the_real_shapes(name, number, distinct):
    content = read_shapes(REAL / f"shapes/{name}.input.npy.gz")
    assert (len(content.records), content.skipped) == (number, [])
    assert len({record.question for record in content.records}) == distinct
    assert {load_image(record).shape for record in content.records} == {(30, 30, 3)}


@real("shapes")
def test_the_colours_of_the_real_shapes_are_red_green_and_blue_in_this_order():
    content = read_shapes(REAL / "shapes/val.input.npy.gz")
    for record in content.records:
        for channel, colour in enumerate(("red", "green", "blue")):
            if colour in record.question and record.answers == ("true",):
                image = load_image(record).astype(int)
                others = np.delete(image, channel, axis=2).max(axis=2)
                assert ((image[..., channel] > 100) & (image[..., channel] > 2 * others)).any(), record.question


@real("coco_tiny_free")
def test_the_real_photographs_and_their_questions():
    content = read_coco(REAL / "coco_tiny_free/annotations.json", REAL / "coco_tiny_free/images")
    assert (len(content.records), content.skipped) == (99, [])
    assert len({record.image for record in content.records}) == 33
    assert all(load_image(record).shape[2] == 3 for record in content.records)
    assert isinstance(content.records[0], VQARecord)
