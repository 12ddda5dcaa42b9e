"""Makes what is learned from on a phone: right steps, wrong ones that look right, and how far it is to the goal."""
