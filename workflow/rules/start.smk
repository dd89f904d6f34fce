# Before and after the jobs: posmlp/workflow/session.py locks the study and checks its data and, on a
# Slurm cluster, its requests; at the end it lists failures. posmlp/data/prepare.py explains why no rule
# checks the data.

if not workflow.modifier.is_main_snakefile():
    pass  # a module: the workflow that uses it handles its own start
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
