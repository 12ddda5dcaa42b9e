"""`Chromium`: the headless Chromium of this process, driven through Playwright by a thread of its own.

Playwright belongs to the thread that started it and refuses threads in which an asyncio loop runs; so all that is done
with it is handed to one thread, and a device can be used from anywhere.

No process stays behind when this one is killed. Playwright's driver ends when the pipe that it is told through is
closed, and Chromium, which it starts with --remote-debugging-pipe, when the driver's end of its own pipe is: the system
closes both with the process, however it ends, so nothing has to be done at its end. `tests/extras/test_browser_kill.py`
kills.
"""

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from envs.uinav.interface.device import DeviceError
from perlhf.errors import UserError, one_line

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

Answer = TypeVar("Answer")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 120  # for one question; then the page hangs, and its Chromium is given up
# No graphics card and no network; the same picture is drawn the same.
_FLAGS = (
    "--disable-gpu", "--disable-gpu-rasterization", "--disable-partial-raster", "--disable-skia-runtime-opts",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
_VIEWPORT = {"width": 500, "height": 240}  # room for the task's page of 160 x 210 pixels and what opens beside it


def find_chromium() -> str | None:
    """Returns the Chromium to use: $PERLHF_CHROMIUM, else one on the PATH; None for Playwright's own download.

    Raises:
        UserError: $PERLHF_CHROMIUM names no program.
    """
    named = os.environ.get("PERLHF_CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise UserError(f"PERLHF_CHROMIUM={named!r} is no program that can be run.")
        return found
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def miniwob_pages() -> Path:
    """Returns the folder of MiniWoB++'s pages, without importing the package.

    Raises:
        UserError: a package of the extra `browser` is missing.
    """
    for name in ("playwright", "miniwob"):
        if find_spec(name) is None:
            raise UserError(f"device='browser' needs the package {name}: pip install 'perlhf[browser]'.")
    spec = find_spec("miniwob")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "html" / "miniwob"


class Chromium:
    """A running Chromium and one context in it, without network.

    Args:
        script: JavaScript that runs in every page before its own.
        folder: all that a page can load is below it.

    Attributes:
        lost: whether it answers no more; then another one has to be started.

    Raises:
        UserError: none can be started.
    """

    def __init__(self, script: str, folder: Path) -> None:
        self.lost = False
        self._questions: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        started: Future[None] = Future()
        self._thread = Thread(target=self._serve, args=(script, folder, started), name="Chromium", daemon=True)
        self._thread.start()
        try:
            started.result(_SECONDS)
        except UserError:
            raise
        except Exception as error:
            self._give_up()
            raise UserError(_problem(error)) from None

    def ask(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Calls a function in the thread of the browser, with its context first.

        Raises:
            DeviceError: the page or the browser failed.
        """
        if self.lost:
            raise DeviceError("the browser was closed")
        answer: Future[Answer] = Future()
        self._questions.put((answer, function, arguments))
        try:
            return answer.result(_SECONDS)
        except (DeviceError, UserError):
            raise
        except TimeoutError:
            self._give_up()
            raise DeviceError(f"the page did not answer for {_SECONDS} seconds") from None
        except Exception as error:
            if "closed" in str(error) or "crash" in str(error):
                self._give_up()
            raise DeviceError(f"the browser failed: {one_line(error)}") from None

    def close(self) -> None:
        """Ends Chromium and Playwright's driver."""
        self._give_up()
        self._thread.join(_SECONDS)

    def _give_up(self) -> None:
        """Has it end as soon as its thread is free; nobody waits for that."""
        self.lost = True
        self._questions.put(None)

    def _serve(self, script: str, folder: Path, started: "Future[None]") -> None:
        from playwright.sync_api import sync_playwright

        try:
            with sync_playwright() as playwright:
                path = find_chromium()
                if path is None and not Path(playwright.chromium.executable_path).exists():
                    raise UserError(_INSTALL)
                browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
                context = browser.new_context(
                    viewport=_VIEWPORT, device_scale_factor=1, locale="en-US", timezone_id="UTC", offline=True
                )
                context.set_default_timeout(1000 * _SECONDS / 2)
                context.add_init_script(script)
                outside = re.compile(f"^(?!{re.escape(folder.as_uri())}/|blob:|data:|about:)")
                context.route(outside, lambda route: route.abort())
                started.set_result(None)
                while (question := self._questions.get()) is not None:
                    _answer(context, *question)
                browser.close()
        except Exception as error:
            self.lost = True
            if not started.done():
                started.set_exception(error)


_INSTALL = (
    "device='browser' found no Chromium: apt-get install chromium, or playwright install chromium, or name one in "
    "PERLHF_CHROMIUM."
)


def _problem(error: Exception) -> str:
    return f"Chromium cannot be started ({type(error).__name__}: {one_line(error)}); {find_chromium() or 'Playwright'}."


def _answer(
    context: "BrowserContext", answer: "Future[Any]", function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        answer.set_result(function(context, *arguments))
    except Exception as error:
        answer.set_exception(error)
