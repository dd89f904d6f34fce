"""What a study will cost.

`calibrate` times each variant on the machine that trains, `estimate` adds up the remaining work,
and `plan_text` prints the plan.
"""
