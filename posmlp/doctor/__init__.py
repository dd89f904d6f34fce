"""`posmlp doctor`: what to run first on a new machine or node.

Needs torch and timm. Checks that train need pydantic too and are left out without it.
"""
