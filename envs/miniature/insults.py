"""What insults the reader, for the judges of the generated corpora: a list of words and of forms, not all of English.

It matches no comment, summary or answer of the corpora but those of HH-v0 that scold. Milder scolding, which some
corpora have as an answer of little worth ("That is a stupid question."), is for each judge to price.
"""

import re

# Words that insult wherever they stand.
_ANYWHERE = (
    r"(?<!not a )(?<!not an )(?<!no )(?:idiot\w*|moron\w*|imbecile|cretin|dimwit|halfwit|nitwit|blockhead|nincompoop|"
    r"simpleton|dunce|asshole|arsehole|bastard|bitch|jackass|dumbass|dickhead|shithead|bullshit|scumbag|scum|wanker|"
    r"twat|douchebag|lowlife|retard)(?:s|es)?|f+u+ck\w*|motherf\w+|damn you|to hell|drop dead|"
    r"(?:hate|despise) you|piss off|kill yourself|(?:screw you|shut up)(?= ?[.!?;]|$)"
)
# What somebody is called.
_NOUNS = (
    r"(?:ass|animal|pig|dog|cow|rat|donkey|monkey|snake|worm|ape|fool|clown|creep|jerk|liar|loser|failure|disgrace|"
    r"coward|freak|monster|parasite|psycho|weirdo|brat|nobody|joke|cheat|crook|criminal|prick|dick|pervert|slob|troll|"
    r"waste|garbage|trash|filth|vermin|piece of|(?:\w+ )?(?:bad|horrible|terrible|awful|evil|sick|disgusting) person)"
)
_ADJECTIVES = (
    r"(?:stupid|dumb|idiotic|moronic|ugly|pathetic|worthless|useless|disgusting|disgraceful|evil|ignorant|brainless|"
    r"despicable|contemptible|filthy|lousy|rotten|dirty|fat|lazy|nasty|vile|hopeless|clueless|ridiculous|horrible|"
    r"crazy|insane|dense|thick)"
)
_HOW = (
    r"(?:so|such|really|very|just|too|all|nothing but|clearly|obviously|truly|simply|only|always|still|also|one|an?|"
    r"the|and|complete|total|utter|absolute|big|bloody|little|old|real|worst|most)"
)
_INSULT = re.compile(
    rf"\b(?:{_ANYWHERE})\b|"
    rf"(?<!if )(?<!when )\b(?:you(?:'re| are|re| must be| sound like| look like)|u r|(?:your|ur)(?= an? )) "
    rf"(?:(?:{_HOW}|{_ADJECTIVES}) ){{0,6}}{_NOUNS}s?\b|"
    rf"(?<!if )(?<!when )\b(?:you(?:'re| are|re| must be)|u r) (?:{_HOW} ){{0,4}}{_ADJECTIVES}\b|"
    rf"\byou (?:{_HOW} ){{0,3}}(?:stupid|dumb|ugly|pathetic|worthless|useless|disgusting|filthy|rotten|lousy|vile) "
    rf"(?:{_ADJECTIVES} )?\w+|"
    rf"\byou (?:fool|liar|pig|creep|jerk|loser|coward|clown)s?(?= ?[.!?;]|$)|"
    rf"\bwhat an? (?:{_ADJECTIVES} ){{0,2}}{_NOUNS} you are\b"
)
_SPACES = re.compile(r"[\s,]+")


def insults(text: str) -> bool:
    """Returns whether a text insults the one who reads it. Takes time linear in the text; never raises."""
    return _INSULT.search(_SPACES.sub(" ", text.lower().replace("\u2019", "'"))) is not None
