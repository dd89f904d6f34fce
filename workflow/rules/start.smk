# What happens before the first job. With something to train, the data are checked and MLflow's
# experiment is made (posmlp/preparation.py says why no rule does so). On a Slurm cluster, Slurm is
# asked whether it would take what is to be submitted, and jobs that an earlier start left behind are
# cancelled; and inside a job Slurm's signals reach the trainer.

import subprocess

if SITE and not workflow.is_main_process:
    from posmlp.slurm.forward import forward_signals

    forward_signals()


onstart:
    if {job.rule.name for job in workflow.dag.needrun_jobs()} & {"train", "calibrate"}:
        command = [sys.executable, "-m", "posmlp", "prepare", SETTINGS.study]
        command += ["--results", RESULTS, "--data-root", SETTINGS.data_root]
        if subprocess.run(command).returncode:
            raise WorkflowError("Nothing has been started: see the error above.")
    if workflow.executor_plugin.name == "slurm":
        from posmlp.slurm.start import before_submitting

        before_submitting(workflow, f"'{STUDY_FILE}'")
