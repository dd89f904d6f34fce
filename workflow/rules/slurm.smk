# What `--profile slurm` adds. Before anything is submitted, jobs that an earlier start left behind
# are cancelled, and Slurm is asked whether it would take what this start submits. Inside a job,
# Slurm's signals reach the trainer.

if SITE and not workflow.is_main_process:
    from posmlp.slurm.forward import forward_signals

    forward_signals()


onstart:
    if workflow.executor_plugin.name == "slurm":
        from posmlp.slurm.orphans import cancel_orphans
        from posmlp.slurm.trial import try_submissions

        submitted = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
        try_submissions(submitted, workflow.executor_settings)
        orphans = cancel_orphans(Path.cwd(), f"'{HERE}/data.json'")
        if orphans:
            print(
                f"Cancelled {len(orphans)} jobs of an earlier start; they go on from checkpoints"
            )
