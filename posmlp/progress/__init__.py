"""How far a study is: read from its run folders, shown while it runs.

`state` reads, `view` turns what was read into a table or a line, `display` shows it on a terminal.
Only files are read, so this is the same for runs on this machine and on a cluster.
"""
