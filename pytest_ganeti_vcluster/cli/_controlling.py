"""Run a command whose terminal its standard input is: `_controlling.py COMMAND...`, by the keeper.

So Ctrl-C and the like reach it, and a shell has job control. Imports the standard library only.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - without a shell
