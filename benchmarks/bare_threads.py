"""What a sync asks of a Patchwork, asked by bare threads that check and store nothing."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from queue import SimpleQueue
from typing import Any

import requests

PER_PAGE = 250
# Of the old way, which would take minutes for all
FEW = 100


class _Pull:
    """Urls that are asked for; a list adds more of them."""

    def __init__(self, first: str) -> None:
        self.patches = 0
        self._urls: SimpleQueue[str | None] = SimpleQueue()
        self._left = 0
        self._lock = threading.Lock()
        self.ended = threading.Event()
        self._first = first
        self._add([first])

    def work(self) -> None:
        """One thread's part, with a session of its own."""
        session = requests.Session()
        session.trust_env = False
        while (url := self._urls.get()) is not None:
            answer = session.get(url, timeout=60)
            answer.raise_for_status()
            if "/api/" in url:
                self._add(self._named_by(url, answer))
            with self._lock:
                self._left -= 1
                if not self._left:
                    self.ended.set()

    def end(self, threads: int) -> None:
        """Have all threads end."""
        for _ in range(threads):
            self._urls.put(None)

    def _add(self, urls: list[str]) -> None:
        with self._lock:
            self._left += len(urls)
        for url in urls:
            self._urls.put(url)

    def _named_by(self, url: str, answer: requests.Response) -> list[str]:
        """Of a series with two patches on the page its mbox, of others the patch's own."""
        entries: list[dict[str, Any]] = answer.json()
        with self._lock:
            self.patches += len(entries)
        by_series = defaultdict(list)
        for entry in entries:
            by_series[entry["series"][0]["mbox"] if entry["series"] else None].append(entry["mbox"])
        urls = []
        for series, mboxes in by_series.items():
            urls += [series] if series and len(mboxes) > 1 else mboxes
        last = answer.links.get("last", {}).get("url", "")
        if url == self._first and (number := re.search(r"[?&]page=(\d+)", last)):
            urls += [f"{url}&page={page}" for page in range(2, int(number[1]) + 1)]
        return urls


def pull(url: str, project: str, threads: int) -> tuple[float, int]:
    """Seconds for all patches of a project, and how many there are."""
    begun = time.monotonic()
    whole = _Pull(f"{url}/api/patches/?project={project}&order=id&per_page={PER_PAGE}")
    workers = [threading.Thread(target=whole.work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    whole.ended.wait()
    seconds = time.monotonic() - begun
    whole.end(threads)
    for worker in workers:
        worker.join()
    return seconds, whole.patches


def pull_in_one_thread(url: str, project: str) -> float:
    """Patches a second of the simplest way: a page of fifty, then a request for each patch."""
    begun = time.monotonic()
    session = requests.Session()
    session.trust_env = False
    patches = 0
    next_page: str | None = f"{url}/api/patches/?project={project}&order=id&per_page=50"
    while next_page and patches < FEW:
        page = session.get(next_page, timeout=60)
        page.raise_for_status()
        for patch in page.json():
            session.get(patch["mbox"], timeout=60).raise_for_status()
            patches += 1
        next_page = page.links.get("next", {}).get("url")
    return patches / (time.monotonic() - begun)
