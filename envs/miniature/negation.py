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


# Words of negation that deny nothing; they are taken out before anything else is looked for. An aside says nothing of
# the text beside it; doubt and the like speak of a thing of their own.
_DOUBT = r"(?:not|never) (?:(?:quite|really|yet|at all) )?(?:know|sure|certain|decided?|tell|say) (?:about )?"
_BAD = r"(?:wrong|bad|foolish|impossible|dangerous|a bad idea|a mistake)"
_AMOUNT = r"(?:have|need|want|to|be|take|cost|spend|pay|use|wait|last|require|you|us|them|it|any|much|even)"
_ASIDE = (
    r"\b(?:(?:not|never)(?: (?:have|need) to)?|no need to) (?:worry|mind|hesitate|forget to)\b|"
    r"\b(?:no doubt|no problem)\b|(?<=\w )or not\b|"
    r"\bnot (?:be )?(?:(?:that|so|too|really|such|a) ){0,2}(?:bad|wrong)\b|"
    r"\b(?:(?:no need|not (?:have|need))(?: for| to)?(?: do| add| try| use| buy| say)?|not (?:do|add|try|use|buy|say)) "
    r"(?:anything|any) (?:else|more)\b|"
    r"\b(?:no need|not (?:have|need)) to do more\b|"
    r"\bor else (?:it|this|that|they|you) (?:will|would|may|might|can|could) not\b"
)
_HARMLESS_ASIDE = re.compile(_ASIDE)
_HARMLESS = re.compile(
    rf"{_ASIDE}|{_DOUBT}(?:whether|if|what|how|when|where|who|why|which)\b|"
    r"\b(?:why not|whether or not|if not|not sure about|not sure$)\b|"
    r"\bnot (?:only|just|merely)\b(?=(?: [a-z0-9']+){1,12} but\b)|"
    rf"(?<!must )\b(?:not|no|never) (?:{_AMOUNT} ){{0,4}}(?:more|longer|less|later|fewer|further) than\b|"
    rf"\b(?:(?:is|was|would) it|(?:if|whether) it (?:is|was|would)) (?:be )?{_BAD} (?:(?:of|for) me )?(?:to|if)\b|"
    r"\bif (?:it|this|that|they|you|the \w+) (?:(?:is|are|was|does|do|has|have|still) ){0,2}not (?:\w+ ){0,2}enough\b"
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
    r"""stop*, forget*, ignore*, disregard*, skip*, reject*, retract*, wrong, bad, lie, nope, else,
    t(?:ak|ook)* (?:\w+ )?(?:\w+ )?(?:\w+ )?(?:\w+ )?back"""
)
# What denies so little by itself that it takes nothing back, unless it points back or is a bare order or verdict: "You
# do not have to." is no "Do not do that."
_MERE = _any_of(
    "not, never, neither, nor, nobody, no one, hardly, barely, scarcely, no need, almost, nearly, bad, else"
)
_POINTS_BACK = re.compile(
    r"\b(?:this|that|it|these|those|them|so|none|all|above|follow\w*|advice|sa(?:id|ys?)|told|true|real\w*)\b|"
    r"^(?:(?:please|just|so|but|and|oh|well|actually|okay|sorry) )*(?:do )?(?:not|never)\b|"
    r"\b(?:not|never|hardly|neither|nobody|no one)"
    r"(?: (?:did|does|do|is|was|has|have|had|will|would|be|the|an?|i|me|we|you))*$"
)
# Words that any sentence may have: one with no others speaks of what is said beside it.
_EMPTY = frozenset(
    """a above actually advice advise all am an and any anything are around as at be been being below but by can case
    could did do does doing done either even ever everything false follow following follows for from had happen
    happened happens has have he here how i if in is it its just kind let may me mean meant must my now of oh okay on
    one only or other our please quite real really recommend right round said say says shall she should simply so sorry
    sort still sure take taken tell than that the them then there these they thing things think this those to told too
    told true truly try trying untrue us very was way we well were what which who will with would written wrote yes
    you your""".split()
)
_SENTENCE = re.compile(r"[^.!?;\n]*[.!?;\n]*")
_NOT = re.compile(
    r"\b(?:do|does|did|has|have|had|is|are|was|were|wo|would|ca|could|should|must|need|ai|might)n'?t\b|\bcannot\b"
)
_SHORT = re.compile(r"'(?:s|m|re|ve|ll|d)\b")  # "it's", "I'm": the word before it says enough
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
    return len(_DENIES.findall(without_doubt(text)))


def denies(text: str) -> bool:
    """Returns whether `text` says the opposite of anything that its words name."""
    return denials(text) > 0


def without_doubt(text: str) -> str:
    """Returns `text` in lower case and bare words, without the words of negation that deny nothing."""
    return _HARMLESS.sub(" ", _plain(text))


def _plain(sentence: str) -> str:
    """Returns a sentence in lower case, with "not" for "don't" and "it" for "it's", colons its only signs."""
    spelled = _NOT.sub("not", sentence.lower().replace("\u2019", "'"))
    return " ".join(_WORD.findall(_SHORT.sub("", spelled)))


def takes_back(sentence: str) -> bool:
    """Returns whether a sentence denies what is said beside it: it asks nothing, and names nothing of its own."""
    if "?" in sentence:
        return False
    words = " ".join(_HARMLESS.sub(" x ", _HARMLESS_ASIDE.sub(" ", _plain(sentence))).split())
    rest, strong = _DENIES.subn(" ", words)
    rest, weak = _DENIES_ALONE.subn(" ", rest)
    if strong + weak == 0 or not _EMPTY.issuperset(rest.replace(":", " ").split()):
        return False
    more = _MERE.sub(" ", words)
    return any(sign.search(text) for sign, text in ((_DENIES, more), (_DENIES_ALONE, more), (_POINTS_BACK, words)))
