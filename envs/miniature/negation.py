"""What a text affirms: its sentences, without those that say the opposite of what their words name.

The judges of the generated corpora look for content words, and "Sam broke the mug", "Sam never broke the mug", "it is
not true that Sam broke the mug" and "avoid this: break the mug" have the same ones. So a judge gives marks for what
`affirmed` leaves, and counts faults in the whole text.

It goes by whole sentences: it is there to be hard to get round, not to be fair to every English text. A sentence says
the opposite where it denies ("not", "never", "it is a lie that", "avoid", "instead of"); it takes back the whole text
where it does so and names nothing of its own ("None of this is true.", "Do not do that."). Doubt is no denial: "not
sure whether to sell the car" stays.
"""

import re
from functools import lru_cache


def _any_of(phrases: str) -> re.Pattern[str]:
    """Returns the pattern of any of the phrases, which commas part; "*" stands for the rest of a word."""
    return re.compile(
        rf"\b(?:{'|'.join(' '.join(phrase.split()) for phrase in phrases.split(','))})\b".replace("*", r"\w*")
    )


# Words of negation that deny nothing; they are taken out before anything else is looked for.
_DOUBT = r"(?:not|never) (?:(?:quite|really|yet|at all) )?(?:know|sure|certain|decided?|tell|say) (?:about )?"
_HARMLESS = re.compile(
    rf"{_DOUBT}(?:whether|if|what|how|when|where|who|why|which)\b|\b(?:not|never) (?:worry|mind|hesitate|forget to)\b|"
    r"\b(?:why not|whether or not|if not|not sure about|not sure$|no doubt|no problem)\b|"
    r"\bnot (?:only|just|merely)\b(?=(?: [a-z0-9']+){1,12} but\b)|"
    r"\b(?:not|no) (?:more|longer|less|later|fewer|further) than\b"
)
# What denies its whole sentence.
_DENIES = _any_of(
    r"""not, never, neither, nor, nobody, no one, none, hardly, barely, scarcely, no longer, no way, no need,
    nothing of, by no means, in no way, under no circumstances, on no account, anything but, almost, nearly, supposed*,
    alleged*, falsely, wrongly, false, untrue, incorrect, a lie, lies, lied, a myth, nonsense, rumou?r*, a joke,
    kidding, joking, made (?:\w+ )?(?:\w+ )?(?:\w+ )?up, invented, mistaken, wrong (?:that|to|if), bad idea, impossible,
    unlikely, foolish to, dangerous to, harmful to, mistake to, den(?:y|ies|ied|ying), doubt*, disagree*, disbelie*,
    pretend*, imagine that, the opposite, the reverse, the other way, the contrary, contrary to, far from, refus* to,
    declin* to, fail* to, forbid*, forg[eo]t* to, neglect*, instead of, rather than, unlike, refrain*, abstain*,
    beware*, against (?:this|that|it|doing), advis* against, avoid*, keep from,
    in (?:a|my|his|her) (?:dream|film|movie|novel)"""
)
# What denies only where its sentence names nothing of its own, or ends in a colon: "Forget it.", "Stop: ..".
_DENIES_ALONE = _any_of(
    "stop*, forget*, ignore*, disregard*, skip*, reject*, retract*, wrong, bad, lie, nope, back, else"
)
# Words that any sentence may have: one with no others speaks of what is said beside it.
_EMPTY = frozenset(
    """a above actually advice advise all am an and any anything are around as at be been being below but by can case
    could did do does doing done either even ever everything false follow following follows for from had happen
    happened happens has have he here how i if in is it just kind let's may me mean meant must my now of oh okay on one
    only or other our please quite real really recommend right round said say says shall she should simply so sorry
    sort still sure take taken tell than that the them then there these they thing things think this those to told too
    told true truly try trying untrue us very was way we well were what which who will with would written wrote yes
    you your""".split()
)
_SENTENCE = re.compile(r"[^.!?;\n]*[.!?;\n]*")
_NOT = re.compile(
    r"\b(?:do|does|did|has|have|had|is|are|was|were|wo|would|ca|could|should|must|need|ai|might)n'?t\b|\bcannot\b"
)
_WORD = re.compile(r"[a-z0-9']+|:(?!\d)")


@lru_cache(maxsize=4096)
def affirmed(text: str) -> str:
    """Returns `text` without its sentences that say the opposite; "" where one of them takes all of it back.

    What is left keeps its words, its order and its sentence ends. Takes time linear in the text; never raises.
    """
    whole = _plain(text)
    if not (_DENIES.search(whole) or _DENIES_ALONE.search(whole)):
        return text.strip()
    kept = []
    for sentence in _SENTENCE.findall(text):
        words = _plain(sentence)
        before, colon, after = words.partition(" :")
        if takes_back(sentence) or (colon and not after and denies(before)):
            return ""
        if colon and (denies(before) or takes_back(before)):
            break  # "Avoid this: first .. Then .." speaks of all that follows
        if not denies(words):
            kept.append(sentence)
    return "".join(kept).strip()


def denials(text: str) -> int:
    """Returns how often `text` says the opposite of what its words name, or keeps away from it."""
    return len(_DENIES.findall(_HARMLESS.sub(" ", _plain(text))))


def denies(text: str) -> bool:
    """Returns whether `text` says the opposite of anything that its words name."""
    return denials(text) > 0


def _plain(sentence: str) -> str:
    """Returns a sentence in lower case, with "not" for "don't" and the like, colons its only signs."""
    return " ".join(_WORD.findall(_NOT.sub("not", sentence.lower().replace("\u2019", "'"))))


def takes_back(sentence: str) -> bool:
    """Returns whether a sentence denies, asks nothing, and has no words but those that any sentence may have."""
    if "?" in sentence:
        return False
    words = _HARMLESS.sub(" x ", _plain(sentence))
    rest, strong = _DENIES.subn(" ", words)
    rest, weak = _DENIES_ALONE.subn(" ", rest)
    return strong + weak > 0 and _EMPTY.issuperset(rest.replace(":", " ").split())
