# Compares every published number with ours. Not part of a study: it only reads existing runs, and is
# repeated when they change.


rule audit:
    input:
        published=f"{HOME}/resources/published.csv",
        counterparts=f"{HOME}/resources/counterparts.csv",
    output:
        csv=f"{RESULTS}/audit/audit.csv",
        md=f"{RESULTS}/audit/audit.md",
        html=archived(f"{RESULTS}/audit/audit.html", 2),
    log:
        f"{RESULTS}/logs/audit.log",
    localrule: True
    params:
        runs=lambda wildcards: digests("runs.csv", "curves.csv"),
        code=(analysis_code_digest(), training_code_digest()),
    message:
        "Comparing published numbers with ours"
    script:
        "../scripts/audit.py"
