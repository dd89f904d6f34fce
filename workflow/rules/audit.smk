# Every published number beside ours. No study asks for it, and it trains nothing: runs are read
# where they are, and it is made again when they change.

from posmlp.code_version import training_code_digest


def digests_of_runs():
    """What the studies' figures are now, so that other figures are another audit."""
    files = [path for name in ("runs", "curves") for path in Path(RESULTS).glob(f"*/{name}.csv")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(files)}


rule audit:
    input:
        published="workflow/resources/published.csv",
        counterparts="workflow/resources/counterparts.csv",
    output:
        multiext(f"{RESULTS}/audit/audit", csv=".csv", md=".md", html=".html"),
    log:
        f"{RESULTS}/logs/audit.log",
    benchmark:
        f"{RESULTS}/logs/audit.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=2000,
        runtime=10,
        gpu=0,
    params:
        results=RESULTS,
        runs=lambda wildcards: digests_of_runs(),
        code=(analysis_code_digest(), training_code_digest()),
    message:
        "Comparing published numbers with ours"
    script:
        "../scripts/audit.py"
