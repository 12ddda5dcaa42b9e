"""Labs: experiments that answer a question about training itself, as `perlhf lab NAME` runs them."""

from evaluation.labs.credit import LAB as CREDIT
from evaluation.labs.kl import LAB as KL
from evaluation.labs.lab import Lab

LABS: dict[str, Lab] = {"credit": CREDIT, "kl": KL}

__all__ = ["LABS", "Lab"]
