"""What a study will cost: short measurements of every variant, and estimates from them.

`calibrate` measures on the machine that trains, `estimate` adds up what is left to do, and
`report` puts the plan into words.
"""
