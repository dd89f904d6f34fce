"""MLflow as a view of run folders. The files are the record; nothing is ever read back from MLflow.

`sync` is the only mechanism: it brings MLflow up to date with the files of a study.
Importing this package does not import mlflow.
"""
