"""How runs become Slurm jobs: what a site asks for, how a run's processes start, what is checked
before the first submission, and how a job goes on after its time limit.

Snakemake's executor plugin submits and watches; this package says with which resources, and keeps
away what a submission cannot mend.
"""
