"""Tasks over two or three apps, in which something is read in one and done in another; drawn only where named."""

from envs.uinav.phone.across import from_people, from_plans, from_shops

ACROSS = {known.template.name: known for known in (*from_people.KNOWN, *from_plans.KNOWN, *from_shops.KNOWN)}
