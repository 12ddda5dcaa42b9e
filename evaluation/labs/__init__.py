"""Labs: experiments that answer a question about training itself, as `perlhf lab NAME` runs them."""

from evaluation.labs.credit import LAB as CREDIT
from evaluation.labs.hack import LAB as HACK
from evaluation.labs.kl import LAB as KL
from evaluation.labs.lab import Lab
from evaluation.labs.overoptimise import LAB as OVEROPTIMISE

LABS: dict[str, Lab] = {"credit": CREDIT, "hack": HACK, "kl": KL, "overoptimise": OVEROPTIMISE}

__all__ = ["LABS", "Lab"]
