"""Progress of a study, read from its run folders.

`state` reads, `view` formats a table or a line, `display` shows it. Only files are read, so runs on
this machine and on a cluster look the same.
"""
