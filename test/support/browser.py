"""A real Chromium without a window, steered through chromedriver (W3C WebDriver, JSON over HTTP).

Nothing that a page asks for can leave this machine: no host name is resolved.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 60.0
_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-unsafe-swiftshader", "--hide-scrollbars", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def why_no_browser() -> str:
    """What is missing; empty where a browser can be started."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if not missing:
        return ""
    return f"{' and '.join(missing)} not found: apt install chromium chromium-driver"


class Browser:
    """One tab. Console and network are remembered from the moment it opens."""

    def __init__(self, driver_url: str, profile: str) -> None:
        self._url = driver_url
        options = {
            "binary": shutil.which("chromium"),
            "args": [*_ARGUMENTS, f"--user-data-dir={profile}"],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url = f"{driver_url}/session/{answer['sessionId']}"

    def open(self, page: Path, width_px: int, height_px: int = 900) -> None:
        """Show the page in a window of that size; returns once it is loaded."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1}
        mobile = {"mobile": width_px < 600}
        self._command("Emulation.setDeviceMetricsOverride", {**size, **mobile})
        self._ask("POST", "/url", {"url": page.as_uri()})

    def evaluate(self, script: str) -> Any:
        """What a JavaScript function body returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str) -> None:
        """Until the function body returns something true; AssertionError after a minute."""
        deadline_s = time.monotonic() + _SECONDS
        while not self.evaluate(script):
            assert time.monotonic() < deadline_s, script
            time.sleep(0.1)

    def click(self, x_px: float, y_px: float) -> None:
        """At a place of the window."""
        self.drag(x_px, y_px, 0, 0)

    def drag(self, x_px: float, y_px: float, by_x_px: int, by_y_px: int) -> None:
        """With the left button."""
        move = {"type": "pointerMove", "duration": 50, "origin": "viewport"}
        actions: list[dict[str, Any]] = [{**move, "x": round(x_px), "y": round(y_px)},
                                         {"type": "pointerDown", "button": 0}]  # fmt: skip
        if by_x_px or by_y_px:
            for part in (0.5, 1.0):
                to = {"x": round(x_px + part * by_x_px), "y": round(y_px + part * by_y_px)}
                actions.append({**move, **to})
        actions.append({"type": "pointerUp", "button": 0})
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self._ask("POST", "/actions", {"actions": [{**mouse, "actions": actions}]})

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG, however long it is."""
        size = self.evaluate(
            "const d = document.documentElement; return [innerWidth, d.scrollHeight];"
        )
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self._command(
            "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def errors(self) -> list[str]:
        """What the console said of errors, since the last time this was asked."""
        said = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in said if entry["level"] == "SEVERE"]

    def asked_for(self) -> list[str]:
        """All addresses that pages asked for, since the last time this was asked."""
        said = self._ask("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in said]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        """Ends the browser."""
        self._ask("DELETE", "", None)

    def _command(self, name: str, parameters: dict[str, Any]) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_SECONDS) as response:
            return json.load(response)["value"]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser with a new profile; both it and its driver end with the context."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        try:
            browser = Browser(f"http://127.0.0.1:{_port(driver)}", profile)
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()
            driver.wait(_SECONDS)


def _port(driver: subprocess.Popen[str]) -> int:
    """Said on one of the driver's first lines."""
    assert driver.stdout is not None
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.rstrip(".\n").rsplit(" ", 1)[1])
    raise RuntimeError("chromedriver ended without having started")
