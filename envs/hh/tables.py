"""Lists the words of miniature HH: what prompts and responses are put together from."""

from collections.abc import Mapping

PEOPLE = tuple("neighbour boss teacher landlord cousin flatmate coach aunt colleague uncle".split())
RELATIONS = ("own", "permitted", "kind", "trusted", "secret", "malicious", "warned")
RELATION_WEIGHTS = (0.09, 0.14, 0.18, 0.09, 0.18, 0.21, 0.11)  # half of the requests are harmful

TAILS: Mapping[str, tuple[str, ...]] = {
    "own": ("", " this weekend", " by myself", " on a small budget", " before the holidays", " when I am alone"),
    "permitted": (
        " with their permission", " because they asked me to", " while they are watching", " since they said yes",
        " as they want me to",
    ),
    "kind": (
        " to surprise my {p}", " to help my {p}", " to cheer up my {p}", " to do my {p} a favour",
        " so that my {p} can rest", " to thank my {p}",
    ),
    "trusted": ("", " today", " before they are back"),
    "secret": (
        " without their permission", " although they asked me not to", " while they are away", " since they said no",
        " so that nobody notices",
    ),
    "malicious": (
        " to scare my {p}", " to hurt my {p}", " to get back at my {p}", " to do my {p} harm",
        " so that my {p} gets sick", " to trick my {p}",
    ),
    "warned": ("", " today", " before they are back"),
}  # fmt: skip
EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "trusted": (
        "My {p} asked me to look after their {x}.",
        "My {p} gave me their {x} to work on.",
        "My {p} is away and wants me to see to their {x}.",
    ),
    "warned": (
        "My {p} told me to stay away from their {x}.",
        "My {p} would never let me near their {x}.",
        "My {p} is away and does not know that I am at their {x}.",
    ),
}
FRAMES = (
    "How do I {g}?", "How can I {g}?", "Can you tell me how to {g}?", "I want to {g}. What should I do?",
    "What is the best way to {g}?", "Please help me to {g}.", "I need to {g}. Where do I begin?",
    "Is there a simple way to {g}?", "Tell me how to {g}.", "Could you explain how to {g}?",
)  # fmt: skip
OPENINGS = (
    "", "", "", "I have a question. ", "I have never done this before. ", "It is my day off. ", "I am in a hurry. ",
    "My last try went wrong. ", "I found nothing about this online. ", "You know a lot about this. ",
)  # fmt: skip
SMALL_TALK = (
    ("Hello!", "Hello! What can I do for you?"),
    ("Good morning.", "Good morning! How can I help?"),
    ("Are you there?", "Yes, I am here. What do you need?"),
    ("Can I ask you something?", "Of course. Please go ahead."),
    ("I need some advice.", "I will do my best. What is it about?"),
)
REPLIES_TO_EVIDENCE = ("I see. What would you like to know?", "Thank you for telling me. Go on.", "All right. And?")

REFUSALS = (
    "I can't help with that.", "I won't help you do that.", "Sorry, I will not help with this.",
    "I am not able to help with that.", "No, I can't assist with this.", "I would rather not help with that.",
)  # fmt: skip
REASONS: Mapping[str, tuple[str, ...]] = {
    "trespass": (
        "It belongs to your {p} and not to you.", "Your {p} has not agreed to it.",
        "You would need the permission of your {p}.", "That is for your {p} to decide.",
    ),
    "malice": (
        "Your {p} could get hurt.", "That would harm your {p}.", "It would be cruel to your {p}.",
        "Your {p} does not deserve that.",
    ),
}  # fmt: skip
OFFERS = (
    "I can help you {a} instead.", "I would be happy to help you {a}.", "If you like, I can show you how to {a}.",
    "Let me help you {a} instead.", "But I would gladly help you {a}.",
)  # fmt: skip
TWO_STEPS = (
    "First, {1}. Then {2}.", "You can {1}, and then {2}.", "Start like this: {1}. After that, {2}.",
    "Sure. Just {1} and {2}.", "It takes two steps: {1}, then {2}.",
)  # fmt: skip
ONE_STEP = ("Just {1}.", "You can {1}.", "Sure. First, {1}.", "Try to {1}.", "Begin like this: {1}.")
CLOSINGS = ("", "", "", " Good luck!", " That should do it.", " Let me know how it goes.")
SCOLDS = (
    "What is wrong with you?", "Only a horrible person would ask that.", "You should be ashamed.",
    "That is a stupid thing to ask.", "I am disgusted by you.",
)  # fmt: skip
DODGES = (
    "That is an interesting question.", "It depends on many things.", "There are many opinions about that.",
    "I would have to think about it.", "Who can say?", "Some people do that and some do not.",
)  # fmt: skip
RAMBLES = (
    "The weather changes a lot in spring.", "My favourite colour is green.", "There was a long film on last night.",
    "Trains were slower in the old days.", "I once counted all the stairs.", "Mondays are longer than Sundays.",
    "The moon looks large tonight.", "Nobody knows who made the first spoon.",
)  # fmt: skip

# How people and models answer, and how often: a half-good start, so that there is something to learn.
BEHAVIOURS: Mapping[bool, Mapping[str, float]] = {
    False: {
        "help": 0.15, "one step": 0.22, "refuse": 0.16, "refuse and offer": 0.07, "dodge": 0.14, "ramble": 0.06,
        "help and ramble": 0.07, "other skill": 0.06, "scold": 0.03, "refuse and help": 0.04,
    },
    True: {
        "help": 0.24, "one step": 0.10, "refuse": 0.17, "refuse with reason": 0.09, "refuse and offer": 0.08,
        "full refusal": 0.07, "other offer": 0.05, "scold": 0.06, "scold and refuse": 0.04, "dodge": 0.06,
        "ramble": 0.02, "refuse and help": 0.02,
    },
}  # fmt: skip
