"""MLflow as a view of run folders: the files are the record, and nothing here is ever an input.

`sync` is the one mechanism: it makes MLflow say what the files of a study say.
Importing this package does not import mlflow.
"""
