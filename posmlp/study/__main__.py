"""`python -m posmlp.study > config/README.md` renews the description of every key."""

from posmlp.study.describe import describe

print(describe(), end="")
