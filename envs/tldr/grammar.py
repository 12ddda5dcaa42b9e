"""Miniature TL;DR: made-up posts in the layout of OpenAI's corpus, which ask for a summary of a `Story`."""

from collections.abc import Mapping

import numpy as np

from envs.tldr.story import Story, StoryGrammar, pick

ROLES = tuple("friend cousin neighbor roommate boss coworker brother partner".split())
TITLES = (
    "I need some advice", "What should I do about my {role}?", "My {role} and I are not talking", "Am I right here?",
    "Is this normal?", "{w} and the {t}", "Should I {g}?", "A question about my {role}", "Bad news about the {t}",
    "Long time reader, first post",
)  # fmt: skip
OPENINGS = (
    "", "", "So this is what happened. ", "I am new here. ", "Sorry for the long post. ", "I am still very upset. ",
    "I have had a bad week. ", "Please be kind. ",
)  # fmt: skip
CLOSINGS = (
    "", "", "", " Thank you for reading.", " What do you think?", " Please be honest.", " Any advice is welcome.",
)  # fmt: skip
# The deed, with its detail in the same sentence or in the next.
DEEDS = (
    "My {role} {w} {v} my {t} {d}.", "My {role} {w} {v} my {t}. It was {d}.",
    "My {role} is called {w}. {w} {v} my {t} {d}.",
    "I had a {t} until {w} {v} it. It was {d}.", "It was {w} who {v} my {t} {d}.",
    "Now my {t} is the problem. My {role} {w} {v} it {d}.", "I trusted my {role} {w}. Then {w} {v} my {t}. It was {d}.",
)  # fmt: skip
# The other person, thing and detail, which a summary should leave out.
ASIDES: Mapping[str, tuple[str, ...]] = {
    "day": (
        "{w} used my {t} {d} and all was fine.", "I like {w}, who cleaned my {t} {d}.",
        "My {t} is fine, as {w} looked at it {d}.",
    ),
    "place": (
        "{w} used my {t} {d} and all was fine.", "My {t} is still {d} with {w}.",
        "I like {w}, who put my {t} {d}.",
    ),
    "price": (
        "{w} once gave me a {t} {d}.", "I also have a {t} {d} from {w}.", "With {w} my {t} {d} was always safe.",
    ),
}  # fmt: skip
# Sometimes it comes up again, so that neither the first nor the last thing named is always the one that counts.
ECHOES = ("{w} and the {t} are fine.", "I have no problem with {w} or the {t}.", "So {w} and the {t} are all right.")
WISHES = (
    "Now I want to know whether to {g}.", "Should I {g}?", "I am thinking about this: should I {g}?",
    "Is it right to {g} now?", "Would you {g}?", "My plan is to {g}.", "People tell me to {g}.",
)  # fmt: skip


class TLDRGrammar(StoryGrammar):
    """Posts: a subreddit, a title, and a text with the story among other things."""

    name = "tldr"

    def word_prompt(self, case: Story, rng: np.random.Generator) -> str:
        """ "SUBREDDIT: r/..", "TITLE: ..", "POST: ..", "TL;DR:", as in the real corpus."""
        told = dict(case.facts, role=pick(ROLES, rng))
        title, deed, wish = (pick(frames, rng).format(**told) for frames in (TITLES, DEEDS, WISHES))
        aside = pick(ASIDES[case.kind], rng).format(**case.distractors)
        parts = [deed, aside] if rng.random() < 0.42 else [aside, deed]
        if parts[0] is aside and rng.random() < 0.45:
            parts.append(pick(ECHOES, rng).format(**case.distractors))
        text = pick(OPENINGS, rng) + " ".join((*parts, wish)) + pick(CLOSINGS, rng)
        return f"SUBREDDIT: r/{case.subject.name}\n\nTITLE: {title}\n\nPOST: {text}\n\nTL;DR:"
