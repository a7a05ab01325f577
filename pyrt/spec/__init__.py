"""What was asked, turned into what will run: pure functions of their arguments.

Nothing here reads a file, asks the kernel or knows an image store: `Host` is the machine, handed
in.
"""
