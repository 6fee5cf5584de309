"""What holds for the whole suite."""

from __future__ import annotations

import signal

# A shell starts a program in the background with Ctrl-C ignored, and its children inherit that: tests that interrupt
# something would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
