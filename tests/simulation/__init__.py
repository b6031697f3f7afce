"""
The commit protocol as a small model: what no fault may break, tried in thousands of worlds.

One schedule is a list of numbers, so a seed or a shrunk example plays the same world again:

    python -m tests.simulation 4711                      what happens in the world of a seed, and what it breaks
    python -m tests.simulation 22 --mutant "no token"    the same under a protocol with one mistake, made short

twins.py says which function of the real code each part stands for.
"""
