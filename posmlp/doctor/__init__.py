"""`posmlp doctor`: the first command to run on a new machine or node.

Needs torch and timm. The check that trains a study is skipped without pydantic and ruamel.yaml.
"""
