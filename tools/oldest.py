"""End with one sentence if this Python is too old for the book; even Python 2 can read it."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "environment: this is Python %d.%d, the book needs 3.11 or newer; "
        "name another one: make book PYTHON=python3.13" % sys.version_info[:2]
    )
