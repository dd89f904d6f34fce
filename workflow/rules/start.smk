# What surrounds the jobs: posmlp/workflow/session.py locks the study, checks its data and, on a Slurm
# cluster, its requests; at the end it says what has failed. Why no rule checks the data:
# posmlp/data/prepare.py.

if not workflow.modifier.is_main_snakefile():
    pass  # a module: the workflow that uses it has a start of its own
elif workflow.is_main_process:
    from posmlp.workflow.session import Session

    SESSION = Session(workflow, SETTINGS, STUDY, PACKS)
elif SETTINGS.slurm:
    from posmlp.slurm.signals import forward_signals

    forward_signals()


onstart:
    SESSION.start()


onsuccess:
    SESSION.end()


onerror:
    SESSION.end()
