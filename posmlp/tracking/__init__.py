"""MLflow as a view of run folders: the files are the record, nothing here is ever an input.

`init_store` makes the store once, before any trainer; `Tracker` follows one training while it runs;
`study.sync` brings the view up to date at the end.  Both go through one mechanism, `mirror`.
Importing this package does not import mlflow.
"""

from posmlp.tracking.address import StoreError
from posmlp.tracking.mirror import mirror
from posmlp.tracking.store import (
    Store,
    StoreUnavailable,
    init_store,
    read_store,
    write_store,
)

__all__ = [
    "Store",
    "StoreError",
    "StoreUnavailable",
    "init_store",
    "mirror",
    "read_store",
    "write_store",
]
