"""What a study will cost: short measurements of every variant, and estimates from them.

`calibrate` measures on the machine that trains, `estimate` adds up what is left to do, `capacity`
says how many runs train at once, and `report` puts plan and afterwards the true cost into words.
"""
