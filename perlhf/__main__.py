"""`python -m perlhf` is the console script `perlhf`."""

from perlhf.cli import main

if __name__ == "__main__":
    main()
