"""A session is a list of promises; every one is tried, and the script fails if one is not kept."""

import asyncio
import inspect
import os
import sys
import traceback

BASE_URL = os.environ.get("MAINSTAY_BASE_URL") or sys.exit("no MAINSTAY_BASE_URL; run: cargo xtask test --sdk")
_PROMISES = []


def promise(function):
    """Registers a check; its name, read as a sentence, is what it promises."""
    _PROMISES.append(function)
    return function


def run():
    failed = 0
    for function in _PROMISES:
        sentence = function.__name__.replace("_", " ")
        try:
            result = function()
            if inspect.isawaitable(result):
                asyncio.run(result)
            print(f"ok      {sentence}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {sentence}\n{traceback.format_exc()}", flush=True)
    print(f"{len(_PROMISES) - failed} of {len(_PROMISES)} promises kept")
    sys.exit(1 if failed else 0)


def raises(kind, call, *, subclass=False):
    """The exception, which must be of this very class (or of one made from it)."""
    try:
        call()
    except Exception as error:
        fits = isinstance(error, kind) if subclass else type(error) is kind
        assert fits, f"expected {kind.__name__}, got {type(error).__name__}: {error}"
        return error
    raise AssertionError(f"expected {kind.__name__}, nothing was raised")
