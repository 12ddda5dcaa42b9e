"""Pictures: every mode and format, damaged files, files that claim to be huge, paths that lead elsewhere."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from envs.corpora.images import MAX_BYTES, MAX_PIXELS, letterbox, read_image
from perlhf.errors import DataError, UserError

TESTS = Path(__file__).parent
PHOTOS = TESTS / "../../shared/data/coco_tiny_free/images"
FORMATS = ["PNG", "JPEG", "WEBP"]


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def drawing(mode="RGB", size=(40, 30)):
    """A soft picture, so that JPEG keeps it."""
    y, x = np.mgrid[: size[1], : size[0]]
    rgba = np.stack([x * 6, y * 8, 255 - x * 6, 255 - y * 4], axis=-1).astype(np.uint8)
    image = Image.fromarray(rgba)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, depth, colour_type, row, *chunks):
    """A PNG of one row, of any depth and colour type; Pillow writes only some."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*c) for c in chunks), chunk(b"IDAT", zlib.compress(b"\0" + row))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


# What sound files become


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_gives_the_picture(tmp_path, form, mode):
    image, path = drawing(mode), tmp_path / "picture"  # the name says nothing, the content says it all
    path.write_bytes(encoded(image, form, quality=95))
    read = read_image(path)
    assert read.shape == (30, 40, 3)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(read - expected).max() <= (0 if form == "PNG" else 12)
    assert np.array_equal(read_image(path.read_bytes()), read)
    assert np.array_equal(read_image(str(path)), read)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_transparent_stands_on_white(form):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    read = read_image(encoded(Image.fromarray(rgba), form, **options))
    assert read.tolist() == [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]


def grey(*values):
    return [[value] * 3 for value in values]


PALETTE = (b"PLTE", b"\1\2\3\4\5\6\7\x08\x09")
ODD = {
    "1 bit": (png(8, 1, 0, b"\xf0"), grey(255, 255, 255, 255, 0, 0, 0, 0)),
    "1 bit, black transparent": (png(2, 1, 0, b"\x80", (b"tRNS", b"\0\0")), grey(255, 255)),
    "2 bits": (png(4, 2, 0, b"\x1b"), grey(0, 85, 170, 255)),
    "2 bits, 1 transparent": (png(4, 2, 0, b"\x1b", (b"tRNS", b"\0\1")), grey(0, 255, 170, 255)),
    "4 bits, 1 transparent": (png(2, 4, 0, b"\x1b", (b"tRNS", b"\0\1")), grey(255, 187)),
    "8 bits, 64 transparent": (png(2, 8, 0, b"\x1b\x40", (b"tRNS", b"\0\x40")), grey(27, 255)),
    "16 bits": (png(5, 16, 0, struct.pack(">5H", 0, 128, 129, 25700, 65535)), grey(0, 0, 1, 100, 255)),
    "16 bits, 25700 transparent": (
        png(3, 16, 0, struct.pack(">3H", 0, 25700, 25701), (b"tRNS", struct.pack(">H", 25700))),
        grey(0, 255, 100),
    ),
    "grey and alpha": (png(2, 8, 4, b"\x09\xff\x09\x00"), grey(9, 255)),
    "grey and alpha of 16 bits": (png(2, 16, 4, struct.pack(">4H", 2313, 65535, 2313, 0)), grey(9, 255)),
    "colours of 16 bits": (png(1, 16, 2, struct.pack(">3H", 2313, 2056, 65535)), [[9, 8, 255]]),
    "colours of 16 bits, one transparent": (
        png(2, 16, 2, struct.pack(">6H", 2313, 2056, 1799, 25700, 0, 0), (b"tRNS", struct.pack(">3H", 25700, 0, 0))),
        [[9, 8, 7], [255, 255, 255]],
    ),
    "colour and alpha of 16 bits": (png(1, 16, 6, struct.pack(">4H", 2313, 2056, 65535, 65535)), [[9, 8, 255]]),
    "palette": (png(3, 8, 3, b"\0\1\2", PALETTE), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
    "palette, one transparent": (
        png(3, 8, 3, b"\0\1\2", PALETTE, (b"tRNS", b"\xff\x00")),
        [[1, 2, 3], [255, 255, 255], [7, 8, 9]],
    ),
    "palette of 2 bits, one transparent": (
        png(3, 2, 3, b"\x18", PALETTE, (b"tRNS", b"\xff\x00")),
        [[1, 2, 3], [255, 255, 255], [7, 8, 9]],
    ),
    "palette, half transparent": (png(1, 8, 3, b"\1", PALETTE, (b"tRNS", b"\xff\x80")), [[129, 130, 130]]),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_modes_of_png_become_8_bits_of_three_colours(kind):
    content, expected = ODD[kind]
    assert read_image(content)[0].tolist() == expected


def test_cmyk_becomes_rgb():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(read_image(encoded(cmyk, "JPEG", quality=95)).astype(int) - [255, 0, 0]).max() <= 3


def test_a_large_picture_is_converted_in_strips_without_a_seam():
    image = drawing("RGBA", (900, 700))  # more than two strips
    white = Image.new("RGBA", image.size, "white")
    expected = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    assert np.array_equal(read_image(encoded(image, "PNG")), expected)


def test_an_animation_gives_its_first_frame():
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        content = encoded(first, form, save_all=True, append_images=[second], duration=10, **options)
        assert read_image(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(10))
def test_a_photo_is_turned_upright(form, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    content = encoded(drawing(), form, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert np.array_equal(read_image(content), expected)


def test_orientation_6_turns_to_the_right():
    exif = Image.Exif()
    exif[0x112] = 6
    left_red = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))  # 2 wide, 1 high
    assert read_image(encoded(left_red, "PNG", exif=exif)).tolist() == [[[255, 0, 0]], [[0, 0, 255]]]


def test_a_broken_exif_note_leaves_the_picture_as_it_is():
    content = encoded(drawing(), "PNG", exif=b"Exif\0\0no TIFF at all")
    assert np.array_equal(read_image(content), np.asarray(drawing()))


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not on this machine")
def test_the_real_photographs_are_read():
    sizes = {path.name: read_image(path, root=PHOTOS).shape for path in sorted(PHOTOS.glob("*.jpg"))}
    described = json.loads((PHOTOS.parent / "annotations.json").read_text(encoding="utf-8"))["images"]
    assert sizes == {image["file_name"]: (image["height"], image["width"], 3) for image in described}
    assert len(sizes) == 33


# What is refused


def problem_of(source, **options):
    with pytest.raises(DataError) as caught:
        read_image(source, **options)
    assert str(caught.value).isprintable(), "not one line"
    return str(caught.value)


@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("RGB", "JPEG", {}),
        ("L", "JPEG", {"progressive": True}),
        ("RGB", "WEBP", {}),
        ("RGBA", "WEBP", {"lossless": True}),
    ],
)
def test_a_file_that_is_cut_short_anywhere_is_refused_or_has_lost_nothing(mode, form, options):
    content = encoded(drawing(mode), form, **options)
    whole, problems = read_image(content), []
    for length in range(30, len(content)):
        try:
            assert np.array_equal(read_image(content[:length]), whole)  # only checksums and the end mark are missing
        except DataError as error:
            problems.append(str(error))
    assert len(problems) >= len(content) - 30 - 24
    assert {problem.split("(")[0] for problem in problems} == {f"image: the {form} file is damaged or cut short "}


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_named(tmp_path, form):
    path = tmp_path / "cut"
    path.write_bytes(encoded(drawing(), form)[:60])
    assert problem_of(path).startswith(f"{path}: the {form} file is damaged or cut short (")


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM", "TGA"])
def test_other_formats_are_refused_whatever_the_name(tmp_path, form):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(drawing(), form))
    assert problem_of(path) == f"{path}: is no PNG, JPEG or WEBP file; convert it to one of these."


def test_content_is_called_by_the_name_given():
    assert problem_of(b"") == "image: is empty."
    assert problem_of(b"", name="a.tar: b.png") == "a.tar: b.png: is empty."
    assert problem_of(b"GIF89a", name="x\ny").startswith("'x\\ny': is no PNG")


def riff(kind, data):
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def size24(value):
    return struct.pack("<I", value - 1)[:3]


# Headers alone: had anything been decoded, the files would be cut short.
BOMBS = {
    "PNG": (png(1, 8, 0, b"")[:16] + struct.pack(">II", 100_000, 100_000) + b"\x08\0\0\0\0", "100000 x 100000"),
    "JPEG": (
        b"\xff\xd8\xff\xc0\0\x11\x08"
        + struct.pack(">HH", 60_000, 50_000)
        + b"\3\1\x22\0\2\x11\1\3\x11\1"
        + b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0",
        "50000 x 60000",
    ),
    "WEBP VP8X": (riff(b"VP8X", b"\0\0\0\0" + size24(2**24) + size24(255)), "16777216 x 255"),
    "WEBP VP8L": (riff(b"VP8L", b"\x2f" + struct.pack("<I", 9999 | 12_345 << 14)), "10000 x 12346"),
    "WEBP VP8 ": (riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)), "16383 x 16383"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_huge_picture_is_refused_by_its_header(kind):
    content, size = BOMBS[kind]
    if kind == "PNG":
        content = content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + chunk(b"IDAT", b"")
    assert problem_of(content) == f"image: has {size} pixels; there must be 1 to {MAX_PIXELS}."


def test_a_webp_file_without_a_size_is_refused():
    for content in (riff(b"ALPH", bytes(20)), riff(b"VP8L", b"\x2f"), riff(b"VP8 ", bytes(10)), b"RIFF\0\0\0\0WEBP"):
        assert problem_of(content).startswith("image: the WEBP file is damaged or cut short (")


def test_the_limit_of_pixels_is_exact():
    flat = [Image.new("L", size) for size in ((16_000, 1000), (16_000, 1001))]
    assert read_image(encoded(flat[0], "PNG")).shape == (1000, 16_000, 3)
    assert problem_of(encoded(flat[1], "PNG")).startswith("image: has 16000 x 1001 pixels")


def test_a_picture_without_pixels_is_refused():
    content = png(1, 8, 0, b"\0")
    header = b"IHDR" + struct.pack(">IIBBBBB", 0, 1, 8, 0, 0, 0, 0)
    empty = content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    assert problem_of(empty).startswith("image: the PNG file is damaged")
    assert problem_of(riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + bytes(4))).startswith("image: has 0 x 0 pixels; ")


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    path = tmp_path / "big.png"
    with open(path, "wb") as file:
        file.write(encoded(drawing(), "PNG"))
        file.truncate(MAX_BYTES + 1)  # a hole
    assert problem_of(path) == f"{path}: has {MAX_BYTES + 1} bytes, more than {MAX_BYTES}; make the file smaller."


def test_what_is_no_file_is_refused(tmp_path):
    assert problem_of(tmp_path / "none.png") == f"{tmp_path / 'none.png'}: cannot be read (No such file or directory)."
    assert problem_of(tmp_path) == f"{tmp_path}: is no regular file."
    os.mkfifo(tmp_path / "pipe.png")
    assert problem_of(tmp_path / "pipe.png") == f"{tmp_path / 'pipe.png'}: is no regular file."
    assert problem_of("a\0b.png").startswith(r"'a\x00b.png': cannot be read (embedded null")


# Where a path leads


@pytest.fixture
def folders(tmp_path):
    """data/in.png, data/deep/in.png, and out.png beside the folder."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for place in ("out.png", "data/in.png", "data/deep/in.png"):
        (tmp_path / place).write_bytes(encoded(drawing(), "PNG"))
    return tmp_path


@pytest.mark.parametrize("place", ["data/in.png", "data/deep/in.png", "data/deep/../in.png", "data/../data/in.png"])
def test_a_path_inside_the_folder_is_read(folders, place):
    assert read_image(folders / place, root=folders / "data").shape == (30, 40, 3)


def test_a_link_that_stays_inside_and_a_linked_root_are_read(folders):
    (folders / "data/link.png").symlink_to(folders / "data/deep/in.png")
    (folders / "root").symlink_to(folders / "data")
    assert read_image(folders / "data/link.png", root=folders / "data").shape == (30, 40, 3)
    assert read_image(folders / "root/in.png", root=folders / "data").shape == (30, 40, 3)
    assert read_image(folders / "data/in.png", root=folders / "root").shape == (30, 40, 3)


def test_a_relative_path_is_relative_to_the_working_directory(folders, monkeypatch):
    monkeypatch.chdir(folders)
    assert read_image("data/in.png", root="data").shape == (30, 40, 3)
    assert "leads out of the folder data" in problem_of("out.png", root="data")


@pytest.mark.parametrize("kind", ["beside", "dots", "link", "linked folder", "link to a link", "same beginning"])
def test_a_path_that_leaves_the_folder_is_refused(folders, kind):
    data = folders / "data"
    (data / "link.png").symlink_to("../out.png")
    (data / "again.png").symlink_to("link.png")
    (data / "up").symlink_to(folders)
    (folders / "data2").mkdir()
    (folders / "data2" / "in.png").write_bytes(encoded(drawing(), "PNG"))
    path = {
        "beside": folders / "out.png",
        "dots": data / "deep/../../out.png",
        "link": data / "link.png",
        "linked folder": data / "up/out.png",
        "link to a link": data / "again.png",
        "same beginning": folders / "data2/in.png",
    }[kind]
    assert problem_of(path, root=data) == f"{path}: leads out of the folder {data}; put the file inside it."


def test_links_in_a_circle_and_missing_files_are_data_errors(folders):
    data = folders / "data"
    (data / "a.png").symlink_to("b.png")
    (data / "b.png").symlink_to("a.png")
    for name in ("a.png", "none.png", "x\0.png", "in.png/x.png"):
        assert "cannot be read (" in problem_of(data / name, root=data)
    assert "cannot be read (" in problem_of(data / "in.png", root=folders / "none")


# Damaged files


def samples():
    """Small files of every format and of many modes."""
    exif = Image.Exif()
    exif[0x112] = 6
    exif[0x10E] = "a drawing"
    files = [content for content, _ in ODD.values()]
    files += [encoded(drawing(mode), "PNG") for mode in ("RGBA", "RGB", "P", "1", "L")]
    files += [encoded(drawing(mode), "JPEG", exif=exif) for mode in ("RGB", "L", "CMYK")]
    files += [encoded(drawing(), "JPEG", progressive=True, subsampling=0)]
    files += [encoded(drawing("RGBA"), "WEBP", lossless=lossless, exif=exif) for lossless in (True, False)]
    files += [encoded(drawing(), "WEBP"), encoded(drawing("RGBA"), "PNG", exif=exif)]
    return files


def mutated(content, rng):
    """A few bytes flipped, set, deleted or inserted, mostly in the headers; or the file cut short."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(min(len(content), rng.choice((40, 200, 10**6))) or 1)
        kind = rng.choice(("flip", "set", "delete", "insert", "cut", "number"))
        if kind == "flip":
            content[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in content[at : at + 1])
        elif kind == "set":
            content[at : at + 1] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
        elif kind == "delete":
            del content[at : at + rng.randint(1, 8)]
        elif kind == "insert":
            content[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == "number":  # sizes and lengths
            content[at : at + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 4000, 2**16, 2**31, 2**32 - 1))
            )
        else:
            del content[at:]
    return with_checksums(content) if rng.random() < 0.5 else bytes(content)


def with_checksums(content):
    """A PNG's own checksums put right, so that the damage gets past them."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return bytes(content)
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        content[end : end + 4] = (
            struct.pack(">I", zlib.crc32(content[at + 4 : end])) if end + 4 <= len(content) else b""
        )
        at = end + 4
    return bytes(content)


def read_mutated(number):
    """How many of so many mutated files were read, and how many refused; anything else is an AssertionError."""
    files, read, refused = samples(), 0, 0
    for seed in range(number):
        rng = random.Random(seed)
        content, problem = mutated(rng.choice(files), rng), ""
        try:
            image = read_image(content, name="a.png")
        except DataError as error:
            problem = str(error)
            refused += 1
            assert problem.startswith("a.png: "), (seed, problem)
            assert problem.isprintable(), (seed, problem)
        else:
            read += 1
            assert image.dtype == np.uint8, seed
            assert image.ndim == 3, seed
            assert image.shape[2] == 3, seed
            assert image.size > 0, seed
    return read, refused


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from PIL import Image
import test_vqa_images as t

def peak():
    # Not getrusage: its peak of a new process is at first that of the process which started it.
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM:"))) // 1024

assert [t.read_image(content) is not None for content in t.samples()]
before = peak()
"""
PEAK = 300  # MB
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")


def run(script):
    """The numbers that a script prints, run in a process of its own, whose peak memory is its own too."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT + script, str(TESTS)]
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@needs_proc
def test_2000_mutated_files_are_read_or_refused_in_one_line_in_little_memory():
    read, refused, more = run("print(*t.read_mutated(2000), peak() - before)")
    assert read + refused == 2000
    assert min(read, refused) > 200  # both ends were met
    assert more < PEAK


@needs_proc
@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        ("RGBA", "PNG", {}),
        ("CMYK", "JPEG", {"progressive": True}),
        ("RGBA", "WEBP", {"lossless": True, "method": 0, "quality": 0}),
    ],
)
def test_the_largest_picture_takes_little_memory(tmp_path, mode, form, options):
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / "large"
    Image.new(mode, (4000, 4000), (50, 100, 150, 200)).save(path, form, exif=exif, **options)
    height, width, more = run(f"print(*t.read_image({str(path)!r}).shape[:2], peak() - before)")
    assert height * width == MAX_PIXELS
    assert 50 < more < PEAK


def test_the_state_of_pillow_is_left_alone():
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    read_image(encoded(drawing(), "PNG"))
    problem_of(BOMBS["WEBP VP8X"][0])
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# The canvas


def test_a_wide_picture_has_grey_above_and_below():
    canvas = letterbox(np.full((2, 4, 3), 7, np.uint8), 4, 4)
    assert canvas[:, :, 0].tolist() == [[128] * 4, [7] * 4, [7] * 4, [128] * 4]


def test_a_high_picture_has_grey_on_both_sides_the_odd_column_to_the_right():
    canvas = letterbox(np.full((4, 1, 3), 7, np.uint8), 4, 4)
    assert canvas[:, :, 2].tolist() == [[128, 7, 128, 128]] * 4


def test_a_picture_of_the_canvas_size_stays_as_it_is():
    image = np.asarray(drawing())
    canvas = letterbox(image, 30, 40)
    assert np.array_equal(canvas, image)
    assert canvas.flags.writeable
    assert not np.shares_memory(canvas, image)


def test_a_picture_is_made_smaller_by_averaging():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    canvas = letterbox(stripes, 8, 8)
    assert np.abs(canvas[:, 1:-1].astype(int) - 100).max() <= 12  # not 0 or 200, as it would be by dropping columns


def test_a_small_picture_is_made_larger():
    canvas = letterbox(np.full((30, 30, 3), 9, np.uint8), 64, 96)
    assert (canvas[:, 16:80] == 9).all()
    assert (canvas[:, :16] == 128).all()
    assert (canvas[:, 80:] == 128).all()


SIDE = st.integers(1, 70)


@given(SIDE, SIDE, SIDE, SIDE)
def test_a_canvas_always_has_its_size_and_the_aspect_ratio_of_the_picture(rows, columns, height, width):
    canvas = letterbox(np.zeros((rows, columns, 3), np.uint8), height, width)
    assert canvas.shape == (height, width, 3)
    dark = np.argwhere((canvas == 0).all(axis=2))
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0)
    inner = (bottom - top + 1, right - left + 1)
    assert dark.shape[0] == inner[0] * inner[1]  # one rectangle
    assert inner[0] == height or inner[1] == width  # as large as fits
    scale = min(height / rows, width / columns)
    assert abs(inner[0] - rows * scale) <= 0.5 or inner[0] == 1
    assert abs(inner[1] - columns * scale) <= 0.5 or inner[1] == 1
    assert 0 <= (height - bottom - 1) - top <= 1
    assert 0 <= (width - right - 1) - left <= 1


@pytest.mark.parametrize(
    ("image", "height", "width", "problem"),
    [
        (np.zeros((4, 4), np.uint8), 8, 8, "a picture must be (height, width, 3) uint8, got (4, 4) uint8."),
        (np.zeros((4, 4, 4), np.uint8), 8, 8, "a picture must be (height, width, 3) uint8, got (4, 4, 4) uint8."),
        (np.zeros((4, 4, 3)), 8, 8, "a picture must be (height, width, 3) uint8, got (4, 4, 3) float64."),
        (np.zeros((0, 4, 3), np.uint8), 8, 8, "a picture must be (height, width, 3) uint8, got (0, 4, 3) uint8."),
        (np.zeros((4, 4, 3), np.uint8), 0, 8, "a canvas must have at least 1 x 1 pixels, got height 0 and width 8."),
    ],
)
def test_what_is_no_picture_or_no_canvas_is_refused(image, height, width, problem):
    with pytest.raises(UserError) as caught:
        letterbox(image, height, width)
    assert str(caught.value) == problem
