"""What the offline programs share: arguments, errors as one sentence, progress that a log can
hold.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130


def run(program: str, work: Callable[[], int]) -> int:
    """The exit code of `work`; a GlaceError, Ctrl-C or SIGTERM becomes one sentence on stderr and
    its code.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        return work()
    except GlaceError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print(
            f"{program}: interrupted{interrupt.args[0] if interrupt.args else ''}", file=sys.stderr
        )
        return INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_ctrl_c(_number: int, _frame: object) -> None:
    # systemd sends it to all of a service's processes: of two of ours, the one that started the
    # other sends its own SIGINT, which must not cut short what is being saved
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
