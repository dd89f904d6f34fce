# What `--profile slurm` adds. Before anything is submitted, Slurm is asked whether it would take
# what this start submits, and jobs that an earlier start left behind are cancelled. Inside a job,
# Slurm's signals reach the trainer.

if SITE and not workflow.is_main_process:
    from posmlp.slurm.forward import forward_signals

    forward_signals()


onstart:
    if workflow.executor_plugin.name == "slurm":
        from posmlp.slurm.start import before_submitting

        before_submitting(workflow, f"'{HERE}/data.json'")
