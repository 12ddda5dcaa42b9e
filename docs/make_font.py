"""Makes the font that pictures are written with, from the open fonts that it is a part of.

    npm pack @fontsource/noto-sans@5.3.0 @fontsource/noto-sans-symbols-2@5.3.0 @fontsource/noto-sans-math@5.3.0 \
        @fontsource/noto-emoji@5.3.2
    for each in fontsource-*.tgz; do mkdir ${each%-*} && tar xzf $each -C ${each%-*} --strip 1; done
    pip install fonttools brotli
    python docs/make_font.py FOLDER

Letters are Noto Sans, arrows and signs Noto Sans Math and Symbols 2, emoji Noto Emoji, which has one colour; all are
under the SIL Open Font License, which lies beside the font.
"""

import sys
import tempfile
from pathlib import Path

FONT = Path(__file__).parent.parent / "envs" / "fonts" / "letters.ttf"
UNITS = 1000  # of an em

LETTERS = ["latin", "latin-ext", "greek", "cyrillic", "cyrillic-ext", "vietnamese"]
SIGNS = "←↑→↓↔↕⇐⇒⇔−×÷±≠≈≤≥∞√∑∏∂∆∫∈∉∩∪⊂∀∃"
SHAPES = "■□▪▫▲△▶▷▼▽◀◁◆◇○●◯★☆☐☑☒✓✔✕✖✗✘❤♪♫"
# The emoji that people use most, by kind: faces, hands, hearts, people, animals, food, travel, things, signs, weather.
EMOJI = (
    "😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘😗😚😋😛😜🤪😝🤗🤭🤔😐😑😶😏😒🙄😬😌😔😪😴😷🤒🤕🤧🥵🥶😵🤯🥳😎🤓😕😟🙁😮😲😳🥺😨😰😥😢😭😱😖😞"
    "😓😩😫🥱😤😡😠🤬😈💀💩🤡👻👽🤖👋🤚✋🖖👌✌🤞🤟🤘🤙👈👉👆👇👍👎✊👊🤛🤜👏🙌👐🤲🤝🙏💪👀❤🧡💛💚💙💜🖤🤍💔💕💖💯💥💦💤👶👦👧👨👩👴👵"
    "🙋🤷🤦💃🕺👪🐶🐱🐭🐰🦊🐻🐼🐯🦁🐮🐷🐸🐵🐔🐧🐦🦆🦉🐴🦄🐝🐛🦋🐢🐍🐙🐠🐬🐳🌸🌹🌻🌷🌱🌲🌳🌴🍀🍁🍂🍎🍊🍋🍌🍉🍇🍓🍒🍑🍍🥑🍅🌽🥕🥔🍞🥐🧀🥚🍳🥞🍔🍟🍕🌭"
    "🥪🌮🍝🍜🍣🍦🍩🍪🎂🍰🍫🍬🍿☕🍵🍺🍷🥂🍴🌍🏠🏢🏥🏫⛪🏖🏔🚗🚕🚌🚑🚒🚲✈🚀⛵🚢🚆🚇⛽🚦⌚📱💻⌨📷🎥📞📺⏰⌛🔋🔌💡🔦💰💳💎🔧🔨🔑🔒🔓🔔🎁🎈🎉🎊🎄🎵🎶🎤🎧"
    "🎸🎹🎨🎬🎮🎯🎲⚽🏀🏈⚾🎾🏆🥇🏊🏃🚶🚴✉📧📦📅📌📎✂📝📚📖🔍🗑📈📉📊☀🌙⭐🌟☁⛅🌧⛈❄⛄🔥💧🌈⚡☂☔✅❌❓❗⚠🚫➕➖➗♻⬆⬇⬅➡🔄▶⏸⏹⏺🆗🆕🔴🟢🔵"
    "🫖👕🧥🧣👚🧶🛏⛏🪑🚿⛱🪴⛑🛹🛶⛺🧳🎒👛👝"  # of things that the phone's shop sells
)


def main() -> None:
    """Runs the command."""
    from fontTools.merge import Merger
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.scaleUpem import scale_upem

    taken: set[int] = set()
    with tempfile.TemporaryDirectory() as scratch:
        parts: list[str] = []
        for source, wanted in sources(Path(sys.argv[1])):
            font = TTFont(source)
            scale_upem(font, UNITS)
            here = set(font.getBestCmap()) - taken
            chosen = here if wanted is None else here & {ord(c) for c in wanted}
            if not chosen:
                continue
            options = Options(layout_features=[], hinting=False, name_IDs=[0, 1, 2, 13, 14], notdef_outline=True)
            subsetter = Subsetter(options)
            subsetter.populate(unicodes=chosen)
            subsetter.subset(font)
            for table in ("GDEF", "GPOS", "GSUB", "STAT", "vhea", "vmtx", "VORG"):
                if table in font:
                    del font[table]
            taken |= chosen
            parts.append(f"{scratch}/{len(parts)}.ttf")
            font.flavor = None
            font.save(parts[-1])
        whole = Merger().merge(parts)
    for record in whole["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = "perlhf letters"
    whole.save(FONT)
    print(f"{len(taken)} characters, {FONT.stat().st_size} bytes")


def sources(folder: Path) -> list[tuple[Path, str | None]]:
    """Returns the files to take characters from in this order, and which of them; None for all."""

    def file(package: str, part: str) -> Path:
        return folder / f"fontsource-{package}" / "files" / f"{package}-{part}-400-normal.woff2"

    letters: list[tuple[Path, str | None]] = [(file("noto-sans", part), None) for part in LETTERS]
    emoji = sorted((folder / "fontsource-noto-emoji" / "files").glob("noto-emoji-*-400-normal.woff2"))
    return [
        *letters,
        (file("noto-sans-math", "latin"), SIGNS + SHAPES),
        *((file("noto-sans-symbols-2", part), SHAPES) for part in ("symbols", "latin", "latin-ext", "math")),
        *((each, EMOJI) for each in emoji),
    ]


if __name__ == "__main__":
    main()
