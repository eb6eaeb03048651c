"""Waiting for pages whose content policy lets no script run but their own."""

import time


def wait_for(page, expression, arg=None, *, seconds=30.0):
    """Wait until an expression, or a function of `arg`, is true.

    Playwright's own `wait_for_function` looks again from inside of the page, where the policy forbids it to evaluate.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"still not true: {expression}"
        page.wait_for_timeout(50)
