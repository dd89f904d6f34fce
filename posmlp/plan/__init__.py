"""What a study will cost, before it runs: short measurements of every variant, and the estimate.

`calibrate` measures on the machine that trains; `estimate` adds up what is left to do, from a
variant's own finished runs where there are any; `report` says it in words, and afterwards sets
estimate and truth side by side.
"""
