"""A text task in one file: a post says what was left where, and a good summary says both."""

from collections import namedtuple

from envs import register_task
from envs.miniature.grammar import Grammar
from envs.text_task import TextTask

THINGS = "guitar camera phone laptop jacket helmet wallet ticket kite lamp boat book ladder hammer key".split()
PLACES = "garden garage park oven pool fridge canoe cellar kitchen stove bath mailbox canal forest bus".split()
Post = namedtuple("Post", "thing place")  # what a prompt means: positions in the two tables


class PostGrammar(Grammar):
    case_type = Post

    def draw_case(self, rng, unseen):
        return Post(int(rng.integers(len(THINGS))), int(rng.integers(len(PLACES))))

    def word_prompt(self, case, rng):
        day = ("today", "last night", "this morning")[rng.integers(3)]
        return f"POST: I left my {THINGS[case.thing]} in the {PLACES[case.place]} {day}.\n\nTL;DR:"

    def good_response(self, case, rng):
        return f"My {THINGS[case.thing]} is in the {PLACES[case.place]}."

    def draw_response(self, case, rng):  # of mixed quality, so that there is something to learn
        vague = ("I lost something.", "It is in a bad place.", "Please help me now.")[rng.integers(3)]
        return vague if rng.random() < 0.6 else self.good_response(case, rng)

    def judge(self, case, response):  # a half for each fact
        return (f"My {THINGS[case.thing]} is" in response) / 2 + response.endswith(f"the {PLACES[case.place]}.") / 2


class ToySummaries(TextTask):
    grammar = PostGrammar()


register_task("toys/Summaries-v0", "toy_summaries:ToySummaries")
